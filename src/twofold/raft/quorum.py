"""How far the log is committed, as plain arithmetic."""

from __future__ import annotations

ALL = 1 << 62
"""As ``alone_through``: our own disk suffices for every entry."""


def commit_index(persisted: int, match: int, alone_through: int) -> int:
    """The highest index that enough disks hold.

    Shape: ``alone_through`` is the last index for which our own disk
    suffices: 0 in a pair, ``ALL`` while solo, and the index before the marker
    in a pair that was reopened, because whoever holds the marker holds all
    that is before it. The caller still has to see that the entry there is of
    its own term.
    Source: extended Raft paper, "Log Replication"; R4 with two members.
    """
    alone = min(persisted, alone_through)
    both = min(persisted, match)
    return max(alone, both)
