"""The chunks of a snapshot stream; layout in docs/formats/snapshot.md."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from twofold.base.crc import crc32
from twofold.base.ids import Index
from twofold.raft.types import Position
from twofold.store.errors import SnapshotCorrupt
from twofold.store.snap.applied import pack_applied, unpack_applied

Pair = tuple[bytes, bytes]

MAPS = (b"key", b"meta", b"lease")
"""In the order of the stream; a map is named by its place here."""

HEAD, PAIRS, END = 1, 2, 3

_VERSION = 1
_MAGIC = b"2FSNAP"
_CRC = struct.Struct("<I")
_FRAME = struct.Struct("<BI")
_HEAD = struct.Struct("<6sH")
_PAIR = struct.Struct("<HI")
_END = struct.Struct("<Q")


class Source(Protocol):
    """A state at one moment: what ``Backend.view`` gives."""

    def meta(self, name: str) -> bytes | None:
        """A meta value."""

    def scan(self, map_name: bytes) -> Iterator[Pair]:
        """Every pair of a map, in key order."""

    def close(self) -> None:
        """Let go of it."""


class Target(Protocol):
    """A state in the making: `LmdbBuilder` or `MemoryBuilder`."""

    def write(self, map_name: bytes, pairs: Sequence[Pair]) -> None:
        """Add pairs of a map, in key order."""

    def install(self) -> None:
        """Put it in the place of the old state, atomically."""

    def abandon(self) -> None:
        """Throw it away."""


class Chunk(NamedTuple):
    """A chunk whose checksum is right."""

    kind: int
    number: int
    body: bytes


def seal(kind: int, number: int, body: bytes) -> bytes:
    """Frame a chunk."""
    content = _FRAME.pack(kind, number) + body
    return _CRC.pack(crc32(content)) + content


def unseal(data: bytes) -> Chunk:
    """Check and unframe a chunk.

    Raises:
        SnapshotCorrupt: it is not what ``seal`` made.
    """
    if len(data) < _CRC.size + _FRAME.size:
        raise SnapshotCorrupt(f"a chunk of {len(data)} bytes")
    (wanted,) = _CRC.unpack_from(data)
    content = data[_CRC.size :]
    if crc32(content) != wanted:
        raise SnapshotCorrupt("a chunk's checksum is wrong")
    kind, number = _FRAME.unpack_from(content)
    return Chunk(kind, number, content[_FRAME.size :])


def pack_head(index: Index, position: Position) -> bytes:
    """The body of the first chunk."""
    return _HEAD.pack(_MAGIC, _VERSION) + pack_applied(index, position)


def unpack_head(body: bytes) -> tuple[Index, Position]:
    """Raises SnapshotCorrupt when it is not ours or not of this version."""
    try:
        magic, version = _HEAD.unpack_from(body)
        if magic != _MAGIC or version != _VERSION:
            raise SnapshotCorrupt(f"not a snapshot of version {_VERSION}")
        return unpack_applied(body[_HEAD.size :])
    except struct.error as error:
        raise SnapshotCorrupt("a snapshot's head is cut short") from error


def pack_pair(key: bytes, value: bytes) -> bytes:
    """One pair in the body of a PAIRS chunk, after its map's number."""
    return _PAIR.pack(len(key), len(value)) + key + value


def unpack_pairs(body: bytes) -> tuple[bytes, list[Pair]]:
    """Map name and pairs of a PAIRS chunk."""
    try:
        map_name = MAPS[body[0]]
        at, pairs = 1, []
        while at < len(body):
            key_size, value_size = _PAIR.unpack_from(body, at)
            at += _PAIR.size
            value_at = at + key_size
            end = value_at + value_size
            pairs.append((body[at:value_at], body[value_at:end]))
            at = end
    except (struct.error, IndexError) as error:
        raise SnapshotCorrupt("a chunk of pairs cannot be read") from error
    if at != len(body):
        raise SnapshotCorrupt("a chunk ends inside a pair")
    return map_name, pairs


def pack_end(pair_count: int) -> bytes:
    """The body of the last chunk."""
    return _END.pack(pair_count)


def unpack_end(body: bytes) -> int:
    """How many pairs there were."""
    if len(body) != _END.size:
        raise SnapshotCorrupt("a snapshot's end cannot be read")
    return int(_END.unpack(body)[0])
