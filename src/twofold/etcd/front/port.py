"""What the front offers to handlers, and what handlers must offer to it.

Everything runs on the loop's thread. No handler may block. An exception that
leaves a handler ends the connection and reaches the loop's exception handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

CODE_OK = 0
CODE_RESOURCE_EXHAUSTED = 8
CODE_UNIMPLEMENTED = 12
CODE_INTERNAL = 13
CODE_UNAVAILABLE = 14


class Peer(Protocol):
    """The client end of a connection."""

    @property
    def address(self) -> str:
        """``host:port``, IPv6 hosts in brackets; empty if unknown."""

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""

    @property
    def common_name(self) -> str | None:
        """Common name of the verified client certificate, if there is one."""


class RequestContext(Protocol):
    """What came with a gRPC request besides its messages."""

    @property
    def path(self) -> str:
        """Such as ``/etcdserverpb.KV/Put``."""

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """``token``, ``authorization``, ``hasleader`` if sent; the first value wins."""

    @property
    def timeout_ms(self) -> int | None:
        """The client's ``grpc-timeout``, rounded up; the front keeps no timer."""

    @property
    def connection(self) -> Peer:
        """Who asks."""

    @property
    def alive(self) -> bool:
        """False once answered, reset by the client, or the connection is gone."""


class Call(RequestContext, Protocol):
    """One unary request; exactly one of ``reply`` and ``fail`` answers it.

    Answering a call that is not alive does nothing.
    """

    def reply(self, message: bytes | list[bytes]) -> None:
        """Send the serialized reply; a list is its parts in order.

        Cost: parts of a large reply are referenced until sent, never joined whole.
        """

    def fail(self, code: int, message: str) -> None:
        """End the call with a gRPC status."""


class Stream(RequestContext, Protocol):
    """A stream of messages in both directions, or from the server only."""

    def send(self, message: bytes | list[bytes]) -> bool:
        """Queue a message.

        Returns: False once the backlog is above its high-water mark; the message
        is queued all the same, and ``StreamHandler.writable`` follows once the
        backlog has shrunk. True if the stream is over (nothing is sent).
        """

    def finish(self) -> None:
        """Send what is queued, then status OK."""

    def fail(self, code: int, message: str) -> None:
        """Drop what is queued and end the stream with a gRPC status."""

    def end_of_client(self) -> bool:
        """Whether the client has sent its last message."""


class StreamHandler(Protocol):
    """The server's side of one stream."""

    def opened(self, stream: Stream) -> None:
        """Called once, before any other."""

    def message(self, message: bytes) -> None:
        """A whole message came."""

    def half_closed(self) -> None:
        """The client sends no more; usually the moment to ``finish``."""

    def writable(self) -> None:
        """After ``send`` gave False: the backlog is below its low-water mark."""

    def closed(self) -> None:
        """Called once at the end, whoever ended the stream; nothing follows."""


class HttpRequest(Protocol):
    """A request that is not gRPC, by HTTP/1.1 or HTTP/2."""

    @property
    def method(self) -> str:
        """Upper case, as sent."""

    @property
    def path(self) -> str:
        """Without the query, percent-encoding kept."""

    @property
    def query(self) -> str:
        """What follows ``?``; may be empty."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; repeated ones joined by a comma."""

    @property
    def body(self) -> bytes:
        """The whole body."""

    @property
    def connection(self) -> Peer:
        """Who asks."""

    @property
    def alive(self) -> bool:
        """False once answered or the client is gone."""

    def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer once, now or later; ``content-length`` is added."""


UnaryHandler = Callable[[Call, bytes], None]
StreamFactory = Callable[[Stream], StreamHandler]
HttpHandler = Callable[[HttpRequest], None]


@dataclass(frozen=True, slots=True)
class Routes:
    """Which handler serves which gRPC path; everything else goes to ``http``."""

    unary: Mapping[str, UnaryHandler]
    streams: Mapping[str, StreamFactory]
    http: HttpHandler


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one peer may make the server hold or do.

    ``*_per_s`` and ``*_s`` are counted by a sweep once a second.
    """

    message_bytes_max: int = 1_572_864 + 512 * 1024
    header_bytes_max: int = 64 * 1024
    continuations_max: int = 64
    streams_max: int = 16_384
    connections_max: int = 20_000
    stream_window_bytes: int = 1 << 20
    connection_window_bytes: int = 4 << 20
    partial_bytes_max: int = 64 << 20
    backlog_high_bytes: int = 1 << 20
    backlog_low_bytes: int = 256 << 10
    reply_backlog_bytes_max: int = 1 << 30
    write_buffer_bytes_max: int = 4 << 20
    resets_per_s: int = 5_000
    pings_per_s: int = 10_000
    settings_per_s: int = 50
    faults_per_s: int = 1_000
    empty_frames_per_s: int = 10_000
    handshake_s: int = 10
    header_block_s: int = 10
    request_s: int = 60
    write_stall_s: int = 60
    http1_idle_s: int = 300
    keepalive_interval_s: int = 7200
    keepalive_timeout_s: int = 20


@dataclass(slots=True)
class Counters:
    """Totals for metrics; ``connections`` and ``streams`` are how many are open."""

    bytes_in: int = 0
    bytes_out: int = 0
    connections: int = 0
    connections_accepted: int = 0
    connections_refused: int = 0
    protocol_faults: int = 0
