"""What the leader knows of the peer's log."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from twofold.base.ids import Index
from twofold.raft.types import Entry

WINDOW_BATCHES = 8
"""So many full batches may be on the way before an answer."""


class Progress:
    """The peer's match, and what is on the way to it.

    ``probing``: we do not know where the logs meet, so only empty appends go
    out. ``snapshot``: a snapshot is streaming; entries wait. ``snapshot_ms``: if
    not 0, when the peer's word about it is overdue, or the next one may start.
    ``empty``: the peer has nothing at all, so whatever we send it could be taken
    for all that there is.
    """

    __slots__ = (
        "_window_bytes",
        "close_index",
        "empty",
        "inflight",
        "inflight_bytes",
        "match",
        "moved_ms",
        "next",
        "probing",
        "sampled_index",
        "sent_commit",
        "snapshot",
        "snapshot_ms",
    )

    def __init__(self, batch_bytes: int) -> None:
        """Know nothing yet."""
        self._window_bytes = batch_bytes * WINDOW_BATCHES
        self.inflight: deque[tuple[int, int]] = deque()
        self.reset(Index(0), 0)

    def reset(self, last_index: int, now_ms: int) -> None:
        """A new term: nothing is known to match; assume that all of it does."""
        self.match = 0
        self.next = last_index + 1
        self.probing = False
        self.snapshot = False
        self.empty = False
        self.snapshot_ms = 0
        self.sent_commit = 0
        self.moved_ms = now_ms
        self.sampled_index = last_index
        self.close_index = last_index
        self.inflight.clear()
        self.inflight_bytes = 0

    def probe(self) -> None:
        """Something may be lost: find out where the logs meet."""
        self.probing = True
        if self.match:
            self.next = self.match + 1
        self.inflight.clear()
        self.inflight_bytes = 0

    def has_room(self) -> bool:
        """Whether another batch may leave now."""
        return self.inflight_bytes < self._window_bytes

    def sent(self, entries: Sequence[Entry]) -> None:
        """Note a batch that left, optimistically."""
        size = 0
        for entry in entries:
            size += len(entry.data) + 32
        last = entries[-1].index
        self.inflight.append((last, size))
        self.inflight_bytes += size
        self.next = last + 1

    def acknowledge(self, match: int, now_ms: int) -> bool:
        """Note an ``ok`` answer; True if the match moved."""
        inflight = self.inflight
        while inflight and inflight[0][0] <= match:
            self.inflight_bytes -= inflight.popleft()[1]
        if match >= self.next:
            self.next = match + 1
        if match <= self.match:
            return False
        self.match = match
        self.moved_ms = now_ms
        return True

    def sample(self, last_index: int, now_ms: int) -> None:
        """Note our last index now and then, to judge later how close it is."""
        if self.match >= last_index:
            self.moved_ms = now_ms
        self.close_index = self.sampled_index
        self.sampled_index = last_index

    def is_close(self, last_index: int) -> bool:
        """Whether the peer lacks at most what was appended a moment ago."""
        if self.snapshot or self.probing:
            return False
        return self.match >= last_index or self.match >= self.close_index > 0
