"""What a stream of HTTP/2 can be here: a unary call, a message stream, plain HTTP.

The connection feeds each with DATA payloads (``take``) and tells it when the
client reset it or vanished (``abandon``).
"""

from __future__ import annotations

from collections.abc import Mapping

from twofold.etcd.front.frames import (
    CANCEL,
    FRAME_PAYLOAD_BYTES_MAX,
    MESSAGE_START,
    PROTOCOL_ERROR,
    UINT32,
    headers_frame,
    rst_stream,
    window_update,
)
from twofold.etcd.front.hpack import literal
from twofold.etcd.front.port import (
    CODE_INTERNAL,
    CODE_RESOURCE_EXHAUSTED,
    CODE_UNIMPLEMENTED,
    Limits,
    Peer,
    StreamHandler,
    UnaryHandler,
)
from twofold.etcd.front.requests import RequestHead
from twofold.etcd.front.sending import OUT_FRAMES_MAX, Outbound, SendState
from twofold.etcd.front.status import (
    OK_BLOCK,
    RESPONSE_BLOCK,
    status_block,
    unary_answer,
)

_PREFIX_BYTES = 5
_BODILESS = frozenset((204, 304))
_COMPRESSED = "grpc: compressed messages are not supported"
_CUT_SHORT = "grpc: message cut short"
_NOT_ONE = "grpc: a unary request is exactly one message"


class Exchange(SendState):
    """One open stream and the request that opened it."""

    __slots__ = (
        "alive",
        "connection",
        "half_closed",
        "head",
        "limits",
        "partial",
        "quiet_s",
        "received_bytes",
        "seen_bytes",
        "unacked_bytes",
    )

    def __init__(
        self,
        outbound: Outbound,
        stream_id: int,
        head: RequestHead,
        connection: Peer,
        limits: Limits,
    ) -> None:
        super().__init__(outbound, stream_id)
        self.head = head
        self.connection = connection
        self.limits = limits
        self.alive = True
        self.half_closed = False
        self.partial: bytearray | None = None
        self.received_bytes = 0
        self.unacked_bytes = 0
        self.quiet_s = 0
        self.seen_bytes = 0

    @property
    def path(self) -> str:
        """The request's path, query included."""
        return self.head.path.decode("latin-1")

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """Metadata of interest, the first value of each name."""
        return self.head.metadata

    @property
    def timeout_ms(self) -> int | None:
        """The client's deadline from the moment it sent the request."""
        return self.head.timeout_ms

    def open(self) -> None:
        """The head was accepted; nothing of the body has come yet."""

    def take(self, payload: bytes, is_end: bool) -> None:
        """A DATA payload came, or (empty, at the end) trailers."""
        raise NotImplementedError

    def abandon(self) -> None:
        """The client reset the stream or is gone: nothing can be sent any more."""
        self.alive = False
        self.partial = None
        self.outbound.discard(self)

    def reset(self, code: int) -> None:
        """End the stream by RST_STREAM."""
        outbound = self.outbound
        outbound.note_reset(self.stream_id)
        outbound.put(rst_stream(self.stream_id, code))
        self.abandon()

    def fail(self, code: int, message: str) -> None:
        """End with a gRPC status; what is queued is dropped."""
        if not self.alive:
            return
        self.alive = False
        self.partial = None
        self.outbound.drop_queue(self)
        block = status_block(code, message, not self.headers_sent)
        self.outbound.end(self, block, not self.half_closed)

    def _length_agrees(self) -> bool:
        expected = self.head.content_length
        return expected is None or expected == self.received_bytes

    def sweep(self) -> None:
        """Called every second: bound how long a stream may hold memory idle."""
        if self.queued_bytes:
            if self.queued_bytes != self.seen_bytes:
                self.seen_bytes = self.queued_bytes
                self.quiet_s = 0
            self.quiet_s += 1
            if self.quiet_s > self.limits.write_stall_s:
                self.reset(CANCEL)
        elif self.half_closed or not self.alive:
            self.quiet_s = 0
        else:
            self.quiet_s += 1
            if self.quiet_s > self.limits.request_s:
                self.time_out()

    def time_out(self) -> None:
        """The request did not become complete in time."""
        self.fail(CODE_INTERNAL, "grpc: request not complete in time")


def _oversize(size: int, size_max: int) -> str:
    return f"grpc: received message larger than max ({size} vs. {size_max})"


class UnaryCall(Exchange):
    """One request, one reply; implements ``port.Call``."""

    __slots__ = ("_handler",)

    def __init__(
        self,
        outbound: Outbound,
        stream_id: int,
        head: RequestHead,
        connection: Peer,
        limits: Limits,
        handler: UnaryHandler,
    ) -> None:
        super().__init__(outbound, stream_id, head, connection, limits)
        self._handler = handler

    def take(self, payload: bytes, is_end: bool) -> None:
        """Gather the message and hand it on when the client has ended."""
        if not self.alive:
            return
        if self.partial is not None:
            self._extend(self.partial, payload, is_end)
        elif not is_end:
            self.partial = bytearray()
            self._extend(self.partial, payload, False)
        else:
            size = len(payload) - _PREFIX_BYTES
            if size >= 0 and payload[0] == 0 and self._size_of(payload) == size:
                self._complete(payload[_PREFIX_BYTES:])
            else:
                self._refuse(payload)

    def _extend(self, partial: bytearray, payload: bytes, is_end: bool) -> None:
        partial += payload
        have = len(partial) - _PREFIX_BYTES
        if is_end:
            if have < 0 or partial[0] or self._size_of(partial) != have:
                self._refuse(partial)
            else:
                self.partial = None
                self._complete(bytes(memoryview(partial)[_PREFIX_BYTES:]))
        elif have >= 0:
            size = self._size_of(partial)
            if partial[0] or size > self.limits.message_bytes_max or have > size:
                self._refuse(partial)

    def _complete(self, message: bytes) -> None:
        if len(message) > self.limits.message_bytes_max:
            size_max = self.limits.message_bytes_max
            self.fail(CODE_RESOURCE_EXHAUSTED, _oversize(len(message), size_max))
        elif self.head.content_length is not None and not self._length_agrees():
            self.reset(PROTOCOL_ERROR)
        else:
            self._handler(self, message)

    @staticmethod
    def _size_of(data: bytes | bytearray) -> int:
        size: int = UINT32.unpack_from(data, 1)[0]
        return size

    def _refuse(self, data: bytes | bytearray) -> None:
        size_max = self.limits.message_bytes_max
        if self.half_closed and not self._length_agrees():
            self.reset(PROTOCOL_ERROR)
        elif len(data) < _PREFIX_BYTES:
            self.fail(CODE_INTERNAL, _CUT_SHORT if data else _NOT_ONE)
        elif data[0]:
            self.fail(CODE_UNIMPLEMENTED, _COMPRESSED)
        elif (size := self._size_of(data)) > size_max:
            self.fail(CODE_RESOURCE_EXHAUSTED, _oversize(size, size_max))
        elif size + _PREFIX_BYTES > len(data):
            self.fail(CODE_INTERNAL, _CUT_SHORT)
        else:
            self.fail(CODE_INTERNAL, _NOT_ONE)

    def reply(self, message: bytes | list[bytes]) -> None:
        """Send the reply; see ``port.Call``."""
        if not self.alive:
            return
        self.alive = False
        if isinstance(message, list):
            size = sum(map(len, message)) + _PREFIX_BYTES
            if size > FRAME_PAYLOAD_BYTES_MAX:
                self._reply_queued(message, size)
                return
            message = b"".join(message)
        size = len(message) + _PREFIX_BYTES
        outbound = self.outbound
        if (
            size > FRAME_PAYLOAD_BYTES_MAX
            or size > outbound.window
            or size > self.window
        ):
            self._reply_queued([message], size)
            return
        outbound.window -= size
        outbound.streams.pop(self.stream_id, None)
        outbound.out.append(unary_answer(self.stream_id, message))
        if not outbound.dirty:
            outbound.mark_dirty()

    def _reply_queued(self, parts: list[bytes], size: int) -> None:
        outbound = self.outbound
        outbound.put(headers_frame(self.stream_id, RESPONSE_BLOCK, False))
        self.headers_sent = True
        prefix = b"\x00" + UINT32.pack(size - _PREFIX_BYTES)
        outbound.enqueue(self, [prefix, *parts], size)
        outbound.end(self, OK_BLOCK, False)


class MessageStream(Exchange):
    """Messages both ways; implements ``port.Stream``."""

    __slots__ = ("_handler",)

    _handler: StreamHandler

    def open(self) -> None:
        """Make the handler and tell it."""
        factory = self.head.stream_factory
        if factory is not None:
            self._handler = factory(self)
            self._handler.opened(self)

    def end_of_client(self) -> bool:
        """Whether the client has half-closed."""
        return self.half_closed

    def take(self, payload: bytes, is_end: bool) -> None:
        """Hand on the messages that are whole by now."""
        if not self.alive:
            return
        if self.partial is not None:
            self.partial += payload
            data: bytes | bytearray = self.partial
        else:
            data = payload
        start = 0
        end = len(data)
        size_max = self.limits.message_bytes_max
        while end - start >= _PREFIX_BYTES:
            size: int = UINT32.unpack_from(data, start + 1)[0]
            if data[start] or size > size_max:
                self._refuse(data[start], size)
                return
            stop = start + _PREFIX_BYTES + size
            if stop > end:
                break
            self._handler.message(bytes(data[start + _PREFIX_BYTES : stop]))
            if not self.alive:
                return
            start = stop
        if start == end:
            self.partial = None
        elif start or self.partial is None:
            # At most what this frame brought; a message in parts is not copied again.
            self.partial = bytearray(data[start:])
        if is_end:
            self._client_ended()

    def _client_ended(self) -> None:
        if not self._length_agrees():
            self.reset(PROTOCOL_ERROR)
        elif self.partial is not None:
            self.fail(CODE_INTERNAL, _CUT_SHORT)
        else:
            self._handler.half_closed()

    def _refuse(self, compressed: int, size: int) -> None:
        if compressed:
            self.fail(CODE_UNIMPLEMENTED, _COMPRESSED)
        else:
            text = _oversize(size, self.limits.message_bytes_max)
            self.fail(CODE_RESOURCE_EXHAUSTED, text)

    def send(self, message: bytes | list[bytes]) -> bool:
        """Queue a message; see ``port.Stream``."""
        if not self.alive:
            return True
        outbound = self.outbound
        if not self.headers_sent:
            self.headers_sent = True
            outbound.out.append(headers_frame(self.stream_id, RESPONSE_BLOCK, False))
        parts = message if isinstance(message, list) else [message]
        size = sum(map(len, parts)) + _PREFIX_BYTES
        if (
            size <= FRAME_PAYLOAD_BYTES_MAX
            and size <= outbound.window
            and size <= self.window
            and not self.queued_bytes
            and not outbound.paused
            and len(outbound.out) < OUT_FRAMES_MAX
        ):
            outbound.window -= size
            self.window -= size
            outbound.out.append(
                MESSAGE_START.pack(size << 8, 0, self.stream_id, 0, size - 5)
                + (parts[0] if len(parts) == 1 else b"".join(parts))
            )
            if not outbound.dirty:
                outbound.mark_dirty()
            return True
        prefix = b"\x00" + UINT32.pack(size - _PREFIX_BYTES)
        outbound.enqueue(self, [prefix, *parts], size)
        if self.queued_bytes > self.limits.backlog_high_bytes:
            self.above_high_water = True
            return False
        return True

    def finish(self) -> None:
        """Send what is queued, then status OK."""
        if not self.alive:
            return
        self.alive = False
        self.partial = None
        self.above_high_water = False
        block = OK_BLOCK if self.headers_sent else RESPONSE_BLOCK + OK_BLOCK
        self.outbound.end(self, block, not self.half_closed)
        self._handler.closed()

    def fail(self, code: int, message: str) -> None:
        """End with a status; what is queued is dropped."""
        if self.alive:
            self.above_high_water = False
            super().fail(code, message)
            self._handler.closed()

    def abandon(self) -> None:
        """The client is gone."""
        was_alive = self.alive
        super().abandon()
        if was_alive:
            self._handler.closed()

    def writable(self) -> None:
        """The backlog has shrunk: the client gets its window back too."""
        if not self.alive:
            return
        if self.unacked_bytes and not self.half_closed:
            self.outbound.put(window_update(self.stream_id, self.unacked_bytes))
            self.unacked_bytes = 0
        self._handler.writable()

    def sweep(self) -> None:
        """A stream may be idle or blocked for ever, but not in mid-message."""
        if not self.alive:
            super().sweep()
        elif self.partial is None:
            self.quiet_s = 0
        else:
            self.quiet_s += 1
            if self.quiet_s > self.limits.request_s:
                self.time_out()


class HttpExchange(Exchange):
    """A request that is not gRPC; implements ``port.HttpRequest``."""

    __slots__ = ("_body", "_headers")

    def open(self) -> None:
        """Nothing was read yet."""
        self._body = b""
        self._headers: dict[str, str] | None = None

    @property
    def method(self) -> str:
        """Such as GET."""
        return self.head.method.decode("latin-1")

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.head.path.partition(b"?")[0].decode("latin-1")

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.head.path.partition(b"?")[2].decode("latin-1")

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, pseudo-headers left out."""
        if self._headers is None:
            self._headers = {}
            for raw_name, raw_value in self.head.fields:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                if name[:1] != ":":
                    known = self._headers.get(name)
                    self._headers[name] = f"{known},{value}" if known else value
        return self._headers

    @property
    def body(self) -> bytes:
        """The whole body."""
        return self._body

    def take(self, payload: bytes, is_end: bool) -> None:
        """Gather the body and hand the request on at its end."""
        if not self.alive:
            return
        if self.partial is None:
            self.partial = bytearray()
        self.partial += payload
        if len(self.partial) > self.limits.message_bytes_max:
            self.respond(413, {}, b"")
        elif is_end:
            self._body = bytes(self.partial)
            self.partial = None
            if self._length_agrees():
                self._serve()
            else:
                self.reset(PROTOCOL_ERROR)

    def _serve(self) -> None:
        handler = self.head.http_handler
        if handler is not None:
            handler(self)

    def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer once."""
        if not self.alive:
            return
        self.alive = False
        self.partial = None
        block = literal(b":status", b"%d" % status)
        for name, value in headers.items():
            block += literal(name.lower().encode("latin-1"), value.encode("latin-1"))
        if status not in _BODILESS:
            block += literal(b"content-length", b"%d" % len(body))
        outbound = self.outbound
        self.headers_sent = True
        if self.head.method == b"HEAD" or not body:
            outbound.end(self, block, not self.half_closed)
        else:
            outbound.put(headers_frame(self.stream_id, block, False))
            outbound.enqueue(self, [body], len(body))
            outbound.end(self, b"", not self.half_closed)

    def time_out(self) -> None:
        """The body did not come in time."""
        self.respond(408, {}, b"")
