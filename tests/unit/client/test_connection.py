"""Calls over a pretend wire: the test plays the server, byte by byte."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import hpack
import pytest

from twofold.client import frames
from twofold.client.connection import Connection
from twofold.client.errors import (
    CallTimedOut,
    ConnectionLost,
    NotConnected,
    RpcError,
)

OK = [("grpc-status", "0")]


class Wire(asyncio.Transport):
    """Keeps what the client writes; ``say`` is the server's voice."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = frames.FrameReader(2**24)
        self.sent: list[tuple[int, int, int, bytes]] = []
        self.greeted = False
        self.encoder = hpack.Encoder()
        self.ended = False
        self.connection = Connection("a:1")
        self.connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        written = bytes(data)
        if not self.greeted:
            assert written.startswith(frames.PREFACE)
            written = written.removeprefix(frames.PREFACE)
            self.greeted = True
        self.sent += self.reader.feed(written)

    def close(self) -> None:
        self.ended = True

    abort = close

    def say(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.data_received(part)

    def headers(
        self, stream: int, headers: list[tuple[str, str]], *, end: bool = False
    ) -> bytes:
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return frames.frame(frames.HEADERS, flags, stream, self.encoder.encode(headers))

    def answer(self, stream: int, message: bytes) -> None:
        body = b"\0" + struct.pack(">I", len(message)) + message
        self.say(
            self.headers(stream, [(":status", "200")]),
            frames.frame(frames.DATA, 0, stream, body),
            self.headers(stream, OK, end=True),
        )

    def kinds(self, kind: int) -> list[tuple[int, int, int, bytes]]:
        return [one for one in self.sent if one[0] == kind]


def play(scene: Callable[[Wire], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene(Wire())

    asyncio.run(run())


async def begin(wire: Wire, request: bytes = b"hi") -> asyncio.Task[bytes]:
    task = asyncio.create_task(wire.connection.call("/s/M", request, 5000))
    # One turn of the loop starts the call.
    await asyncio.wait([task], timeout=0)
    return task


def test_a_call_is_sent_and_answered() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        ((_, flags, stream, block),) = wire.kinds(frames.HEADERS)
        assert (flags, stream) == (frames.END_HEADERS, 1)
        sent = {str(k): str(v) for k, v in hpack.Decoder().decode(block)}
        assert sent[":path"] == "/s/M"
        assert sent["grpc-timeout"] == "5000m"
        assert wire.kinds(frames.DATA) == [
            (frames.DATA, frames.END_STREAM, 1, b"\0\0\0\0\x02hi")
        ]
        wire.answer(1, b"there")
        assert await task == b"there"

    play(scene)


def test_answers_find_their_calls_in_any_order() -> None:
    async def scene(wire: Wire) -> None:
        first, second = await begin(wire), await begin(wire)
        wire.answer(3, b"two")
        wire.answer(1, b"one")
        assert (await first, await second) == (b"one", b"two")

    play(scene)


def test_a_reply_may_come_in_pieces() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        block = wire.encoder.encode([(":status", "200")])
        wire.say(
            frames.frame(frames.HEADERS, 0, 1, block[:1]),
            frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[1:]),
            frames.frame(frames.DATA, frames.PADDED, 1, b"\x01\0\0\0\0\0"),
            frames.frame(frames.DATA, 0, 1, b"\x03abc"),
            wire.headers(1, OK, end=True),
        )
        assert await task == b"abc"

    play(scene)


def test_a_refusal_carries_code_and_text() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        trailers = [
            (":status", "200"),
            ("grpc-status", "14"),
            ("grpc-message", "no%20leader"),
        ]
        wire.say(wire.headers(1, trailers, end=True))
        with pytest.raises(RpcError, match="code 14: no leader"):
            await task

    play(scene)


def test_an_answer_that_is_no_grpc_is_an_error() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        wire.say(wire.headers(1, [(":status", "404")], end=True))
        with pytest.raises(RpcError, match="HTTP status 404"):
            await task

    play(scene)


def test_losing_the_connection_leaves_the_outcome_unknown() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        wire.connection.connection_lost(None)
        with pytest.raises(ConnectionLost):
            await task
        with pytest.raises(NotConnected):
            await wire.connection.call("/s/M", b"", 5000)

    play(scene)


def test_goaway_tells_what_was_never_looked_at() -> None:
    async def scene(wire: Wire) -> None:
        seen, unseen = await begin(wire), await begin(wire)
        wire.say(frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
        with pytest.raises(NotConnected):
            await unseen
        assert not wire.connection.usable
        wire.answer(1, b"done")
        assert await seen == b"done"

    play(scene)


@pytest.mark.parametrize(("code", "error"), [(7, NotConnected), (2, ConnectionLost)])
def test_a_reset_stream_is_refused_or_unknown(
    code: int, error: type[Exception]
) -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        wire.say(frames.frame(frames.RST_STREAM, 0, 1, struct.pack(">I", code)))
        with pytest.raises(error):
            await task

    play(scene)


def test_no_answer_in_time_cancels_the_stream() -> None:
    async def scene(wire: Wire) -> None:
        with pytest.raises(CallTimedOut, match="no answer in 5 ms"):
            await wire.connection.call("/s/M", b"", 5)
        assert wire.kinds(frames.RST_STREAM) == [
            (frames.RST_STREAM, 0, 1, struct.pack(">I", 8))
        ]
        wire.answer(1, b"late")  # and nobody minds

    play(scene)


def test_the_peers_window_is_kept() -> None:
    async def scene(wire: Wire) -> None:
        wire.say(frames.settings({frames.SETTING_WINDOW: 10}))
        task = await begin(wire, b"x" * 20)
        assert [len(one[3]) for one in wire.kinds(frames.DATA)] == [10]
        wire.say(frames.window_update(1, 10))
        wire.say(frames.settings({frames.SETTING_WINDOW: 20}))
        data = wire.kinds(frames.DATA)
        assert [len(one[3]) for one in data] == [10, 10, 5]
        assert [one[1] for one in data] == [0, 0, frames.END_STREAM]
        wire.answer(1, b"")
        assert await task == b""

    play(scene)


def test_the_connections_window_is_kept() -> None:
    async def scene(wire: Wire) -> None:
        wire.say(frames.settings({frames.SETTING_WINDOW: 2**20}))
        task = await begin(wire, b"x" * 70_000)
        sent = sum(len(one[3]) for one in wire.kinds(frames.DATA))
        assert sent == frames.WINDOW_DEFAULT
        wire.say(frames.window_update(0, 10_000))
        assert sum(len(one[3]) for one in wire.kinds(frames.DATA)) == 70_005
        wire.answer(1, b"")
        await task

    play(scene)


def test_a_long_reply_gets_new_window() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        size = 9 * 1024 * 1024
        body = b"\0" + struct.pack(">I", size) + b"y" * size
        wire.say(wire.headers(1, [(":status", "200")]))
        for start in range(0, len(body), 16_384):
            part = body[start : start + 16_384]
            wire.say(frames.frame(frames.DATA, 0, 1, part))
        wire.say(wire.headers(1, OK, end=True))
        assert len(await task) == size
        updates = wire.kinds(frames.WINDOW_UPDATE)
        by_connection = sum(
            int.from_bytes(one[3], "big") for one in updates[1:] if one[2] == 0
        )
        assert by_connection >= 8 * 1024 * 1024

    play(scene)


def test_pings_and_settings_are_answered() -> None:
    async def scene(wire: Wire) -> None:
        wire.say(frames.frame(frames.PING, 0, 0, b"12345678"))
        wire.say(frames.settings({}))
        assert (frames.PING, frames.ACK, 0, b"12345678") in wire.sent
        assert (frames.SETTINGS, frames.ACK, 0, b"") in wire.sent
        before = len(wire.sent)
        wire.say(frames.frame(frames.PING, frames.ACK, 0, b"12345678"))
        assert len(wire.sent) == before

    play(scene)


@pytest.mark.parametrize(
    "noise",
    [
        frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, b""),
        frames.frame(frames.HEADERS, 0, 1, b"") + frames.settings({}),
        frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
        frames.frame(frames.SETTINGS, 0, 0, b"123"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_noise_ends_the_connection_and_the_calls(noise: bytes) -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        wire.say(noise)
        assert wire.ended
        with pytest.raises(ConnectionLost, match="broke HTTP/2"):
            await task

    play(scene)


def test_closing_ends_calls_under_way() -> None:
    async def scene(wire: Wire) -> None:
        task = await begin(wire)
        wire.connection.close()
        assert wire.ended
        with pytest.raises(ConnectionLost):
            await task

    play(scene)
