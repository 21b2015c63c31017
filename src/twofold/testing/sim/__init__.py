"""The deterministic simulator: real driver, core, WAL, applier and witness rules
on virtual time, network, disk and witness.

One seed replays bit by bit. Start in `world.py`; `check.py` holds what must be
true of every run.
"""
