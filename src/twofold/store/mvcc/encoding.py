"""The few protobuf fields that are written by hand, for speed.

All of it is canonical protobuf: ascending field numbers, zero values left out.
"""

from __future__ import annotations

from collections.abc import Iterable

_ONE_BYTE = [bytes([value]) for value in range(128)]

_RANGE_KV = b"\x12"
_RANGE_MORE = b"\x18\x01"
_RANGE_COUNT = b"\x20"
_WATCH_EVENT = b"\x5a"
_EVENT_DELETE = b"\x08\x01"
_EVENT_KV = b"\x12"
_EVENT_PREVIOUS = b"\x1a"
_KV_MOD_REVISION = b"\x18"


def varint(value: int) -> bytes:
    """A base-128 number. Shape: ``value`` >= 0."""
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field."""
    return tag + varint(len(content)) + content


def inner_header(revision: int) -> bytes:
    """Field 1 of a response: a header with nothing but the revision."""
    return field(b"\x0a", b"\x18" + varint(revision))


def key_of(data: bytes) -> bytes:
    """The key of a serialized KeyValue: always its first field."""
    size, at, shift = data[1], 2, 7
    if size > 127:
        size &= 127
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
    return data[at : at + size]


def event(data: bytes, main: int, deleted: bool, previous: bytes | None) -> bytes:
    """One entry of WatchResponse.events (field 11)."""
    if deleted:
        # A tombstone is stored without its revision; the event has it.
        data += _KV_MOD_REVISION + varint(main)
        body = _EVENT_DELETE + _EVENT_KV + varint(len(data)) + data
    else:
        body = _EVENT_KV + varint(len(data)) + data
    if previous is not None:
        body += _EVENT_PREVIOUS + varint(len(previous)) + previous
    return _WATCH_EVENT + varint(len(body)) + body


def range_body(kvs: Iterable[bytes], count: int, more: bool) -> bytes:
    """A RangeResponse without its header."""
    parts = []
    for data in kvs:
        parts.append(_RANGE_KV + varint(len(data)))
        parts.append(data)
    if more:
        parts.append(_RANGE_MORE)
    if count:
        parts.append(_RANGE_COUNT + varint(count))
    return b"".join(parts)
