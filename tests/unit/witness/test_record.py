"""The record's bytes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, MemberId, Revision, Subterm, Term
from twofold.raft.types import OwnerView, Position
from twofold.witness.errors import RecordCorrupt
from twofold.witness.record import (
    RECORD_BYTES,
    Incarnation,
    Purpose,
    WitnessRecord,
    decode,
    encode,
    initial_record,
    utc_text,
)

RECORD = WitnessRecord(
    cluster_id=0x0123456789ABCDEF,
    witness_id=0xFEDCBA9876543210,
    version=7,
    term=Term(5),
    subterm=Subterm(2),
    owner=MemberId(0xA1),
    owner_incarnation=0x1111,
    purpose=Purpose.CLAIM,
    members=(Incarnation(MemberId(0xA1), 0x1111), Incarnation(MemberId(0xB2), 0x2222)),
    nonce=bytes(range(16)),
    last=Position(Term(5), Subterm(1)),
    last_index=Index(100),
    last_revision=Revision(90),
    wall_time_ms=1_767_225_600_123,
)
# The vector of docs/formats/witness-record.md.
VECTOR = bytes.fromhex(
    "54465752 0001 02 00"
    "0123456789abcdef fedcba9876543210 0000000000000007"
    "0000000000000005 0000000000000002"
    "00000000000000a1 0000000000001111"
    "00000000000000a1 0000000000001111 00000000000000b2 0000000000002222"
    "000102030405060708090a0b0c0d0e0f"
    "0000000000000005 0000000000000001 0000000000000064 000000000000005a"
    "0000019b76daa87b"
    "ac0532a5"
)

numbers = st.integers(min_value=0, max_value=(1 << 64) - 1)


def test_the_documented_vector_is_what_we_write() -> None:
    assert encode(RECORD).hex() == VECTOR.hex()
    assert decode(VECTOR) == RECORD


def test_a_record_fits_one_sector() -> None:
    assert len(encode(RECORD)) == RECORD_BYTES <= 512


@given(st.tuples(*[numbers] * 14), st.binary(min_size=16, max_size=16))
def test_every_record_survives_the_round_trip(n: tuple[int, ...], nonce: bytes) -> None:
    record = WitnessRecord(
        cluster_id=n[0],
        witness_id=n[1],
        version=max(1, n[2]),
        term=Term(max(1, n[3])),
        subterm=Subterm(n[4]),
        owner=MemberId(max(1, n[5])),
        owner_incarnation=n[6],
        purpose=Purpose.FORCED,
        members=(Incarnation(MemberId(n[7]), n[8]), Incarnation(MemberId(n[9]), n[10])),
        nonce=nonce,
        last=Position(Term(n[11]), Subterm(n[12])),
        last_index=Index(n[13]),
        last_revision=Revision(n[0]),
        wall_time_ms=n[1],
    )
    assert decode(encode(record)) == record


def test_every_flipped_bit_is_noticed() -> None:
    data = encode(RECORD)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RecordCorrupt):
            decode(bytes(flipped))


def test_every_torn_length_is_noticed() -> None:
    data = encode(RECORD)
    for size in range(len(data)):
        with pytest.raises(RecordCorrupt):
            decode(data[:size])
    with pytest.raises(RecordCorrupt, match="bytes"):
        decode(data + b"\0")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RECORD, version=0),
        replace(RECORD, owner=MemberId(0)),
        replace(RECORD, term=Term(0), subterm=Subterm(0)),
        replace(RECORD, format=2),
    ],
)
def test_contradicting_fields_are_corrupt(wrong: WitnessRecord) -> None:
    with pytest.raises(RecordCorrupt):
        decode(encode(wrong))


def test_numbers_beyond_64_bits_never_reach_the_witness() -> None:
    with pytest.raises(InvariantError):
        encode(replace(RECORD, cluster_id=1 << 64))
    with pytest.raises(InvariantError):
        encode(replace(RECORD, nonce=b"short"))


def test_the_first_record_names_nobody() -> None:
    record = initial_record(
        cluster_id=1,
        witness_id=2,
        members=RECORD.members,
        nonce=bytes(16),
        wall_time_ms=3,
    )
    assert record.view() == OwnerView(1, Term(0), Subterm(0), MemberId(0), 0)
    assert decode(encode(record)) == record


def test_the_view_is_what_the_core_needs() -> None:
    view = OwnerView(7, Term(5), Subterm(2), MemberId(0xA1), 0x1111)
    assert RECORD.view() == view
    assert view.position == RECORD.position


@pytest.mark.parametrize(
    ("wall_time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399_000, "2000-02-28T23:59:59Z"),
        (951_782_400_000, "2000-02-29T00:00:00Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59Z"),
        (1_767_225_599_000, "2025-12-31T23:59:59Z"),
        (1_767_225_600_123, "2026-01-01T00:00:00Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"),
    ],
)
def test_times_are_written_in_utc(wall_time_ms: int, text: str) -> None:
    assert utc_text(wall_time_ms) == text
