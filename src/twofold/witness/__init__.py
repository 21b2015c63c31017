"""The passive witness: one small record on storage that both members reach.

`record` and `rules` are pure: the record's bytes, and when a member may claim.
`port` is what a backend must do, `backends` does it, `session` joins the two,
`process` runs a session in a process of its own and `client` talks to that.
May import `raft.types` and `base`. Start with `rules`, then `session`.
"""
