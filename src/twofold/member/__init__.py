"""One running member: the driver around the core, and what `etcd` may call.

Imports `peer`, `witness`, `store`, `raft`. Start in `driver.py` (one turn of
the loop), then `member.py` (the facade).
"""
