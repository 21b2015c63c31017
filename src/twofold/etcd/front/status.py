"""gRPC response headers and trailers, ready packed."""

from __future__ import annotations

from struct import Struct

from twofold.etcd.front.frames import END_HEADERS, END_STREAM, HEADERS
from twofold.etcd.front.hpack import literal

_MESSAGE_BYTES_MAX = 4096

# Index 8 is ":status: 200".
RESPONSE_BLOCK = b"\x88" + literal(b"content-type", b"application/grpc")
OK_BLOCK = literal(b"grpc-status", b"0")

_HEADERS_WORD = len(RESPONSE_BLOCK) << 8 | HEADERS
_TRAILERS_WORD = len(OK_BLOCK) << 8 | HEADERS

# A whole unary answer is START, the message, END: three frames in one piece.
_START = Struct(f">IBI{len(RESPONSE_BLOCK)}sIBIBI")
_END = Struct(f">IBI{len(OK_BLOCK)}s")
_pack_start = _START.pack
_pack_end = _END.pack


def unary_answer(stream_id: int, message: bytes) -> bytes:
    """HEADERS, DATA and trailers for a message that fits one frame."""
    size = len(message)
    return (
        _pack_start(
            _HEADERS_WORD,
            END_HEADERS,
            stream_id,
            RESPONSE_BLOCK,
            size + 5 << 8,
            0,
            stream_id,
            0,
            size,
        )
        + message
        + _pack_end(_TRAILERS_WORD, END_HEADERS | END_STREAM, stream_id, OK_BLOCK)
    )


def status_block(code: int, message: str, with_headers: bool) -> bytes:
    """Trailers for a status; ``with_headers`` makes them trailers-only."""
    start = RESPONSE_BLOCK if with_headers else b""
    block = start + literal(b"grpc-status", b"%d" % code)
    if message:
        block += literal(b"grpc-message", percent_encode(message))
    return block


def percent_encode(message: str) -> bytes:
    """``grpc-message``: printable ASCII but ``%`` stands for itself."""
    out = bytearray()
    for octet in message.encode("utf-8", "replace")[:_MESSAGE_BYTES_MAX]:
        if 0x20 <= octet <= 0x7E and octet != 0x25:
            out.append(octet)
        else:
            out += b"%%%02X" % octet
    return bytes(out)
