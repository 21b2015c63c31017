"""HTTP/2 frame constants and packing (RFC 9113 §4 to §6)."""

from __future__ import annotations

from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
FRAME_PAYLOAD_BYTES_MAX = 16_384
WINDOW_MAX = 0x7FFF_FFFF
WINDOW_DEFAULT = 65_535
STREAM_ID_MASK = 0x7FFF_FFFF

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

SETTING_ENABLE_PUSH, SETTING_STREAMS_MAX, SETTING_INITIAL_WINDOW = 2, 3, 4
SETTING_FRAME_BYTES_MAX, SETTING_HEADER_BYTES_MAX = 5, 6

# Length and type share one 32-bit word: length << 8 | type.
FRAME_HEADER = Struct(">IBI")
UINT32 = Struct(">I")
SETTING = Struct(">HI")
# Header of a DATA frame, then the five bytes before a gRPC message.
MESSAGE_START = Struct(">IBIBI")

SETTINGS_ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
PING_ACK_START = b"\x00\x00\x08\x06\x01\x00\x00\x00\x00"
KEEPALIVE_PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00twofold\x00"


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return FRAME_HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def window_update(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE for a stream, or for the connection if ``stream_id`` is 0."""
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))


def rst_stream(stream_id: int, code: int) -> bytes:
    """RST_STREAM."""
    return frame(RST_STREAM, 0, stream_id, UINT32.pack(code))


def goaway(last_stream_id: int, code: int, reason: str = "") -> bytes:
    """GOAWAY; ``reason`` is debug data for the peer's log."""
    payload = UINT32.pack(last_stream_id) + UINT32.pack(code) + reason.encode()[:256]
    return frame(GOAWAY, 0, 0, payload)


def server_settings(
    streams_max: int, stream_window: int, connection_window: int, header_bytes: int
) -> bytes:
    """What the server says first: its SETTINGS and the connection's window."""
    settings = (
        SETTING.pack(SETTING_STREAMS_MAX, streams_max)
        + SETTING.pack(SETTING_INITIAL_WINDOW, stream_window)
        + SETTING.pack(SETTING_HEADER_BYTES_MAX, header_bytes)
    )
    grown = connection_window - WINDOW_DEFAULT
    update = window_update(0, grown) if grown > 0 else b""
    return frame(SETTINGS, 0, 0, settings) + update


def headers_frame(stream_id: int, block: bytes, end_stream: bool) -> bytes:
    """HEADERS with END_HEADERS, followed by CONTINUATION if the block is long."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= FRAME_PAYLOAD_BYTES_MAX:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    step = FRAME_PAYLOAD_BYTES_MAX
    parts = [block[i : i + step] for i in range(0, len(block), step)]
    out = [frame(HEADERS, flags, stream_id, parts[0])]
    out += [frame(CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    out.append(frame(CONTINUATION, END_HEADERS, stream_id, parts[-1]))
    return b"".join(out)
