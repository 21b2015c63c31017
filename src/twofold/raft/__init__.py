"""The pure consensus core: extended Raft for one or two members and a witness.

No I/O, clock, threads or chance. Imports `base.errors`, `base.invariant` and
`base.ids` only. Start in `core.py` (`Core.step`), with `types.py` beside it.
"""
