"""The stream is cut into frames wherever reads end, and strangers are refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.base.ids import MemberId
from twofold.peer import frames, heartbeat
from twofold.peer.errors import FrameInvalid
from twofold.peer.frames import FrameKind, FrameReader, Hello

MINE = Hello(cluster_id=7, member_id=MemberId(1), incarnation=11, boot_id=21)
THEIRS = Hello(cluster_id=7, member_id=MemberId(2), incarnation=12, boot_id=22)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(1, 30)),
)
def test_frames_do_not_depend_on_where_reads_end(
    sent: list[tuple[int, bytes]], steps: list[int]
) -> None:
    stream = b"".join(frames.seal(kind, body) for kind, body in sent)
    reader = FrameReader(1 << 20)
    got = []
    for step in steps:
        got += reader.feed(stream[:step])
        stream = stream[step:]
    got += reader.feed(stream)
    assert got == sent


def test_a_frame_over_the_limit_is_refused_by_its_head() -> None:
    reader = FrameReader(10)
    with pytest.raises(FrameInvalid, match="11 bytes"):
        reader.feed(frames.seal(4, bytes(11))[:5])


def test_a_greeting_round_trips_and_may_grow() -> None:
    assert frames.decode_hello(frames.encode_hello(MINE)) == MINE
    assert frames.decode_hello(frames.encode_hello(MINE) + b"later") == MINE


@pytest.mark.parametrize("body", [b"", b"GET / HTTP/1.1", bytes(42)])
def test_a_stranger_is_no_member(body: bytes) -> None:
    with pytest.raises(FrameInvalid, match="twofold"):
        frames.decode_hello(body)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cluster_id": 8}, "another cluster"),
        ({"member_id": MemberId(1)}, "own"),
        ({"member_id": MemberId(3)}, "the peer is 2"),
        ({"version": 2}, "protocol version 2"),
        ({"incarnation": 99, "boot_id": 99}, ""),
    ],
)
def test_the_reason_names_what_does_not_match(
    change: dict[str, int], words: str
) -> None:
    theirs = dataclasses.replace(THEIRS, **change)  # type: ignore[arg-type]
    reason = frames.judge_hello(MINE, theirs, MemberId(2))
    assert words in reason
    assert bool(reason) == bool(words)


def test_the_documented_vectors() -> None:
    root = Path(__file__).parents[3]
    text = (root / "docs" / "formats" / "peer.md").read_text()
    blocks = re.findall(r"(?:^    [0-9a-f]+\n)+", text, re.MULTILINE)
    beat = heartbeat.Heartbeat(MINE, 3, 4)
    assert [bytes.fromhex("".join(block.split())) for block in blocks] == [
        frames.seal(FrameKind.HELLO, frames.encode_hello(MINE)),
        heartbeat.encode(beat),
    ]
