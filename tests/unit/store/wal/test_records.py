"""The bytes are the documented ones, and strange ones are refused."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import Entry, EntryKind, HardState, Position
from twofold.store.wal import frames, records
from twofold.store.wal.frames import Tail
from twofold.store.wal.records import Entries, Header, Mark, WalMeta, WalState

META = WalMeta(cluster_id=7, member_id=MemberId(1), incarnation=9)
U64 = st.integers(0, 2**64 - 1)
ENTRY = st.builds(Entry, U64, U64, U64, st.sampled_from(EntryKind), st.binary())
POSITION = st.builds(Position, U64, U64)
HARD_STATE = st.builds(HardState, U64, U64)


def vectors(document: str) -> list[bytes]:
    """The indented hex blocks of a page in docs/formats."""
    root = Path(__file__).parents[4]
    text = (root / "docs" / "formats" / document).read_text()
    blocks = re.findall(r"(?:^    [0-9a-f]+\n)+", text, re.MULTILINE)
    return [bytes.fromhex("".join(block.split())) for block in blocks]


def test_the_documented_vectors() -> None:
    header = frames.seal(records.encode_header(Header(1, META, WalState())), 0, 0)
    entry = Entry(Index(1), Term(2), Subterm(0), EntryKind.COMMANDS, b"hi")
    body = records.encode_entries([entry]) + records.encode_hard_state(
        HardState(Term(2), MemberId(1))
    )
    assert [header, frames.seal(body, 1, META.seed())] == vectors("wal.md")


@given(st.lists(ENTRY, max_size=4), HARD_STATE, U64, POSITION, st.booleans())
def test_records_round_trip(
    entries: list[Entry],
    hard_state: HardState,
    index: int,
    position: Position,
    reset: bool,
) -> None:
    mark = Mark(Index(index), position, reset)
    state = WalState(hard_state, Index(index), position, Index(index))
    header = Header(index, META, state)
    body = (
        records.encode_header(header)
        + records.encode_entries(entries)
        + records.encode_hard_state(hard_state)
        + records.encode_mark(mark)
    )
    assert list(records.decode(body)) == [header, Entries(entries), hard_state, mark]


@given(st.binary())
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    try:
        list(records.decode(body))
    except records.RecordInvalid:
        return


def test_a_later_version_and_another_program_are_named() -> None:
    body = bytearray(records.encode_header(Header(1, META, WalState())))
    struct.pack_into("<H", body, 13, 2)
    with pytest.raises(records.RecordInvalid, match="format version 2"):
        list(records.decode(bytes(body)))
    body[5:13] = b"somebody"
    with pytest.raises(records.RecordInvalid, match="not a log of twofold"):
        list(records.decode(bytes(body)))


def test_a_frame_of_another_member_does_not_verify() -> None:
    frame = frames.seal(b"body", 1, META.seed())
    other = WalMeta(7, MemberId(1), incarnation=10)
    assert frames.read(frame, 0, META.seed()) is not None
    assert frames.read(frame, 0, other.seed()) is None


def test_tails_are_told_apart() -> None:
    whole = frames.seal(b"a" * 1200, 5, 0)
    room = bytes(2048)
    half = whole[:512] + bytes(512) + whole[1024:]
    flipped = whole[:700] + b"b" + whole[701:]
    later = frames.seal(b"next", 6, 0)

    def judge(content: bytes) -> Tail:
        return frames.judge_tail(content, 0, 5, 0)

    assert judge(room) is Tail.CLEAN
    assert judge(half + room) is Tail.TORN
    assert judge(bytes(512) + whole[512:] + room) is Tail.TORN
    assert judge(whole[:900]) is Tail.TORN
    assert judge(whole[:7]) is Tail.TORN
    assert judge(flipped + room) is Tail.DAMAGED
    assert judge(half + later + room) is Tail.DAMAGED
