"""A snapshot arrives whole or not at all, however the stream breaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator

import pytest

from twofold.base.errors import Failure
from twofold.peer.errors import SnapshotFailed
from twofold.peer.frames import FrameKind
from twofold.peer.snapshots import SnapshotReceiver, SnapshotSender


class MemorySink:
    def __init__(self, fail_after: int = 1000) -> None:
        self.parts: list[bytes] = []
        self.finished = False
        self.aborted = threading.Event()
        self.fail_after = fail_after

    def write(self, chunk: bytes) -> None:
        if len(self.parts) == self.fail_after:
            raise Failure("disk full")
        self.parts.append(chunk)

    def finish(self) -> None:
        self.finished = True

    def abort(self) -> None:
        self.aborted.set()


class Wire:
    """Joins a sender and a receiver through the loop, as a link would."""

    def __init__(self, sink: MemorySink) -> None:
        self.loop = asyncio.get_running_loop()
        self.up = True
        self.sent: list[int] = []
        self.under_way = self.under_way_max = 0
        self.drop_chunk = 0
        self.metas: list[bytes] = []
        self.done: list[bytes] = []
        self.failed: asyncio.Queue[str] = asyncio.Queue()
        self.sender = SnapshotSender(self.to_receiver)

        def open_sink(meta: bytes) -> MemorySink:
            self.metas.append(meta)
            return sink

        self.receiver = SnapshotReceiver(
            self.to_sender, open_sink, self.done.append, self.failed.put_nowait
        )

    def to_receiver(self, kind: int, body: bytes) -> bool:
        if not self.up:
            return False
        self.sent.append(kind)
        if kind == FrameKind.SNAPSHOT_CHUNK:
            self.under_way += 1
            self.under_way_max = max(self.under_way, self.under_way_max)
            if self.sent.count(kind) == self.drop_chunk:
                return True
        self.loop.call_soon(self.receiver.received, kind, body)
        return True

    def to_sender(self, kind: int, body: bytes) -> bool:
        if kind == FrameKind.SNAPSHOT_ACK:
            self.under_way -= 1
        self.loop.call_soon(self.sender.received, kind, body)
        return self.up

    def cut(self) -> None:
        self.up = False
        self.sender.lose()
        self.receiver.lose()


def chunks(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * 100


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


@pytest.mark.parametrize("count", [0, 1, 100])
def test_a_snapshot_arrives_and_never_more_than_the_window_is_under_way(
    count: int,
) -> None:
    async def test() -> None:
        sink = MemorySink()
        wire = Wire(sink)
        await wire.sender.send(b"index 7", chunks(count))
        assert sink.parts == list(chunks(count))
        assert sink.finished
        assert wire.metas == wire.done == [b"index 7"]
        assert wire.under_way_max <= 8
        wire.receiver.close()
        assert wire.failed.empty()

    run(test())


def test_a_failing_sink_stops_the_sender_with_its_reason() -> None:
    async def test() -> None:
        sink = MemorySink(fail_after=3)
        wire = Wire(sink)
        with pytest.raises(SnapshotFailed, match="disk full"):
            await wire.sender.send(b"", chunks(100))
        assert await wire.failed.get() == "disk full"
        wire.receiver.close()
        assert sink.aborted.is_set()
        assert not sink.finished
        assert wire.done == []

    run(test())


def test_a_missing_chunk_is_noticed() -> None:
    async def test() -> None:
        sink = MemorySink()
        wire = Wire(sink)
        wire.drop_chunk = 4
        with pytest.raises(SnapshotFailed, match="must follow"):
            await wire.sender.send(b"", chunks(100))
        wire.receiver.close()
        assert not sink.finished

    run(test())


def test_a_failing_source_aborts_the_receiver() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("unreadable")

    async def test() -> None:
        sink = MemorySink()
        wire = Wire(sink)
        with pytest.raises(SnapshotFailed, match="unreadable"):
            await wire.sender.send(b"", broken())
        assert "gave up" in await wire.failed.get()
        wire.receiver.close()
        assert sink.aborted.is_set()

    run(test())


def test_a_lost_link_ends_both_sides_and_the_next_attempt_works() -> None:
    async def test() -> None:
        closed = threading.Event()

        def endless() -> Iterator[bytes]:
            try:
                while True:
                    yield b"x"
            finally:
                closed.set()

        sink = MemorySink()
        wire = Wire(sink)
        sending = asyncio.ensure_future(wire.sender.send(b"", endless()))
        while not sink.parts:
            await asyncio.sleep(0)
        wire.cut()
        with pytest.raises(SnapshotFailed):
            await sending
        assert await asyncio.to_thread(closed.wait, 5)
        assert await wire.failed.get() == "the link was lost"
        with pytest.raises(SnapshotFailed, match="down"):
            await wire.sender.send(b"", chunks(1))
        wire.up = True
        sink.parts.clear()
        await wire.sender.send(b"again", chunks(5))
        assert sink.parts == list(chunks(5))
        assert wire.done == [b"again"]
        wire.receiver.close()

    run(test())
