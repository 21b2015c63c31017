"""The request heads of one connection: decoded, checked, routed, remembered."""

from __future__ import annotations

from twofold.etcd.front.hpack import Decoder, Field
from twofold.etcd.front.port import (
    CODE_INTERNAL,
    CODE_UNIMPLEMENTED,
    Call,
    HttpRequest,
)
from twofold.etcd.front.requests import BAD_GRPC, GRPC, RequestHead, parse_head
from twofold.etcd.front.shared import Shared

_CACHE_COUNT_MAX = 64
_CACHED_BLOCK_BYTES_MAX = 2048


class Heads:
    """Turns header blocks into routed heads.

    ``cache`` maps blocks to heads for as long as the dynamic table stands still;
    most clients repeat their blocks, and a hit costs one dictionary look-up.
    """

    __slots__ = ("_decoder", "_known", "_shared", "cache")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._decoder = Decoder(shared.limits.header_bytes_max)
        self.cache: dict[bytes, RequestHead] = {}
        self._known: dict[tuple[Field, ...], RequestHead] = {}

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a block; every block must pass here, in order.

        Raises: ConnectionFault.
        """
        generation = self._decoder.generation
        fields = self._decoder.decode(block)
        if self._decoder.generation != generation:
            # Equal blocks may mean other fields from now on.
            self.cache.clear()
        return fields

    def read(self, block: bytes) -> RequestHead:
        """The head of a request that is not in the cache.

        Raises: ConnectionFault, MalformedHead.
        """
        generation = self._decoder.generation
        fields = self.decode(block)
        # Many clients give each call another deadline and all else the same.
        timeout = _cut_timeout(fields)
        key = tuple(fields)
        head = self._known.get(key)
        if head is None:
            head = parse_head(fields)
            self._route(head)
            if len(block) <= _CACHED_BLOCK_BYTES_MAX:
                if len(self._known) >= _CACHE_COUNT_MAX:
                    self._known.clear()
                self._known[key] = head
        if timeout is not None:
            head = head.with_timeout(timeout)
            if head.timeout_is_bad and head.grpc == GRPC:
                head.stream_factory = None
                head.unary_handler = _malformed_timeout
        is_repeatable = self._decoder.generation == generation
        if is_repeatable and len(block) <= _CACHED_BLOCK_BYTES_MAX:
            if len(self.cache) >= _CACHE_COUNT_MAX:
                self.cache.clear()
            self.cache[block] = head
        return head

    def _route(self, head: RequestHead) -> None:
        shared = self._shared
        if head.grpc == GRPC and head.method == b"POST":
            if head.path in shared.streams:
                head.stream_factory = shared.streams[head.path]
            else:
                head.unary_handler = shared.unary.get(head.path, _unimplemented)
        elif head.grpc == GRPC:
            head.http_handler = _method_not_allowed
        elif head.grpc == BAD_GRPC:
            head.http_handler = _unsupported_media
        else:
            head.http_handler = shared.http


def _cut_timeout(fields: list[Field]) -> bytes | None:
    for i, field in enumerate(fields):
        if field[0] == b"grpc-timeout":
            del fields[i]
            return field[1]
    return None


def _unimplemented(call: Call, _message: bytes) -> None:
    call.fail(CODE_UNIMPLEMENTED, f"unknown method {call.path}")


def _malformed_timeout(call: Call, _message: bytes) -> None:
    call.fail(CODE_INTERNAL, "malformed grpc-timeout")


def _method_not_allowed(request: HttpRequest) -> None:
    request.respond(405, {}, b"")


def _unsupported_media(request: HttpRequest) -> None:
    request.respond(415, {}, b"")
