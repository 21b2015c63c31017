"""HTTP/1.1 (RFC 9112): one request at a time, the next when that is answered."""

from __future__ import annotations

import re
from asyncio import Protocol, Transport
from collections.abc import Mapping
from http import HTTPStatus

from twofold.base.errors import Refusal
from twofold.etcd.front.peers import TransportPeer
from twofold.etcd.front.port import Limits, Peer
from twofold.etcd.front.shared import Shared

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_CHUNK_LINE_BYTES_MAX = 256
_BODILESS = frozenset((204, 304))


class BadRequest(Refusal):
    """Never leaves this module: answered with ``status`` (0: not) and a close."""

    def __init__(self, status: int) -> None:
        super().__init__(f"bad request: {status}")
        self.status = status


class Http1Request:
    """Implements ``port.HttpRequest``."""

    __slots__ = (
        "_owner",
        "alive",
        "body",
        "connection",
        "headers",
        "keeps_alive",
        "method",
        "path",
        "query",
    )

    def __init__(
        self,
        owner: Http1Connection,
        method: str,
        target: str,
        headers: dict[str, str],
        keeps_alive: bool,
    ) -> None:
        self._owner = owner
        self.connection: Peer = owner
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers: Mapping[str, str] = headers
        self.body = b""
        self.alive = True
        self.keeps_alive = keeps_alive

    def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer once."""
        if self.alive:
            self.alive = False
            self._owner.answer(self, status, headers, body)


class FixedBody:
    """A body whose length was announced."""

    def __init__(self, size: int) -> None:
        self._size = size

    def take(self, buffer: bytearray) -> bytes | None:
        """The body, cut off the buffer, once it is whole."""
        if len(buffer) < self._size:
            return None
        body = bytes(memoryview(buffer)[: self._size])
        del buffer[: self._size]
        return body


class ChunkedBody:
    """A body in chunks (RFC 9112 §7.1); trailers are dropped."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._body = bytearray()
        self._left = 0
        self._in_trailers = False
        self._trailer_bytes = 0

    def take(self, buffer: bytearray) -> bytes | None:
        """Cut whole chunks off the buffer; the body once it is whole."""
        while True:
            if self._left:
                if len(buffer) < self._left + 2:
                    return None
                if buffer[self._left : self._left + 2] != b"\r\n":
                    raise BadRequest(400)
                self._body += memoryview(buffer)[: self._left]
                del buffer[: self._left + 2]
                self._left = 0
            line = _cut_line(buffer)
            if line is None:
                return None
            if self._in_trailers:
                self._trailer_bytes += len(line)
                if self._trailer_bytes > self._limits.header_bytes_max:
                    raise BadRequest(431)
                if not line:
                    return bytes(self._body)
                continue
            self._start_chunk(line)

    def _start_chunk(self, line: bytes) -> None:
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise BadRequest(400)
        self._left = int(match[1], 16)
        self._in_trailers = self._left == 0
        if len(self._body) + self._left > self._limits.message_bytes_max:
            raise BadRequest(413)


def _cut_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\r\n", 0, _CHUNK_LINE_BYTES_MAX + 2)
    if end < 0:
        if len(buffer) > _CHUNK_LINE_BYTES_MAX:
            raise BadRequest(400)
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


class Http1Connection(TransportPeer, Protocol):
    """One client that speaks HTTP/1.1."""

    transport: Transport

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._buffer = bytearray()
        self._request: Http1Request | None = None
        self._body: FixedBody | ChunkedBody | None = None
        self._is_serving = False
        self._is_over = False
        self._is_draining = False
        self._is_held = False
        self._is_blocked = False
        self._is_advancing = False
        self._quiet_s = 0
        self._busy_s = 0

    def start(self, transport: Transport) -> None:
        """Take over an accepted connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Gather, and serve requests that are whole."""
        self._shared.counters.bytes_in += len(data)
        if self._is_over:
            return
        self._quiet_s = 0
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        self._is_advancing = True
        try:
            while not self._is_waiting() and not self._is_over and self._step():
                pass
        except BadRequest as error:
            self._refuse(error.status)
            return
        finally:
            self._is_advancing = False
        # Pipelined requests wait in the buffer, and only so many.
        is_full = len(self._buffer) > self._limits.header_bytes_max
        if is_full and self._is_waiting() and not self._is_held and not self._is_over:
            self._is_held = True
            self.transport.pause_reading()

    def _is_waiting(self) -> bool:
        return self._is_serving or self._is_blocked

    def _go_on(self) -> None:
        if self._is_held and not self._is_waiting():
            self._is_held = False
            self.transport.resume_reading()
        # A handler that answers at once is called by the loop that goes on anyway.
        if self._buffer and not self._is_advancing:
            self._advance()

    def pause_writing(self) -> None:
        """The client does not read its responses: no more requests are served."""
        self._is_blocked = True

    def resume_writing(self) -> None:
        """The client has read."""
        self._is_blocked = False
        if not self._is_over:
            self._go_on()

    def _step(self) -> bool:
        """Get one step further; False if that needs more bytes."""
        if self._request is None and not self._read_head():
            return False
        request, body = self._request, self._body
        if request is None or body is None:
            return False
        content = body.take(self._buffer)
        if content is None:
            return False
        request.body = content
        self._request, self._body = None, None
        self._is_serving = True
        self._serving = request
        self._shared.http(request)
        return True

    def _read_head(self) -> bool:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", 0, self._limits.header_bytes_max)
        if end < 0:
            if len(buffer) >= self._limits.header_bytes_max:
                raise BadRequest(431)
            return False
        lines = bytes(buffer[:end]).split(b"\r\n")
        del buffer[: end + 4]
        match = _REQUEST_LINE.fullmatch(lines[0])
        if match is None:
            # What is no HTTP at all would not understand the answer either.
            raise BadRequest(400 if b" HTTP/" in lines[0] else 0)
        headers = _parse_fields(lines[1:])
        is_modern = match[3] == b"1"
        if is_modern and "host" not in headers:
            raise BadRequest(400)
        options = headers.get("connection", "").lower()
        keeps_alive = "close" not in options if is_modern else "keep-alive" in options
        method, target = match[1].decode(), match[2].decode("latin-1")
        self._request = Http1Request(self, method, target, headers, keeps_alive)
        self._body = self._body_reader(headers)
        if headers.get("expect", "").lower() == "100-continue" and not buffer:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _body_reader(self, headers: dict[str, str]) -> FixedBody | ChunkedBody:
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None:
            # Both at once is how requests are smuggled (RFC 9112 §6.3).
            if length is not None:
                raise BadRequest(400)
            if coding.lower() != "chunked":
                raise BadRequest(501)
            return ChunkedBody(self._limits)
        if length is None:
            return FixedBody(0)
        if not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise BadRequest(400)
        if int(length) > self._limits.message_bytes_max:
            raise BadRequest(413)
        return FixedBody(int(length))

    def answer(
        self,
        request: Http1Request,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        """Write a response and go on with what is in the buffer."""
        if self._is_over:
            return
        keeps_alive = request.keeps_alive and not self._is_draining
        head = _response_head(status, headers, len(body), keeps_alive)
        self._write(head if request.method == "HEAD" else head + body)
        self._is_serving = False
        if not keeps_alive:
            self._close()
            return
        self._go_on()

    def _refuse(self, status: int) -> None:
        self._shared.counters.protocol_faults += 1
        if status:
            self._write(_response_head(status, {}, 0, False))
        self._close()

    def _write(self, data: bytes) -> None:
        self._shared.counters.bytes_out += len(data)
        self.transport.write(data)

    def _close(self) -> None:
        self._is_over = True
        self._quiet_s = 0
        self.transport.close()

    def eof_received(self) -> bool:
        """The client has sent all; it may still wait for an answer.

        Returns: True to keep the connection until then, which TLS cannot.
        """
        if self._is_over or not self._is_serving or self.is_tls:
            return False
        self._is_draining = True
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client is gone."""
        self._is_over = True
        if self._is_serving:
            self._serving.alive = False
        self._shared.closed(self)

    def sweep(self) -> None:
        """Bound idle connections, slow requests and unread responses."""
        limits = self._limits
        self._quiet_s += 1
        is_incomplete = self._request is not None or bool(self._buffer)
        if self._is_over or self._is_blocked:
            if self._quiet_s > limits.write_stall_s:
                self.transport.abort()
        elif self._is_serving:
            self._quiet_s = self._busy_s = 0
        elif is_incomplete:
            self._busy_s += 1
            if self._busy_s > limits.request_s:
                self._refuse(408)
        else:
            self._busy_s = 0
            if self._quiet_s > limits.http1_idle_s:
                self._close()

    def drain(self) -> None:
        """Close after the request that is being served, if any."""
        self._is_draining = True
        self.close_if_drained()

    def close_if_drained(self) -> None:
        """Close if nothing is being served."""
        if self._is_draining and not self._is_serving and not self._is_over:
            self._close()

    def stop(self) -> None:
        """Close now."""
        if not self._is_over:
            self._close()

    def stream_count(self) -> int:
        """How many requests are open: none or one."""
        return int(self._is_serving)


def _parse_fields(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise BadRequest(400)
        name, value = match[1].decode().lower(), match[2].decode("latin-1")
        if name in headers:
            if name in ("content-length", "transfer-encoding", "host"):
                raise BadRequest(400)
            value = f"{headers[name]},{value}"
        headers[name] = value
    return headers


def _response_head(
    status: int, headers: Mapping[str, str], size: int, keeps_alive: bool
) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status not in _BODILESS:
        lines.append(f"content-length: {size}")
    if not keeps_alive:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
