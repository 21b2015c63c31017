"""What a member keeps: log, snapshots, and the state machine on top of them.

`wal` and `snap` are the consensus log and its shortcut; `apply` carries entries out on
`mvcc` and `lease`, which stand on `backend`. Inner order: `apply`, then `mvcc`, `lease`
and `auth`, then `backend`, `wal` and `snap`. May import `raft.types`, `proto`, `base`.
"""
