"""One HTTP/2 connection that carries unary gRPC calls.

Source: gRPC's "gRPC over HTTP2"; RFC 9113 for windows and stream states.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import hpack

from twofold.client import frames
from twofold.client.errors import (
    CallTimedOut,
    ConnectionLost,
    NotConnected,
    RpcError,
)
from twofold.client.frames import BrokenFrame, FrameReader

_WINDOW_BYTES = 16 * 1024 * 1024
_STREAM_LAST = 2**31 - 1
_UNKNOWN = 2
_REFUSED_STREAM = 7


@dataclass(slots=True)
class _Stream:
    """One call under way."""

    done: asyncio.Future[bytes]
    window: int
    unsent: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """Many unary calls at once over one connection; use ``connect``."""

    def __init__(self, authority: str, scheme: str = "http") -> None:
        self._authority = authority
        self._scheme = scheme
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._streams: dict[int, _Stream] = {}
        self._next_stream = 1
        self._window = frames.WINDOW_DEFAULT
        self._stream_window = frames.WINDOW_DEFAULT
        self._frame_size = frames.FRAME_SIZE_MIN
        self._header_block: tuple[int, int, bytearray] | None = None
        self._received_bytes = 0
        self._going_away = False

    # ---- calls

    @property
    def usable(self) -> bool:
        """Whether a new call may be made here."""
        return self._transport is not None and not self._going_away

    async def call(self, path: str, request: bytes, timeout_ms: int) -> bytes:
        """Send one message, give the one that comes back.

        Raises:
            RpcError: the server said no.
            NotConnected: nothing was sent.
            ConnectionLost, CallTimedOut: the server may have done it.
        """
        transport = self._transport
        if transport is None or self._going_away:
            raise NotConnected(f"not connected to {self._authority}")
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        number = self._next_stream
        self._next_stream += 2
        self._going_away = self._next_stream > _STREAM_LAST
        stream = _Stream(done, self._stream_window)
        stream.unsent = b"\0" + struct.pack(">I", len(request)) + request
        self._streams[number] = stream
        transport.write(
            frames.frame(
                frames.HEADERS,
                frames.END_HEADERS,
                number,
                self._encoder.encode(self._request_headers(path, timeout_ms)),
            )
        )
        self._send_body(number, stream)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await done
        except TimeoutError:
            raise CallTimedOut(
                f"{path}: no answer in {timeout_ms} ms from {self._authority}"
            ) from None
        finally:
            if self._streams.pop(number, None) and self._transport is not None:
                # Given up or cancelled: the server need not go on.
                cancel = struct.pack(">I", 8)
                transport.write(frames.frame(frames.RST_STREAM, 0, number, cancel))

    def _request_headers(self, path: str, timeout_ms: int) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{timeout_ms}m"),
        ]

    def _send_body(self, number: int, stream: _Stream) -> None:
        """Send as much as both windows allow; the last frame ends the stream."""
        while stream.unsent and self._transport is not None:
            size = min(
                len(stream.unsent), stream.window, self._window, self._frame_size
            )
            if size <= 0:
                return
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            stream.window -= size
            self._window -= size
            flags = 0 if stream.unsent else frames.END_STREAM
            self._transport.write(frames.frame(frames.DATA, flags, number, part))

    def close(self) -> None:
        """End the connection; calls under way end with ConnectionLost."""
        if self._transport is not None:
            self._transport.close()
        self._fail_all(ConnectionLost(f"closed the connection to {self._authority}"))

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        if not isinstance(transport, asyncio.Transport):
            raise BrokenFrame("not a byte stream")
        self._transport = transport
        transport.write(
            frames.PREFACE
            + frames.settings({frames.SETTING_WINDOW: _WINDOW_BYTES})
            + frames.window_update(0, _WINDOW_BYTES - frames.WINDOW_DEFAULT)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way: the server may have done it."""
        self._transport = None
        reason = f": {exc}" if exc else ""
        self._fail_all(
            ConnectionLost(f"lost the connection to {self._authority}{reason}")
        )

    def data_received(self, data: bytes) -> None:
        """Take in frames; a broken one ends the connection."""
        try:
            for kind, flags, stream, payload in self._reader.feed(data):
                self._receive(kind, flags, stream, payload)
        except (BrokenFrame, hpack.HPACKError, struct.error) as error:
            self._fail_all(ConnectionLost(f"{self._authority} broke HTTP/2: {error!r}"))
            if self._transport is not None:
                self._transport.abort()

    # ---- frames

    def _receive(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._header_block is not None and kind != frames.CONTINUATION:
            raise BrokenFrame("a header block was not continued")
        match kind:
            case frames.DATA:
                self._receive_data(flags, number, payload)
            case frames.HEADERS:
                block = bytearray(frames.unpad(flags, payload))
                self._header_block = (number, flags, block)
                self._finish_headers(flags)
            case frames.CONTINUATION:
                if self._header_block is None or self._header_block[0] != number:
                    raise BrokenFrame("CONTINUATION of nothing")
                self._header_block[2].extend(payload)
                self._finish_headers(flags)
            case frames.RST_STREAM:
                self._receive_reset(number, payload)
            case frames.SETTINGS if not flags & frames.ACK:
                self._receive_settings(payload)
            case frames.PING if not flags & frames.ACK:
                self._write(frames.frame(frames.PING, frames.ACK, 0, payload))
            case frames.WINDOW_UPDATE:
                self._receive_window(number, payload)
            case frames.GOAWAY:
                self._going_away = True
                self._fail_unseen(int.from_bytes(payload[:4], "big") & _STREAM_LAST)

    def _receive_data(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        self._received_bytes += len(payload)
        if self._received_bytes >= _WINDOW_BYTES // 2:
            self._write(frames.window_update(0, self._received_bytes))
            self._received_bytes = 0
        if stream is None:
            return
        stream.body += frames.unpad(flags & ~frames.PRIORITY, payload)
        if flags & frames.END_STREAM:
            self._finish(number, stream)
        elif payload:
            self._write(frames.window_update(number, len(payload)))

    def _finish_headers(self, flags: int) -> None:
        if self._header_block is None or not flags & frames.END_HEADERS:
            return
        number, first_flags, block = self._header_block
        self._header_block = None
        # Decode even for a stream that is gone: the table is shared by all.
        headers = self._decoder.decode(bytes(block))
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.headers.update((str(name), str(value)) for name, value in headers)
        if first_flags & frames.END_STREAM:
            self._finish(number, stream)

    def _receive_reset(self, number: int, payload: bytes) -> None:
        stream = self._streams.pop(number, None)
        if stream is None or stream.done.done():
            return
        code = int.from_bytes(payload, "big")
        if code == _REFUSED_STREAM:
            stream.done.set_exception(NotConnected("the server refused the stream"))
        else:
            stream.done.set_exception(ConnectionLost(f"stream reset with {code}"))

    def _receive_settings(self, payload: bytes) -> None:
        values = frames.read_settings(payload)
        self._frame_size = values.get(frames.SETTING_FRAME_SIZE, self._frame_size)
        window = values.get(frames.SETTING_WINDOW, self._stream_window)
        change, self._stream_window = window - self._stream_window, window
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        for number, stream in list(self._streams.items()):
            stream.window += change
            self._send_body(number, stream)

    def _receive_window(self, number: int, payload: bytes) -> None:
        (size,) = struct.unpack(">I", payload)
        if number == 0:
            self._window += size
            for other, stream in list(self._streams.items()):
                self._send_body(other, stream)
        elif (found := self._streams.get(number)) is not None:
            found.window += size
            self._send_body(number, found)

    # ---- results

    def _finish(self, number: int, stream: _Stream) -> None:
        del self._streams[number]
        if stream.done.done():
            return
        try:
            stream.done.set_result(_message_of(stream.headers, bytes(stream.body)))
        except RpcError as error:
            stream.done.set_exception(error)

    def _fail_unseen(self, last_seen: int) -> None:
        """After GOAWAY: what the server never looked at did not happen."""
        for number in [number for number in self._streams if number > last_seen]:
            done = self._streams.pop(number).done
            if not done.done():
                done.set_exception(NotConnected("the server is going away"))

    def _fail_all(self, error: ConnectionLost) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if not stream.done.done():
                stream.done.set_exception(error)

    def _write(self, out: bytes) -> None:
        if self._transport is not None:
            self._transport.write(out)


def _message_of(headers: dict[str, str], body: bytes) -> bytes:
    """The one message of a reply whose trailers say OK; else RpcError."""
    status = headers.get(":status", "")
    code_text = headers.get("grpc-status", "")
    if status != "200" or not code_text.isdecimal():
        raise RpcError(_UNKNOWN, f"no gRPC answer: HTTP status {status or 'missing'}")
    if code_text != "0":
        raise RpcError(int(code_text), unquote(headers.get("grpc-message", "")))
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") > len(body):
        raise RpcError(_UNKNOWN, "the reply holds no plain message")
    return body[5 : 5 + int.from_bytes(body[1:5], "big")]


async def connect(
    url: str, *, timeout_ms: int = 2000, tls: ssl.SSLContext | None = None
) -> Connection:
    """Connect to ``http(s)://host:port``; https needs a context.

    Raises:
        NotConnected: nobody answers there, or not in time.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise NotConnected(f"{url!r} is not scheme://host:port")
    loop = asyncio.get_running_loop()
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            _, connection = await loop.create_connection(
                lambda: Connection(parts.netloc, parts.scheme),
                parts.hostname,
                parts.port,
                ssl=tls,
            )
    except (OSError, TimeoutError) as error:
        raise NotConnected(f"cannot connect to {url}: {error}") from error
    return connection
