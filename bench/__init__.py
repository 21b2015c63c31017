"""Figures of twofold beside real etcd, measured in the same run.

``python -m bench.NAME`` prints a table; each module says what it measures.
Needs the built peers (`tools/build_peers.py`). All traffic is on loopback.
"""
