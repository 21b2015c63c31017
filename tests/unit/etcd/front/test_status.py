"""Packed answers are the frames they claim to be."""

from hpack import Decoder

from twofold.etcd.front import frames
from twofold.etcd.front.status import percent_encode, status_block, unary_answer


def test_messages_are_percent_encoded() -> None:
    assert percent_encode("plain: ~ text") == b"plain: ~ text"
    assert percent_encode("100%\n\u00e9") == b"100%25%0A%C3%A9"


def test_a_status_block_decodes() -> None:
    decoded = Decoder().decode(status_block(5, "not here", True))
    fields = {str(name): str(value) for name, value in decoded}
    assert fields == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "5",
        "grpc-message": "not here",
    }


def test_a_unary_answer_is_three_frames() -> None:
    answer = unary_answer(7, b"abc")
    kinds = []
    start = 0
    while start < len(answer):
        word, flags, stream_id = frames.FRAME_HEADER.unpack_from(answer, start)
        kinds.append((word & 0xFF, flags, stream_id))
        start += 9 + (word >> 8)
    assert kinds == [(1, 4, 7), (0, 0, 7), (1, 5, 7)]
    assert b"\x00\x00\x00\x00\x03abc" in answer
