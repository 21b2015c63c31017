"""Frames survive any cutting of the stream; broken ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.client import frames
from twofold.client.frames import BrokenFrame, FrameReader

FRAME = st.tuples(
    st.integers(0, 9),
    st.integers(0, 255),
    st.integers(0, 2**31 - 1),
    st.binary(max_size=40),
)


@given(st.lists(FRAME, max_size=5), st.lists(st.integers(1, 30), max_size=20))
def test_frames_come_out_as_they_went_in(
    sent: list[tuple[int, int, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frames.frame(*one) for one in sent)
    reader = FrameReader()
    received: list[tuple[int, int, int, bytes]] = []
    for cut in [*cuts, len(stream)]:
        received += reader.feed(stream[:cut])
        stream = stream[cut:]
    received += reader.feed(stream)
    assert received == sent


def test_a_frame_longer_than_announced_is_refused() -> None:
    reader = FrameReader(frame_size_max=10)
    with pytest.raises(BrokenFrame, match="11 bytes"):
        list(reader.feed(frames.frame(frames.DATA, 0, 1, b"x" * 11)))


def test_settings_come_out_as_they_went_in() -> None:
    values = {frames.SETTING_WINDOW: 100, frames.SETTING_FRAME_SIZE: 20_000}
    ((kind, _, stream, payload),) = FrameReader().feed(frames.settings(values))
    assert (kind, stream) == (frames.SETTINGS, 0)
    assert frames.read_settings(payload) == values


def test_settings_of_a_wrong_length_are_refused() -> None:
    with pytest.raises(BrokenFrame, match="multiple of 6"):
        frames.read_settings(b"12345")


@pytest.mark.parametrize(
    ("flags", "payload", "content"),
    [
        (0, b"abc", b"abc"),
        (frames.PADDED, b"\x02abc\0\0", b"abc"),
        (frames.PRIORITY, b"12345abc", b"abc"),
        (frames.PADDED | frames.PRIORITY, b"\x0112345abc\0", b"abc"),
    ],
)
def test_padding_and_priority_are_taken_off(
    flags: int, payload: bytes, content: bytes
) -> None:
    assert frames.unpad(flags, payload) == content


@pytest.mark.parametrize("payload", [b"", b"\x05abc"])
def test_impossible_padding_is_refused(payload: bytes) -> None:
    with pytest.raises(BrokenFrame):
        frames.unpad(frames.PADDED, payload)
