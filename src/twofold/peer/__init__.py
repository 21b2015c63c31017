"""Member to member: one connection, its frames, heartbeats and snapshots.

Start in ``link.py``. ``codec.py`` and ``frames.py`` are the bytes
(docs/formats/peer.md), ``connection.py`` one connection, ``requests.py`` the
questions asked over it, ``heartbeat.py`` the second way to notice a silent peer.
"""
