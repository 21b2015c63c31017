"""A client of the front without sockets: bytes in, frames out."""

from __future__ import annotations

from asyncio import BaseProtocol, Protocol, Transport
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from hpack import Decoder, Encoder

from twofold.etcd.front import frames
from twofold.etcd.front.port import Limits, Routes
from twofold.etcd.front.shared import Shared
from twofold.etcd.front.sniffer import Sniffer

GRPC_HEAD = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Test/Call"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)


class FakeTransport(Transport):
    """Keeps what is written; ``hold`` plays a peer that does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.write_count = 0
        self.largest_write = 0
        self.closed = False
        self.is_aborted = False
        self.reading = True
        self.buffered_bytes = 0
        self.protocol: Protocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the bytes."""
        self.written += data
        self.write_count += 1
        self.largest_write = max(self.largest_write, len(data))
        self.buffered_bytes += len(data)

    def get_write_buffer_size(self) -> int:
        """As if nothing had left since the test last set it to 0."""
        return self.buffered_bytes

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """The test decides when to pause."""

    def set_protocol(self, protocol: BaseProtocol) -> None:
        """Remember who serves the connection now."""
        self.protocol = cast(Protocol, protocol)

    def pause_reading(self) -> None:
        """Remember it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Remember it."""
        self.reading = True

    def is_closing(self) -> bool:
        """Whether ``close`` or ``abort`` was called."""
        return self.closed or self.is_aborted

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def abort(self) -> None:
        """Remember it."""
        self.is_aborted = True


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame the server sent."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


class FrontWire:
    """One connection to a front under test, from the client's side."""

    def __init__(self, routes: Routes, limits: Limits | None = None) -> None:
        self.due: list[Callable[[], None]] = []
        self.shared = Shared(self.due.append, routes, limits or Limits())
        self.transport = FakeTransport()
        self.sniffer = Sniffer(self.shared)
        self.sniffer.connection_made(self.transport)
        self.encoder = Encoder()
        self.decoder = Decoder()

    def feed(self, data: bytes) -> None:
        """Bytes arrive, and the loop's turn ends."""
        protocol = self.transport.protocol or self.sniffer
        protocol.data_received(data)
        self.shared.flush()

    def turn(self) -> None:
        """The loop's turn ends; what that schedules waits for the next one."""
        due, self.due[:] = list(self.due), []
        for callback in due:
            callback()

    def turns(self) -> None:
        """Turn until nothing is due."""
        while self.due:
            self.turn()

    def lose(self) -> None:
        """The connection is gone."""
        protocol = self.transport.protocol or self.sniffer
        protocol.connection_lost(None)

    def sweep(self, seconds: int = 1) -> None:
        """Seconds pass."""
        for _ in range(seconds):
            for connection in list(self.shared.connections):
                connection.sweep()

    def greet(self, window: int = 0, initial_window: int | None = None) -> None:
        """Preface and SETTINGS; forgets what the server answered."""
        settings = b""
        if initial_window is not None:
            settings = frames.SETTING.pack(4, initial_window)
        self.feed(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, settings))
        if window:
            self.feed(frames.window_update(0, window))
        self.take()

    def request(
        self,
        stream_id: int,
        body: bytes | None = None,
        *extra: tuple[str, str],
        path: str = "/test.Test/Call",
        is_end: bool = True,
    ) -> bytes:
        """Frames of a gRPC request; ``body`` None leaves the DATA frame out."""
        fields = [(":path", path) if n == ":path" else (n, v) for n, v in GRPC_HEAD]
        block = self.encoder.encode([*fields, *extra])
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)
        if body is None:
            return head
        flags = frames.END_STREAM if is_end else 0
        return head + frames.frame(frames.DATA, flags, stream_id, message(body))

    def take(self) -> list[Frame]:
        """What the server sent since the last call."""
        data = bytes(self.transport.written)
        self.transport.written.clear()
        out = []
        start = 0
        while start < len(data):
            word, flags, stream_id = frames.FRAME_HEADER.unpack_from(data, start)
            start += frames.FRAME_HEADER_BYTES
            payload = data[start : start + (word >> 8)]
            out.append(Frame(word & 0xFF, flags, stream_id, payload))
            start += word >> 8
        return out

    def fields(self, frame: Frame) -> dict[str, str]:
        """The decoded fields of a HEADERS frame."""
        fields = self.decoder.decode(frame.payload)
        return {str(name): str(value) for name, value in fields}


def message(body: bytes) -> bytes:
    """A gRPC message with its five bytes of prefix."""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def data_of(sent: list[Frame], stream_id: int) -> bytes:
    """The DATA payloads of a stream, joined."""
    return b"".join(
        frame.payload
        for frame in sent
        if frame.kind == frames.DATA and frame.stream_id == stream_id
    )
