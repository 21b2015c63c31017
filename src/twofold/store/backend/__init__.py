"""Bytes at rest: three maps (`key`, `meta`, `lease`) behind one port.

A checkpoint trails the log: what is applied collects in memory (`overlay`) and
goes to the durable maps in one atomic step, on request, in another thread.
Start with `port`; `lmdb` is the real one, `memory` the simulator's.
"""
