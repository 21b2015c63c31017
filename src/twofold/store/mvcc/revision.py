"""Revision keys: how (main, sub) is written in the `key` map.

Big-endian, so that byte order is time order: 8 bytes main, ``_``, 8 bytes sub,
and ``t`` when the revision is a tombstone. Source: etcd, mvcc/revision.go.
"""

from __future__ import annotations

import struct

_LIVE = struct.Struct(">QBQ")
_MAIN = struct.Struct(">Q")
_SEPARATOR = 0x5F

LIVE_SIZE = 17
TOMBSTONE_SIZE = 18


def live_key(main: int, sub: int) -> bytes:
    """The key of a put."""
    return _LIVE.pack(main, _SEPARATOR, sub)


def tombstone_key(main: int, sub: int) -> bytes:
    """The key of a delete."""
    return _LIVE.pack(main, _SEPARATOR, sub) + b"t"


def first_of(main: int) -> bytes:
    """A bound below every revision key of ``main``, above all earlier ones."""
    return _MAIN.pack(main)


def main_of(rev_key: bytes) -> int:
    """The main revision of a key."""
    return int.from_bytes(rev_key[:8], "big")


def is_tombstone(rev_key: bytes) -> bool:
    """Whether the key marks a delete."""
    return len(rev_key) == TOMBSTONE_SIZE
