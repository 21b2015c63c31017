"""Frames: one a sync, so that at most the last one can be torn.

A frame is length (u32), checksum (u32), sequence (u64), body, zeros up to a
multiple of 8; little-endian. The sequence counts through all segments. The
checksum covers length, sequence and body, seeded with the log's identity.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from twofold.base.crc import crc32

_HEAD = struct.Struct("<IIQ")
_COVERED = struct.Struct("<IQ")
HEAD_SIZE = _HEAD.size
_SECTOR = 512
"""Disks write at least this much at once: a torn frame lacks whole sectors."""
_LOOK_AHEAD = 8


def seal(body: bytes, sequence: int, seed: int) -> bytes:
    """The frame of ``body``."""
    size = len(body)
    crc = crc32(body, crc32(_COVERED.pack(size, sequence), seed))
    padding = bytes(-size % 8)
    return b"".join((_HEAD.pack(size, crc, sequence), body, padding))


class Frame(NamedTuple):
    """A frame found whole; ``end`` is where the next one starts."""

    sequence: int
    body: bytes
    end: int


def read(content: bytes, at: int, seed: int) -> Frame | None:
    """The frame at ``at``, or None if there is no whole and valid one."""
    if at + HEAD_SIZE > len(content):
        return None
    size, crc, sequence = _HEAD.unpack_from(content, at)
    body = content[at + HEAD_SIZE : at + HEAD_SIZE + size]
    if size == 0 or len(body) < size:
        return None
    if crc32(body, crc32(_COVERED.pack(size, sequence), seed)) != crc:
        return None
    return Frame(sequence, body, at + HEAD_SIZE + size + (-size % 8))


class Tail(Enum):
    """What follows the last whole frame."""

    CLEAN = "clean"
    """Nothing but zeros."""
    TORN = "torn"
    """A frame whose write did not finish; it was never acknowledged."""
    DAMAGED = "damaged"
    """A frame that had been written whole."""


def judge_tail(content: bytes, at: int, sequence: int, seed: int) -> Tail:
    """Tell an unfinished write from damage, at the first place that does not read.

    ``sequence`` is what the frame at ``at`` would have. A later frame proves
    that this one had been synced. Without one, a write that was cut short
    lacks at least a sector, which then reads as zeros or lies behind the end.
    """
    rest = memoryview(content)[at:]
    if not _any_set(rest):
        return Tail.CLEAN
    if any(
        _has_frame(content, at, later, seed)
        for later in range(sequence + 1, sequence + 1 + _LOOK_AHEAD)
    ):
        return Tail.DAMAGED
    if len(rest) < HEAD_SIZE:
        return Tail.TORN
    size = _HEAD.unpack_from(content, at)[0]
    end = at + HEAD_SIZE + size
    if size == 0 or end > len(content):
        return Tail.TORN
    lacks = any(not _any_set(part) for part in _sectors(content, at, end))
    return Tail.TORN if lacks else Tail.DAMAGED


def _has_frame(content: bytes, at: int, sequence: int, seed: int) -> bool:
    """Whether a valid frame of this sequence lies somewhere behind ``at``."""
    wanted = sequence.to_bytes(8, "little")
    found = content.find(wanted, at)
    while found >= 0:
        start = found - 8
        if start > at and start % 8 == 0 and read(content, start, seed) is not None:
            return True
        found = content.find(wanted, found + 1)
    return False


def _sectors(content: bytes, start: int, end: int) -> Iterator[memoryview]:
    view = memoryview(content)
    while start < end:
        stop = min(end, start - start % _SECTOR + _SECTOR)
        yield view[start:stop]
        start = stop


def _any_set(part: memoryview) -> bool:
    # Comparing with zeros of the same size runs in C; any() would not.
    return part != bytes(len(part))
