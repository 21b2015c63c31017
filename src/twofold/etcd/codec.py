"""Replies written by hand: field tags around bytes that the store keeps.

Stored KeyValues are never decoded: a reply is a join. Every function gives the
encoded message, or for ranges its pieces, in the order of etcd's field numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twofold.proto import rpc_pb2

_SMALL_COUNT = 4096
_UINT64_MASK = (1 << 64) - 1


def _encode_varint(value: int) -> bytes:
    value &= _UINT64_MASK
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = tuple(_encode_varint(value) for value in range(_SMALL_COUNT))


def varint(value: int) -> bytes:
    """A protobuf varint; negative values as int64 are, in ten bytes."""
    if 0 <= value < _SMALL_COUNT:
        return _SMALL[value]
    return _encode_varint(value)


def tagged(tag: bytes, value: int) -> bytes:
    """A varint field; nothing for 0, which proto3 leaves out."""
    return tag + varint(value) if value else b""


def block(tag: bytes, body: bytes) -> bytes:
    """A length-delimited field; written even when empty."""
    return tag + varint(len(body)) + body


class Headers:
    """Encodes ResponseHeader as field 1; the newest one is kept.

    All replies of a turn of the loop mostly share revision and term.
    """

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self._ids = tagged(b"\x08", cluster_id) + tagged(b"\x10", member_id)
        self._revision = -1
        self._term = -1
        self._field = b""

    def field(self, revision: int, term: int) -> bytes:
        """Field 1 of a response, complete with tag and length."""
        if revision != self._revision or term != self._term:
            body = self._ids + tagged(b"\x18", revision) + tagged(b"\x20", term)
            self._field = block(b"\x0a", body)
            self._revision = revision
            self._term = term
        return self._field

    def message(self, revision: int, term: int) -> rpc_pb2.ResponseHeader:
        """The same header for messages that protobuf itself encodes."""
        body = self._ids + tagged(b"\x18", revision) + tagged(b"\x20", term)
        return rpc_pb2.ResponseHeader.FromString(body)


def range_body(kvs: Sequence[bytes], more: bool, count: int) -> list[bytes]:
    """RangeResponse without its header, in pieces."""
    small = _SMALL
    pieces: list[bytes] = []
    add = pieces.append
    for kv in kvs:
        size = len(kv)
        # The table is read in place: a list of 10 000 keys pays for each call.
        add(b"\x12" + (small[size] if size < _SMALL_COUNT else varint(size)))
        add(kv)
    tail = (b"\x18\x01" if more else b"") + tagged(b"\x20", count)
    if tail:
        add(tail)
    return pieces


def range_reply(
    header: bytes, kvs: Sequence[bytes], more: bool, count: int
) -> bytes | list[bytes]:
    """RangeResponse; many pieces stay apart so that they are copied once."""
    if len(kvs) == 1 and not more:
        kv = kvs[0]
        tail = tagged(b"\x20", count)
        return b"".join((header, b"\x12", varint(len(kv)), kv, tail))
    return [header, *range_body(kvs, more, count)]


def put_reply(header: bytes, previous: bytes | None) -> bytes:
    """PutResponse."""
    if previous is None:
        return header
    return header + b"\x12" + varint(len(previous)) + previous


def delete_reply(header: bytes, deleted: int, previous: Iterable[bytes]) -> bytes:
    """DeleteRangeResponse."""
    pieces = [header, tagged(b"\x10", deleted)]
    pieces += [block(b"\x1a", kv) for kv in previous]
    return b"".join(pieces)


def txn_reply(header: bytes, succeeded: bool, responses: bytes) -> bytes:
    """TxnResponse; ``responses`` is its field 3, already encoded."""
    if succeeded:
        return header + b"\x10\x01" + responses
    return header + responses


def lease_grant_reply(header: bytes, lease_id: int, ttl_s: int) -> bytes:
    """LeaseGrantResponse; also the layout of LeaseKeepAliveResponse."""
    return header + tagged(b"\x10", lease_id) + tagged(b"\x18", ttl_s)


keep_alive_reply = lease_grant_reply
"""LeaseKeepAliveResponse: same numbers, same types."""
