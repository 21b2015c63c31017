"""The meta value that says which log entry a state ends with."""

from __future__ import annotations

import struct

from twofold.base.ids import Index, Subterm, Term
from twofold.raft.types import NO_INDEX, ORIGIN, Position

APPLIED = "applied"

_LAYOUT = struct.Struct(">QQQ")


def pack_applied(index: Index, position: Position) -> bytes:
    """Index, term, subterm."""
    return _LAYOUT.pack(index, position.term, position.subterm)


def unpack_applied(data: bytes | None) -> tuple[Index, Position]:
    """What ``pack_applied`` made; None: nothing was ever applied."""
    if data is None:
        return NO_INDEX, ORIGIN
    index, term, subterm = _LAYOUT.unpack(data)
    return Index(index), Position(Term(term), Subterm(subterm))
