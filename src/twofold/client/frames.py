"""HTTP/2 frames as bytes: making them and cutting them out of a stream.

No I/O. Source: RFC 9113, sections 4 and 6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from twofold.base.errors import Failure

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9

END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

SETTING_WINDOW, SETTING_FRAME_SIZE = 4, 5
FRAME_SIZE_MIN = 16_384
WINDOW_DEFAULT = 65_535

_HEAD_LENGTH = 9


class BrokenFrame(Failure):
    """The server does not speak HTTP/2; the connection is of no more use."""

    retry = False


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes((kind, flags))
        + struct.pack(">I", stream)
        + payload
    )


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(struct.pack(">HI", *pair) for pair in values.items())
    return frame(SETTINGS, 0, 0, payload)


def window_update(stream: int, size_bytes: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size_bytes))


def read_settings(payload: bytes) -> dict[int, int]:
    """The values of a SETTINGS frame."""
    if len(payload) % 6:
        raise BrokenFrame("SETTINGS of a length that is no multiple of 6")
    return dict(struct.iter_unpack(">HI", payload))


def unpad(flags: int, payload: bytes) -> bytes:
    """The content of a DATA or HEADERS frame, without padding and priority."""
    end = len(payload)
    start = 0
    if flags & PADDED:
        if not payload:
            raise BrokenFrame("a padded frame without a length of the padding")
        start, end = 1, end - payload[0]
    if flags & PRIORITY:
        start += 5
    if start > end:
        raise BrokenFrame("more padding than payload")
    return payload[start:end]


class FrameReader:
    """Cuts what arrives into frames.

    Shape: gives ``(kind, flags, stream, payload)``; ``payload`` is at most what
    we announced, since a longer frame is an error.
    """

    def __init__(self, frame_size_max: int = FRAME_SIZE_MIN) -> None:
        self._buffer = bytearray()
        self._frame_size_max = frame_size_max

    def feed(self, received: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Take bytes; give the frames that are complete.

        Raises:
            BrokenFrame: a frame is longer than allowed.
        """
        buffer = self._buffer
        buffer += received
        position = 0
        try:
            while len(buffer) - position >= _HEAD_LENGTH:
                length = int.from_bytes(buffer[position : position + 3], "big")
                if length > self._frame_size_max:
                    raise BrokenFrame(f"a frame of {length} bytes")
                end = position + _HEAD_LENGTH + length
                if len(buffer) < end:
                    break
                kind, flags = buffer[position + 3], buffer[position + 4]
                stream = int.from_bytes(buffer[position + 5 : position + 9], "big")
                payload = bytes(buffer[position + _HEAD_LENGTH : end])
                position = end
                yield kind, flags, stream & 0x7FFFFFFF, payload
        finally:
            del buffer[:position]
