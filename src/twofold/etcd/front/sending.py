"""The sending half of an HTTP/2 connection: batching, windows, fair turns.

Small frames go to ``out`` at once. What does not fit a window, a frame or the
transport's buffer waits in its stream's queue, and streams take turns of one
frame each, so that no reply, however large, holds up another.
"""

from __future__ import annotations

from asyncio import Transport
from collections import deque
from collections.abc import Callable

from twofold.etcd.front.frames import (
    END_STREAM,
    FRAME_HEADER,
    FRAME_PAYLOAD_BYTES_MAX,
    NO_ERROR,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    headers_frame,
    rst_stream,
)
from twofold.etcd.front.port import Counters, Limits

# What one connection may write before others get their turn.
_TURN_BYTES = 256 * 1024
# Frames gathered in one turn before message streams must queue.
OUT_FRAMES_MAX = 1024
_RESET_IDS_MAX = 1000

Chunk = bytes | memoryview


class SendState:
    """The sending half of one stream."""

    __slots__ = (
        "above_high_water",
        "end_block",
        "headers_sent",
        "is_ready",
        "outbound",
        "queue",
        "queued_bytes",
        "reset_after_end",
        "stream_id",
        "window",
    )

    def __init__(self, outbound: Outbound, stream_id: int) -> None:
        self.outbound = outbound
        self.stream_id = stream_id
        self.window = outbound.initial_window
        self.queue: deque[Chunk] | None = None
        self.queued_bytes = 0
        self.is_ready = False  # whether it stands in Outbound.ready
        self.headers_sent = False
        # Trailers to send after the queue; b"" ends the stream on its last DATA.
        self.end_block: bytes | None = None
        self.reset_after_end = False
        self.above_high_water = False

    def writable(self) -> None:
        """The backlog has shrunk below its low-water mark."""


class Outbound:
    """What one connection has yet to send; ``streams`` are all that are open."""

    __slots__ = (
        "_counters",
        "_limits",
        "_schedule",
        "backlog_bytes",
        "dirty",
        "initial_window",
        "is_closed",
        "is_reading_paused",
        "out",
        "paused",
        "ready",
        "reset_ids",
        "streams",
        "transport",
        "window",
    )

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        schedule: Callable[[Outbound], None],
        transport: Transport,
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._schedule = schedule
        self.transport = transport
        self.streams: dict[int, SendState] = {}
        self.out: list[Chunk] = []
        self.window = WINDOW_DEFAULT
        self.initial_window = WINDOW_DEFAULT
        self.ready: deque[SendState] = deque()
        self.backlog_bytes = 0
        self.dirty = False
        self.paused = False
        self.is_closed = False
        self.is_reading_paused = False
        # Streams this side ended early: the client may not know yet.
        self.reset_ids: dict[int, None] = {}

    def mark_dirty(self) -> None:
        """Have ``flush`` called at the end of this turn of the loop."""
        if not self.dirty:
            self.dirty = True
            self._schedule(self)

    def put(self, frame: bytes) -> None:
        """Send a frame that no window limits."""
        self.out.append(frame)
        if not self.dirty:
            self.mark_dirty()

    def flush(self) -> None:
        """Write what was gathered, and a turn of the backlog."""
        self.dirty = False
        if self.is_closed:
            self.out.clear()
            return
        if self.ready and not self.paused:
            self._take_turns()
        if self.out:
            batch = b"".join(self.out)
            self.out.clear()
            self._counters.bytes_out += len(batch)
            self.transport.write(batch)
            if self.paused:
                self._hold_reading()
        if self.ready and not self.paused and self.window > 0:
            self.mark_dirty()

    def _hold_reading(self) -> None:
        # A peer that does not take our answers gets no more of its requests read.
        size = self.transport.get_write_buffer_size()
        if size > self._limits.write_buffer_bytes_max and not self.is_reading_paused:
            self.is_reading_paused = True
            self.transport.pause_reading()

    def pause(self) -> None:
        """The transport's buffer is full."""
        self.paused = True

    def resume(self) -> None:
        """The transport's buffer has drained."""
        self.paused = False
        if self.is_reading_paused:
            self.is_reading_paused = False
            self.transport.resume_reading()
        if self.ready:
            self.mark_dirty()

    def enqueue(self, stream: SendState, chunks: list[bytes], size: int) -> None:
        """Add ``chunks`` of together ``size`` bytes to a stream's queue."""
        if stream.queue is None:
            stream.queue = deque()
        stream.queue.extend(chunks)
        stream.queued_bytes += size
        self.backlog_bytes += size
        self._make_ready(stream)

    def end(self, stream: SendState, block: bytes, reset_after: bool) -> None:
        """After the queue send trailers ``block`` (b"": none) and forget the stream."""
        stream.end_block = block
        stream.reset_after_end = reset_after
        if stream.queued_bytes:
            return
        if block:
            self.out.append(headers_frame(stream.stream_id, block, True))
        else:
            self.out.append(FRAME_HEADER.pack(0, END_STREAM, stream.stream_id))
        self._ended(stream)
        self.mark_dirty()

    def discard(self, stream: SendState) -> None:
        """Forget a stream and what it has queued; sends nothing."""
        self.streams.pop(stream.stream_id, None)
        self.drop_queue(stream)
        stream.end_block = None

    def drop_queue(self, stream: SendState) -> None:
        """Forget what a stream has queued."""
        self.backlog_bytes -= stream.queued_bytes
        stream.queued_bytes = 0
        stream.queue = None

    def note_reset(self, stream_id: int) -> None:
        """Remember that frames for this stream may still come."""
        if len(self.reset_ids) >= _RESET_IDS_MAX:
            del self.reset_ids[next(iter(self.reset_ids))]
        self.reset_ids[stream_id] = None

    def widen_stream(self, stream: SendState, increment: int) -> bool:
        """WINDOW_UPDATE or SETTINGS for a stream; False if that is too much."""
        stream.window += increment
        if stream.window > WINDOW_MAX:
            return False
        if stream.queued_bytes:
            self._make_ready(stream)
        return True

    def _make_ready(self, stream: SendState) -> None:
        if not stream.is_ready and stream.window > 0:
            stream.is_ready = True
            self.ready.append(stream)
        self.mark_dirty()

    def _take_turns(self) -> None:
        budget = _TURN_BYTES
        ready = self.ready
        low_bytes = self._limits.backlog_low_bytes
        writable: list[SendState] = []
        while ready and budget > 0:
            stream = ready[0]
            size = stream.queued_bytes
            size = min(size, FRAME_PAYLOAD_BYTES_MAX, stream.window)
            if size > self.window:
                size = self.window
                if size <= 0:
                    break
            ready.popleft()
            if size > 0:
                budget -= size
                self._send_data(stream, size)
            if stream.queued_bytes and stream.window > 0:
                ready.append(stream)
            else:
                stream.is_ready = False
            if stream.above_high_water and stream.queued_bytes < low_bytes:
                stream.above_high_water = False
                writable.append(stream)
        # Handlers run last: they may queue, end and reset streams.
        for stream in writable:
            stream.writable()

    def _send_data(self, stream: SendState, size: int) -> None:
        stream.window -= size
        self.window -= size
        self.backlog_bytes -= size
        stream.queued_bytes -= size
        is_done = not stream.queued_bytes and stream.end_block is not None
        flags = END_STREAM if is_done and not stream.end_block else 0
        out = self.out
        out.append(FRAME_HEADER.pack(size << 8, flags, stream.stream_id))
        queue = stream.queue
        while size and queue:
            chunk = queue[0]
            if len(chunk) <= size:
                out.append(chunk)
                size -= len(chunk)
                queue.popleft()
            else:
                view = memoryview(chunk)
                out.append(view[:size])
                queue[0] = view[size:]
                size = 0
        if is_done:
            if stream.end_block:
                out.append(headers_frame(stream.stream_id, stream.end_block, True))
            self._ended(stream)

    def _ended(self, stream: SendState) -> None:
        self.streams.pop(stream.stream_id, None)
        if stream.reset_after_end:
            # The client need not send the rest of its request (RFC 9113 §8.1).
            self.out.append(rst_stream(stream.stream_id, NO_ERROR))
            self.note_reset(stream.stream_id)
