"""Checking a stream of chunks and building the state it carries."""

from __future__ import annotations

from twofold.base.invariant import check
from twofold.raft.types import NO_INDEX, ORIGIN
from twofold.store.errors import SnapshotCorrupt
from twofold.store.snap.stream import (
    END,
    HEAD,
    PAIRS,
    Target,
    unpack_end,
    unpack_head,
    unpack_pairs,
    unseal,
)


class SnapshotWriter:
    """Takes chunks in order; ``install`` only after ``complete``.

    ``index`` and ``position`` are known after the first chunk. May be used from
    any thread, by one at a time.
    """

    def __init__(self, target: Target) -> None:
        self.index = NO_INDEX
        self.position = ORIGIN
        self.complete = False
        self._target = target
        self._number = 0
        self._pair_count = 0

    def add(self, data: bytes) -> None:
        """Take the next chunk.

        Cost: writes to the draft without a sync.

        Raises:
            SnapshotCorrupt: damaged, or not the next one. Abandon.
            BackendFailure: the draft cannot be written. Abandon.
        """
        chunk = unseal(data)
        if chunk.number != self._number or self.complete:
            raise SnapshotCorrupt(
                f"chunk {chunk.number} in the place of {self._number}"
            )
        if (chunk.kind == HEAD) != (self._number == 0):
            raise SnapshotCorrupt("a snapshot starts with its head")
        self._number += 1
        if chunk.kind == HEAD:
            self.index, self.position = unpack_head(chunk.body)
        elif chunk.kind == PAIRS:
            map_name, pairs = unpack_pairs(chunk.body)
            self._pair_count += len(pairs)
            self._target.write(map_name, pairs)
        elif chunk.kind == END:
            wanted = unpack_end(chunk.body)
            if wanted != self._pair_count:
                raise SnapshotCorrupt(f"{self._pair_count} pairs of {wanted}")
            self.complete = True
        else:
            raise SnapshotCorrupt(f"a chunk of kind {chunk.kind}")

    def install(self) -> None:
        """Make it durable and put it in the old state's place, atomically.

        The backend that uses the old state must be closed.
        """
        check(self.complete, "only a whole snapshot is installed")
        self._target.install()

    def abandon(self) -> None:
        """Throw away what came so far."""
        self._target.abandon()
