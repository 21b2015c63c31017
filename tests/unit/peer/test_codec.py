"""Messages come back from their bytes as they went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.peer import codec
from twofold.peer.errors import FrameInvalid
from twofold.raft.types import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Message,
    OwnerView,
    Position,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    SnapshotInstalled,
    TimeoutNow,
    Vote,
    VoteReply,
)

U64 = st.integers(0, 2**64 - 1)
FLAG = st.booleans()
POSITION = st.builds(Position, U64, U64)
RECORD = st.none() | st.builds(OwnerView, U64, U64, U64, U64, U64)
ENTRY = st.builds(Entry, U64, U64, U64, st.sampled_from(EntryKind), st.binary())
ENTRIES = st.lists(ENTRY, max_size=4).map(tuple)
MESSAGE: st.SearchStrategy[Message] = st.one_of(
    st.builds(PreVote, U64, U64, POSITION),
    st.builds(PreVoteReply, U64, FLAG),
    st.builds(Vote, U64, U64, POSITION, FLAG),
    st.builds(VoteReply, U64, FLAG),
    st.builds(Append, U64, U64, U64, ENTRIES, U64, U64, FLAG, RECORD),
    st.builds(AppendReply, U64, FLAG, U64, U64, RECORD),
    st.builds(SnapshotInstalled, U64, U64),
    st.builds(TimeoutNow, U64),
    st.builds(ReadIndex, U64, U64),
    st.builds(ReadIndexReply, U64, U64, U64),
)


@given(st.lists(MESSAGE, max_size=5))
def test_messages_round_trip(messages: list[Message]) -> None:
    assert codec.decode(codec.encode(messages)) == messages


@given(st.lists(MESSAGE, min_size=1, max_size=3), st.data())
def test_a_cut_body_is_refused(messages: list[Message], data: st.DataObject) -> None:
    body = codec.encode(messages)
    last = len(codec.encode(messages[:-1]))
    cut = data.draw(st.integers(last + 1, len(body) - 1))
    with pytest.raises(FrameInvalid):
        codec.decode(body[:cut])


@given(st.binary())
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    try:
        codec.decode(body)
    except FrameInvalid:
        return


def test_the_documented_vector() -> None:
    entry = Entry(5, 2, 1, EntryKind.COMMANDS, b"hi")  # type: ignore[arg-type]
    record = OwnerView(3, 2, 0, 1, 9)  # type: ignore[arg-type]
    append = Append(2, 4, 2, (entry,), 4, 7, True, record)  # type: ignore[arg-type]
    assert codec.encode([append]).hex() == (
        "05"
        "0200000000000000"
        "0400000000000000"
        "0200000000000000"
        "0400000000000000"
        "0700000000000000"
        "01"
        "01"
        "01000000"
        "0300000000000000"
        "0200000000000000"
        "0000000000000000"
        "0100000000000000"
        "0900000000000000"
        "0500000000000000"
        "0200000000000000"
        "0100000000000000"
        "01"
        "02000000"
        "6869"
    )
