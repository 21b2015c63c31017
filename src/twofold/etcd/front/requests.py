"""From decoded header fields to a checked request head (RFC 9113 §8, gRPC)."""

from __future__ import annotations

import re

from twofold.etcd.front.errors import MalformedHead
from twofold.etcd.front.hpack import Field
from twofold.etcd.front.port import HttpHandler, StreamFactory, UnaryHandler

_FORBIDDEN = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding")
) | {b"upgrade"}
_METADATA = frozenset((b"token", b"authorization", b"hasleader"))
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]")
_TIMEOUT_DIGITS_MAX = 8
_NS_PER_UNIT = {
    ord("H"): 3_600_000_000_000,
    ord("M"): 60_000_000_000,
    ord("S"): 1_000_000_000,
    ord("m"): 1_000_000,
    ord("u"): 1_000,
    ord("n"): 1,
}

GRPC, NOT_GRPC, BAD_GRPC = 1, 0, -1


class RequestHead:
    """The head of a request; shared by requests with equal header blocks."""

    __slots__ = (
        "content_length",
        "fields",
        "grpc",
        "http_handler",
        "metadata",
        "method",
        "path",
        "stream_factory",
        "timeout_is_bad",
        "timeout_ms",
        "unary_handler",
    )

    def __init__(self) -> None:
        self.method = b""
        self.path = b""
        self.grpc = NOT_GRPC
        self.content_length: int | None = None
        self.metadata: dict[bytes, bytes] = {}
        self.timeout_ms: int | None = None
        self.timeout_is_bad = False
        self.fields: list[Field] = []
        self.http_handler: HttpHandler | None = None
        self.unary_handler: UnaryHandler | None = None
        self.stream_factory: StreamFactory | None = None

    def with_timeout(self, value: bytes) -> RequestHead:
        """The same head with this ``grpc-timeout``, which may be malformed."""
        head = RequestHead.__new__(RequestHead)
        head.method = self.method
        head.path = self.path
        head.grpc = self.grpc
        head.content_length = self.content_length
        head.metadata = self.metadata
        head.fields = self.fields
        head.http_handler = self.http_handler
        head.unary_handler = self.unary_handler
        head.stream_factory = self.stream_factory
        head.timeout_ms = parse_timeout_ms(value)
        head.timeout_is_bad = head.timeout_ms is None
        return head


def parse_head(fields: list[Field]) -> RequestHead:
    """Check the fields of a request and take what the front needs.

    ``grpc-timeout`` is left to ``with_timeout``.
    Raises: MalformedHead.
    """
    head = RequestHead()
    head.fields = fields
    pseudo: dict[bytes, bytes] = {}
    in_pseudo = True
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise MalformedHead("malformed field value")
        if name[:1] == b":":
            if not in_pseudo or name in pseudo or name not in _PSEUDO:
                raise MalformedHead("malformed request head")
            pseudo[name] = value
        else:
            in_pseudo = False
            _take_field(head, name, value)
    try:
        head.method = pseudo[b":method"]
        head.path = pseudo[b":path"]
        pseudo[b":scheme"]
    except KeyError:
        raise MalformedHead("pseudo-header missing") from None
    if not head.path or not head.method:
        raise MalformedHead("malformed request head")
    return head


def _take_field(head: RequestHead, name: bytes, value: bytes) -> None:
    check_name(name)
    if name == b"content-type":
        head.grpc = _grpc_kind(value)
    elif name == b"te":
        if value != b"trailers":
            raise MalformedHead("malformed request head")
    elif name == b"content-length":
        if not value.isdigit() or len(value) > 18:
            raise MalformedHead("malformed request head")
        head.content_length = int(value)
    elif name in _METADATA:
        head.metadata.setdefault(name, value)


def check_name(name: bytes) -> None:
    """Refuse connection-specific and upper-case names.

    Raises: MalformedHead.
    """
    if name in _FORBIDDEN or _NAME.fullmatch(name) is None:
        raise MalformedHead("malformed request head")


def check_trailers(fields: list[Field]) -> None:
    """Check the fields after a body; their content is of no interest.

    Raises: MalformedHead.
    """
    for name, _ in fields:
        if name[:1] == b":":
            raise MalformedHead("malformed request head")
        check_name(name)


def _grpc_kind(content_type: bytes) -> int:
    if not content_type.startswith(b"application/grpc"):
        return NOT_GRPC
    subtype = content_type[16:]
    if not subtype or subtype == b"+proto" or subtype[:1] == b";":
        return GRPC
    return BAD_GRPC


def parse_timeout_ms(value: bytes) -> int | None:
    """``grpc-timeout`` in ms, rounded up; None if it is malformed."""
    digits = value[:-1]
    unit_ns = _NS_PER_UNIT.get(value[-1]) if value else None
    if unit_ns is None or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS_MAX:
        return None
    return -(-int(digits) * unit_ns // 1_000_000)
