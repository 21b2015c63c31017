"""The witness record and its bytes; pure.

Meaning: since this write only the owner may hold committed entries that the
other member lacks, up to (term, subterm). Layout: docs/formats/witness-record.md.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from twofold.base.ids import Index, MemberId, Revision, Subterm, Term
from twofold.base.invariant import check
from twofold.raft.types import OwnerView, Position
from twofold.witness.errors import RecordCorrupt

MAGIC: Final = b"TFWR"
FORMAT: Final = 1
NONCE_BYTES: Final = 16
_BODY: Final = struct.Struct(">4sHBB11Q16s5Q")
_CHECKSUM: Final = struct.Struct(">I")
RECORD_BYTES: Final = _BODY.size + _CHECKSUM.size
_U64_MAX: Final = (1 << 64) - 1


class Purpose(IntEnum):
    """Why a record was written."""

    INIT = 1
    """By an operator, before the cluster's first start: nobody owns."""
    CLAIM = 2
    """By the rules."""
    FORCED = 3
    """By an operator who accepted the loss of what the old owner held."""
    SEALED = 4
    """Last record of a replaced witness: no claim may follow it."""


class Incarnation(NamedTuple):
    """A member and its data directory's random id; 0 is "not known"."""

    member_id: MemberId
    incarnation: int


NOBODY: Final = Incarnation(MemberId(0), 0)


@dataclass(frozen=True, slots=True)
class WitnessRecord:
    """One version of the record.

    Shape: ``version`` >= 1 and one more than the record it replaces; ``owner``
    0 exactly when (term, subterm) is (0, 0); ``nonce`` is never used twice.
    ``last``, ``last_index``, ``last_revision`` and ``wall_time_ms`` tell people
    where the writer stood; no rule reads them.
    """

    cluster_id: int
    witness_id: int
    version: int
    term: Term
    subterm: Subterm
    owner: MemberId
    owner_incarnation: int
    purpose: Purpose
    members: tuple[Incarnation, Incarnation]
    nonce: bytes
    last: Position
    last_index: Index
    last_revision: Revision
    wall_time_ms: int
    format: int = FORMAT

    @property
    def position(self) -> Position:
        """The record's place in the order of epochs."""
        return Position(self.term, self.subterm)

    def view(self) -> OwnerView:
        """What the core needs of it."""
        return OwnerView(
            self.version, self.term, self.subterm, self.owner, self.owner_incarnation
        )


def initial_record(
    *,
    cluster_id: int,
    witness_id: int,
    members: tuple[Incarnation, Incarnation],
    nonce: bytes,
    wall_time_ms: int,
) -> WitnessRecord:
    """Build version 1, which names no owner: the first election needs both."""
    return WitnessRecord(
        cluster_id=cluster_id,
        witness_id=witness_id,
        version=1,
        term=Term(0),
        subterm=Subterm(0),
        owner=MemberId(0),
        owner_incarnation=0,
        purpose=Purpose.INIT,
        members=members,
        nonce=nonce,
        last=Position(Term(0), Subterm(0)),
        last_index=Index(0),
        last_revision=Revision(0),
        wall_time_ms=wall_time_ms,
    )


def encode(record: WitnessRecord) -> bytes:
    """Give the record's bytes, always RECORD_BYTES long."""
    check(len(record.nonce) == NONCE_BYTES, "a nonce has 16 bytes")
    first, second = record.members
    numbers = (
        record.cluster_id,
        record.witness_id,
        record.version,
        record.term,
        record.subterm,
        record.owner,
        record.owner_incarnation,
        first.member_id,
        first.incarnation,
        second.member_id,
        second.incarnation,
    )
    told = (
        record.last.term,
        record.last.subterm,
        record.last_index,
        record.last_revision,
        record.wall_time_ms,
    )
    check(
        all(0 <= number <= _U64_MAX for number in (*numbers, *told)),
        "the record's numbers fit 64 bits",
        numbers=numbers,
        told=told,
    )
    purpose = record.purpose.value
    body = _BODY.pack(MAGIC, record.format, purpose, 0, *numbers, record.nonce, *told)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def decode(data: bytes) -> WitnessRecord:
    """Read a record back.

    Raises:
        RecordCorrupt: other length, magic, format or checksum, or fields that
            no writer of ours would combine.
    """
    if data[:4] != MAGIC:
        raise RecordCorrupt("not a witness record: it does not begin with TFWR")
    if len(data) != RECORD_BYTES:
        raise RecordCorrupt(
            f"a witness record has {RECORD_BYTES} bytes, not {len(data)}"
        )
    body = data[: _BODY.size]
    if _CHECKSUM.unpack_from(data, _BODY.size)[0] != zlib.crc32(body):
        raise RecordCorrupt("the witness record's checksum is wrong")
    _, layout, purpose, reserved, *fields = _BODY.unpack(body)
    if layout != FORMAT or reserved != 0:
        raise RecordCorrupt(f"witness record of format {layout}: we know {FORMAT}")
    try:
        known_purpose = Purpose(purpose)
    except ValueError:
        raise RecordCorrupt(f"unknown purpose {purpose}") from None
    record = WitnessRecord(
        cluster_id=fields[0],
        witness_id=fields[1],
        version=fields[2],
        term=Term(fields[3]),
        subterm=Subterm(fields[4]),
        owner=MemberId(fields[5]),
        owner_incarnation=fields[6],
        purpose=known_purpose,
        members=(
            Incarnation(MemberId(fields[7]), fields[8]),
            Incarnation(MemberId(fields[9]), fields[10]),
        ),
        nonce=fields[11],
        last=Position(Term(fields[12]), Subterm(fields[13])),
        last_index=Index(fields[14]),
        last_revision=Revision(fields[15]),
        wall_time_ms=fields[16],
        format=layout,
    )
    if record.version == 0 or (record.owner == 0) != (record.position == (0, 0)):
        raise RecordCorrupt("a witness record whose fields contradict each other")
    return record


def utc_text(wall_time_ms: int) -> str:
    """Write a time as ISO 8601 in UTC, to the second.

    Source: Howard Hinnant's civil-from-days; the clock modules are not pure.
    """
    seconds = wall_time_ms // 1000
    days, second_of_day = divmod(seconds, 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (
        365 * year_of_era + year_of_era // 4 - year_of_era // 100
    )
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    hour, rest = divmod(second_of_day, 3600)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{rest // 60:02}:{rest % 60:02}Z"
