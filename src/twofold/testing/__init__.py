"""Test code that is installed: simulator, harness of real processes, fakes.

May import everything; nobody imports it. Start in `sim/world.py` for the simulator,
in `script.py` for interaction scripts and in `processes.py` for real processes.
"""
