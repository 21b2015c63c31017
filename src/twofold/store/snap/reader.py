"""Cutting a state into chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from twofold.store.snap.applied import APPLIED, unpack_applied
from twofold.store.snap.stream import (
    END,
    HEAD,
    MAPS,
    PAIRS,
    Source,
    pack_end,
    pack_head,
    pack_pair,
    seal,
)

CHUNK_BYTES = 256 << 10


class Captured(Protocol):
    """A backend whose last checkpoint can be looked at."""

    def view(self) -> Source:
        """The state of the last durable checkpoint."""


class SnapshotReader:
    """One snapshot: what it ends with, and its chunks.

    Made on the loop's thread; ``chunks`` may run in another one, which costs the
    loop nothing but its share of the interpreter. Close it either way.
    """

    def __init__(self, source: Source, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._source = source
        self._chunk_bytes = chunk_bytes
        self.index, self.position = unpack_applied(source.meta(APPLIED))

    def chunks(self) -> Iterator[bytes]:
        """Every chunk, in order, once; about ``chunk_bytes`` each."""
        yield seal(HEAD, 0, pack_head(self.index, self.position))
        number, pair_count = 1, 0
        for map_number, map_name in enumerate(MAPS):
            prefix = bytes([map_number])
            parts, size = [prefix], 0
            for key, value in self._source.scan(map_name):
                pair = pack_pair(key, value)
                parts.append(pair)
                size += len(pair)
                pair_count += 1
                if size >= self._chunk_bytes:
                    yield seal(PAIRS, number, b"".join(parts))
                    number += 1
                    parts, size = [prefix], 0
            if size:
                yield seal(PAIRS, number, b"".join(parts))
                number += 1
        yield seal(END, number, pack_end(pair_count))

    def close(self) -> None:
        """Let go of the state; idempotent."""
        self._source.close()


def capture(backend: Captured) -> SnapshotReader:
    """A snapshot of the last durable checkpoint, consistent whatever comes after.

    For one that holds everything applied by now, checkpoint first.
    """
    return SnapshotReader(backend.view())
