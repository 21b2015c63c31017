"""Moving a snapshot over the link: read and written in threads, chunk by chunk.

The receiver acknowledges each chunk once it is written; the sender keeps a few
under way. So neither memory nor the link fills up, and messages of the core
pass in between.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from twofold.base.crc import crc32
from twofold.peer.errors import FrameInvalid, SnapshotFailed
from twofold.peer.frames import FrameKind
from twofold.peer.requests import SendFrame

CHUNK_BYTES = 256 << 10
"""What a chunk should hold; any size up to a frame's works."""
_WINDOW = 8
_ACK_TIMEOUT_MS = 10_000

_STREAM = struct.Struct("<Q")
_CHUNK = struct.Struct("<QQ")
_END = struct.Struct("<QQI")


class Sink(Protocol):
    """Where a received snapshot goes; called from one thread, in order."""

    def write(self, chunk: bytes) -> None:
        """The next part."""

    def finish(self) -> None:
        """All parts are there and right: make it durable."""

    def abort(self) -> None:
        """The stream broke off: drop what was written."""


class SnapshotSender:
    """Sends one snapshot at a time; hand SNAPSHOT_ACK and _ABORT frames to it."""

    def __init__(self, send: SendFrame) -> None:
        self._send = send
        self._stream = 0
        self._acked = 0
        self._failed = ""
        self._news = asyncio.Event()

    async def send(self, meta: bytes, chunks: Iterator[bytes]) -> None:
        """Send everything ``chunks`` yields (read in a thread) and await the end.

        ``meta`` opens the receiver's sink. Returns once the receiver's
        ``finish`` has returned.

        Raises:
            SnapshotFailed: link lost, receiver failed or does not answer.
        """
        # Random: a receiver must not take chunks of an earlier boot for these.
        self._stream = secrets.randbits(64)
        self._acked = 0
        self._failed = ""
        stream = _STREAM.pack(self._stream)
        pool = ThreadPoolExecutor(1, "snapshot-read")
        ended = False
        try:
            self._put(FrameKind.SNAPSHOT_BEGIN, stream + meta)
            await self._send_chunks(pool, chunks)
            ended = True
        except OSError as error:
            raise SnapshotFailed(f"reading the snapshot: {error}") from error
        finally:
            if not ended:
                self._send(FrameKind.SNAPSHOT_ABORT, stream + b"the sender gave up")
            # A generator is closed in the thread that ran it, without waiting.
            close = getattr(chunks, "close", None)
            if close is not None:
                pool.submit(close)
            pool.shutdown(wait=False)

    async def _send_chunks(
        self, pool: ThreadPoolExecutor, chunks: Iterator[bytes]
    ) -> None:
        loop = asyncio.get_running_loop()
        count = 0
        checksum = 0
        while True:
            chunk = await loop.run_in_executor(pool, next, chunks, None)
            if chunk is None:
                break
            await self._until_acked(count - _WINDOW + 1)
            count += 1
            checksum = crc32(chunk, checksum)
            head = _CHUNK.pack(self._stream, count)
            self._put(FrameKind.SNAPSHOT_CHUNK, head + chunk)
        self._put(FrameKind.SNAPSHOT_END, _END.pack(self._stream, count, checksum))
        # The end is acknowledged like one more chunk.
        await self._until_acked(count + 1)

    def received(self, kind: int, body: bytes) -> None:
        """An ACK, or an ABORT of the receiver."""
        if len(body) < _STREAM.size:
            raise FrameInvalid("a snapshot frame is too short")
        if _STREAM.unpack_from(body)[0] != self._stream:
            return
        if kind == FrameKind.SNAPSHOT_ACK:
            self._acked = max(self._acked, _CHUNK.unpack_from(body)[1])
        else:
            self._failed = body[_STREAM.size :].decode(errors="replace")
        self._news.set()

    def lose(self) -> None:
        """The link is gone."""
        self._failed = "the link was lost"
        self._news.set()

    def _put(self, kind: int, body: bytes) -> None:
        if self._failed:
            raise SnapshotFailed(self._failed)
        if not self._send(kind, body):
            raise SnapshotFailed("the link is down")

    async def _until_acked(self, number: int) -> None:
        while self._acked < number:
            if self._failed:
                raise SnapshotFailed(self._failed)
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), _ACK_TIMEOUT_MS / 1_000)
            except TimeoutError as error:
                raise SnapshotFailed("no acknowledgement in time") from error


class SnapshotReceiver:
    """Writes an arriving snapshot to a sink in a thread.

    ``open_sink(meta)`` runs in that thread too. ``done(meta)`` comes on the loop
    after ``finish``; ``failed(reason)`` when a stream broke off.
    """

    def __init__(
        self,
        send: SendFrame,
        open_sink: Callable[[bytes], Sink],
        done: Callable[[bytes], None],
        failed: Callable[[str], None],
    ) -> None:
        self._send = send
        self._open_sink = open_sink
        self._done = done
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1, "snapshot-write")
        self._stream = 0
        self._count = 0
        self._checksum = 0
        self._meta = b""
        self._active = False
        self._sink: Sink | None = None

    def received(self, kind: int, body: bytes) -> None:
        """A BEGIN, CHUNK or END, or an ABORT of the sender."""
        if len(body) < _STREAM.size:
            raise FrameInvalid("a snapshot frame is too short")
        (stream,) = _STREAM.unpack_from(body)
        if kind == FrameKind.SNAPSHOT_BEGIN:
            self._begin(stream, body[_STREAM.size :])
        elif not self._active or stream != self._stream:
            return
        elif kind == FrameKind.SNAPSHOT_CHUNK:
            self._chunk(body)
        elif kind == FrameKind.SNAPSHOT_END:
            self._end(body)
        elif kind == FrameKind.SNAPSHOT_ABORT:
            self._break(body[_STREAM.size :].decode(errors="replace"), tell=False)

    def lose(self) -> None:
        """The link is gone: what has arrived is dropped."""
        if self._active:
            self._break("the link was lost", tell=False)

    def close(self) -> None:
        """Drop what is under way and stop the thread; waits for it."""
        self.lose()
        self._pool.shutdown()

    def _begin(self, stream: int, meta: bytes) -> None:
        if self._active:
            self._break("a new snapshot begins", tell=False)
        self._active = True
        self._stream = stream
        self._count = 0
        self._checksum = 0
        self._meta = meta
        self._work(lambda: self._open(meta), None)

    def _chunk(self, body: bytes) -> None:
        _, number = _CHUNK.unpack_from(body)
        chunk = body[_CHUNK.size :]
        self._count += 1
        self._checksum = crc32(chunk, self._checksum)
        if number != self._count:
            self._break(f"chunk {number} where {self._count} must follow", tell=True)
            return
        self._work(lambda: self._sink_now().write(chunk), number)

    def _end(self, body: bytes) -> None:
        _, count, checksum = _END.unpack_from(body)
        if count != self._count or checksum != self._checksum:
            self._break("the snapshot is not what was sent", tell=True)
            return
        self._work(self._finish, count + 1)

    def _open(self, meta: bytes) -> None:
        self._sink = self._open_sink(meta)

    def _finish(self) -> None:
        self._sink_now().finish()
        self._sink = None

    def _sink_now(self) -> Sink:
        if self._sink is None:
            raise SnapshotFailed("the sink could not be opened")
        return self._sink

    def _work(self, job: Callable[[], None], number: int | None) -> None:
        """Run in the thread; then acknowledge ``number``."""
        stream = self._stream

        def ended(future: Future[None]) -> None:
            error = future.exception()
            reason = "" if error is None else str(error) or type(error).__name__
            self._loop.call_soon_threadsafe(self._worked, stream, number, reason)

        self._pool.submit(job).add_done_callback(ended)

    def _worked(self, stream: int, number: int | None, reason: str) -> None:
        if not self._active or stream != self._stream:
            return
        if reason:
            self._break(reason, tell=True)
            return
        if number is not None:
            self._send(FrameKind.SNAPSHOT_ACK, _CHUNK.pack(stream, number))
            if number == self._count + 1:
                self._active = False
                self._done(self._meta)

    def _break(self, reason: str, *, tell: bool) -> None:
        self._active = False
        if tell:
            abort = _STREAM.pack(self._stream) + reason.encode()
            self._send(FrameKind.SNAPSHOT_ABORT, abort)
        self._pool.submit(self._drop)
        self._failed(reason)

    def _drop(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort()
