"""The wire: etcd's gRPC services and HTTP pages for one member.

One service a file (`kv watch lease cluster maintenance`), bound to paths in
`routes.py`. `errors.py` is the one table of codes and texts, `validate.py` what
a request must satisfy, `codec.py` and `watch_replies.py` write replies around
the store's own bytes. `front/` speaks HTTP and knows no message.

May import `member` (through its facade), the store's types, `telemetry`,
`proto`, `base`. Start with `routes.py`, then `kv.py: put`.
"""
