"""Records: what the body of a frame holds, one after the other.

A record is kind (u8), size (u32), payload; layouts in docs/formats/wal.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from twofold.base.crc import crc32
from twofold.base.errors import Failure
from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import (
    FRESH,
    NO_INDEX,
    ORIGIN,
    Entry,
    EntryKind,
    HardState,
    Position,
)

VERSION = 1
MAGIC = b"2foldwal"


class RecordKind(IntEnum):
    """What a record's payload is."""

    HEADER = 1
    ENTRIES = 2
    HARD_STATE = 3
    MARK = 4
    RESET = 5


class RecordInvalid(Failure):
    """The checksum is right and the content is not: written by another program."""

    retry = False


@dataclass(frozen=True, slots=True)
class WalMeta:
    """Whose log this is; each value fits 64 bits."""

    cluster_id: int
    member_id: MemberId
    incarnation: int

    def seed(self) -> int:
        """Start of every checksum, so that foreign frames do not verify."""
        return crc32(_META.pack(self.cluster_id, self.member_id, self.incarnation))


class WalState(NamedTuple):
    """What a log says besides its entries.

    Entries up to ``mark_index`` are in a checkpoint; ``last_index`` is the end.
    """

    hard_state: HardState = FRESH
    mark_index: Index = NO_INDEX
    mark: Position = ORIGIN
    last_index: Index = NO_INDEX


class Header(NamedTuple):
    """First record of a segment: the log's state when the segment was begun."""

    segment: int
    meta: WalMeta
    state: WalState


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint holds everything up to ``index``.

    ``reset``: entries behind it are void too (a snapshot of the leader).
    """

    index: Index
    position: Position
    reset: bool


class Entries(NamedTuple):
    """Entries with rising indexes; they replace the log from the first one on."""

    entries: list[Entry]


Record = Header | Mark | Entries | HardState

_RECORD = struct.Struct("<BI")
_META = struct.Struct("<QQQ")
_HEADER = struct.Struct("<8sHQ")
_HARD_STATE = struct.Struct("<QQ")
_MARK = struct.Struct("<QQQ")
_COUNT = struct.Struct("<I")
_ENTRY = struct.Struct("<QQQBI")
_INDEX = struct.Struct("<Q")


def encode_header(header: Header) -> bytes:
    """A HEADER record."""
    meta, state = header.meta, header.state
    payload = b"".join(
        (
            _HEADER.pack(MAGIC, VERSION, header.segment),
            _META.pack(meta.cluster_id, meta.member_id, meta.incarnation),
            _HARD_STATE.pack(*state.hard_state),
            _MARK.pack(state.mark_index, *state.mark),
            _INDEX.pack(state.last_index),
        )
    )
    return _RECORD.pack(RecordKind.HEADER, len(payload)) + payload


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """An ENTRIES record."""
    parts = [b"", _COUNT.pack(len(entries))]
    size = _COUNT.size
    for index, term, subterm, kind, data in entries:
        parts.append(_ENTRY.pack(index, term, subterm, kind, len(data)))
        parts.append(data)
        size += _ENTRY.size + len(data)
    parts[0] = _RECORD.pack(RecordKind.ENTRIES, size)
    return b"".join(parts)


def encode_hard_state(hard_state: HardState) -> bytes:
    """A HARD_STATE record."""
    payload = _HARD_STATE.pack(*hard_state)
    return _RECORD.pack(RecordKind.HARD_STATE, len(payload)) + payload


def encode_mark(mark: Mark) -> bytes:
    """A MARK or RESET record."""
    kind = RecordKind.RESET if mark.reset else RecordKind.MARK
    payload = _MARK.pack(mark.index, *mark.position)
    return _RECORD.pack(kind, len(payload)) + payload


def decode(body: bytes) -> Iterator[Record]:
    """The records of a frame's body.

    Raises:
        RecordInvalid: unknown kind, or a payload that does not add up.
    """
    at = 0
    try:
        while at < len(body):
            kind, size = _RECORD.unpack_from(body, at)
            at += _RECORD.size
            if at + size > len(body):
                raise RecordInvalid("a record is longer than its frame")
            yield _decode_payload(RecordKind(kind), body[at : at + size])
            at += size
    except (struct.error, ValueError) as error:
        raise RecordInvalid(str(error)) from error


def _decode_payload(kind: RecordKind, payload: bytes) -> Record:
    match kind:
        case RecordKind.ENTRIES:
            return Entries(_decode_entries(payload))
        case RecordKind.HARD_STATE:
            term, vote = _HARD_STATE.unpack(payload)
            return HardState(term, vote)
        case RecordKind.MARK | RecordKind.RESET:
            index, term, subterm = _MARK.unpack(payload)
            return Mark(index, Position(term, subterm), kind is RecordKind.RESET)
        case RecordKind.HEADER:
            return _decode_header(payload)


def _decode_header(payload: bytes) -> Header:
    magic, version, segment = _HEADER.unpack_from(payload)
    if magic != MAGIC:
        raise RecordInvalid("this is not a log of twofold")
    if version != VERSION:
        raise RecordInvalid(
            f"format version {version}, this program reads {VERSION}: "
            "use the program that wrote it or a newer one"
        )
    at = _HEADER.size
    cluster_id, member_id, incarnation = _META.unpack_from(payload, at)
    at += _META.size
    term, vote = _HARD_STATE.unpack_from(payload, at)
    at += _HARD_STATE.size
    mark_index, mark_term, mark_subterm = _MARK.unpack_from(payload, at)
    at += _MARK.size
    (last_index,) = _INDEX.unpack_from(payload, at)
    return Header(
        segment,
        WalMeta(cluster_id, MemberId(member_id), incarnation),
        WalState(
            HardState(term, vote),
            mark_index,
            Position(mark_term, mark_subterm),
            last_index,
        ),
    )


def _decode_entries(payload: bytes) -> list[Entry]:
    (count,) = _COUNT.unpack_from(payload)
    at = _COUNT.size
    entries = []
    for _ in range(count):
        index, term, subterm, kind, size = _ENTRY.unpack_from(payload, at)
        at += _ENTRY.size
        data = payload[at : at + size]
        at += size
        entries.append(
            Entry(Index(index), Term(term), Subterm(subterm), EntryKind(kind), data)
        )
    if at != len(payload):
        raise RecordInvalid("entries do not fill their record")
    return entries
