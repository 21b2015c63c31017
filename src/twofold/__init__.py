"""twofold: an etcd-v3-compatible store for two machines and a passive witness.

Layers, from the top: cli, daemon, etcd, client and member, peer and witness and
store, raft, telemetry and proto, base. Start in `daemon/store.py`, which builds a
member, and in `member/driver.py`, which runs it.
"""

__version__ = "0.1.0"
