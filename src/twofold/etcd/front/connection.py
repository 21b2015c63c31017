"""The reading half of an HTTP/2 connection (RFC 9113, server side).

``data_received`` handles every frame that arrived; the answers are written together
at the end of the loop's turn. Nothing here sleeps or sets timers: ``sweep`` is called
once a second.
"""

from __future__ import annotations

from asyncio import Protocol, Transport
from collections.abc import Callable
from typing import cast

from twofold.etcd.front import frames
from twofold.etcd.front.errors import ConnectionFault, MalformedHead
from twofold.etcd.front.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    FRAME_PAYLOAD_BYTES_MAX,
    PADDED,
    PROTOCOL_ERROR,
    STREAM_ID_MASK,
    UINT32,
    WINDOW_MAX,
)
from twofold.etcd.front.heads import Heads
from twofold.etcd.front.peers import TransportPeer
from twofold.etcd.front.port import CODE_RESOURCE_EXHAUSTED, CODE_UNAVAILABLE
from twofold.etcd.front.requests import check_trailers
from twofold.etcd.front.sending import Outbound
from twofold.etcd.front.shared import Shared
from twofold.etcd.front.streams import (
    Exchange,
    HttpExchange,
    MessageStream,
    UnaryCall,
)

_SIZES = {
    frames.PRIORITY: 5,
    frames.RST_STREAM: 4,
    frames.PING: 8,
    frames.WINDOW_UPDATE: 4,
}


class HeaderBlock:
    """A header block whose CONTINUATION frames are still to come."""

    __slots__ = ("data", "frame_count", "is_end", "stream_id")

    def __init__(self, stream_id: int, data: bytes, is_end: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.is_end = is_end
        self.frame_count = 1


class Http2Connection(TransportPeer, Protocol):
    """One client; see the module."""

    transport: Transport

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._counters = shared.counters
        self._rest = b""
        self._preface_seen = False
        self._settings_seen = False
        self._is_over = False
        self._is_draining = False
        self._is_settled = False  # draining, and takes no new streams any more
        self._last_stream_id = 0
        self._unacked_bytes = 0
        self._unacked_max = shared.limits.connection_window_bytes // 2
        self._partial_bytes = 0
        self._block: HeaderBlock | None = None
        self._heads = Heads(shared)
        self._head_cache = self._heads.cache
        self._sweep_counts: dict[int, int] = {}
        self._block_s = 0
        self._handshake_s = 0
        self._held_s = 0
        self._silent_s = 0
        self._bytes_seen = False
        self._on_frame: tuple[Callable[[int, int, bytes], None], ...] = (
            self._on_data,
            self._on_headers,
            self._on_priority,
            self._on_rst_stream,
            self._on_settings,
            self._on_push_promise,
            self._on_ping,
            self._on_goaway,
            self._on_window_update,
            self._on_continuation,
        )

    # --- asyncio.Protocol

    def start(self, transport: Transport) -> None:
        """Take over an accepted connection; the preface is still to come."""
        self.transport = transport
        self.outbound = Outbound(
            self._limits, self._counters, self._shared.schedule, transport
        )
        self._streams = cast(dict[int, Exchange], self.outbound.streams)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Everything that is open ends."""
        self._is_over = True
        self.outbound.is_closed = True
        self._abandon_streams()
        self._shared.closed(self)

    def _abandon_streams(self) -> None:
        self.outbound.ready.clear()
        for exchange in list(self._streams.values()):
            exchange.abandon()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.outbound.pause()

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self.outbound.resume()

    def data_received(self, data: bytes) -> None:
        """Handle every whole frame; what comes of it is written at the turn's end."""
        self._counters.bytes_in += len(data)
        self._bytes_seen = True
        if self._is_over:
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        outbound = self.outbound
        # Scheduled at the end only: what the handlers planned goes first, so that
        # the disk works while we write acknowledgements of pings.
        held = not outbound.dirty
        if held:
            outbound.dirty = True
        try:
            if self._preface_seen:
                self._read_frames(data)
            else:
                self._read_preface(data)
        except ConnectionFault as fault:
            self._go_away(fault.code, fault.reason)
            return
        if held:
            outbound.dirty = False
        if (outbound.out or outbound.ready) and not outbound.dirty:
            outbound.mark_dirty()
        if self._is_settled and not self._streams:
            self._close()

    def _read_preface(self, data: bytes) -> None:
        preface = frames.PREFACE
        start = data[: len(preface)]
        if start != preface[: len(start)]:
            raise ConnectionFault(PROTOCOL_ERROR, "bad preface")
        if len(start) < len(preface):
            self._rest = data
            return
        self._preface_seen = True
        limits = self._limits
        settings = frames.server_settings(
            limits.streams_max,
            limits.stream_window_bytes,
            limits.connection_window_bytes,
            limits.header_bytes_max,
        )
        self.outbound.out.append(settings)
        self._read_frames(data[len(preface) :])

    def _read_frames(self, data: bytes) -> None:
        start = 0
        end = len(data)
        unpack = FRAME_HEADER.unpack_from
        on_frame = self._on_frame
        while end - start >= FRAME_HEADER_BYTES:
            word, flags, stream_id = unpack(data, start)
            size = word >> 8
            if size > FRAME_PAYLOAD_BYTES_MAX:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "frame too large")
            start += FRAME_HEADER_BYTES
            stop = start + size
            if stop > end:
                start -= FRAME_HEADER_BYTES
                break
            kind = word & 0xFF
            if not self._settings_seen:
                if kind != frames.SETTINGS or flags & ACK:
                    raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS must come first")
                self._settings_seen = True
            if self._block is not None and kind != frames.CONTINUATION:
                raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION expected")
            if kind < len(on_frame):
                on_frame[kind](flags, stream_id & STREAM_ID_MASK, data[start:stop])
                if self._is_over:
                    return
            else:
                self._count(kind, self._limits.empty_frames_per_s)
            start = stop
        if start < end:
            self._rest = data[start:]

    # --- DATA

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._unacked_bytes += size
        if self._unacked_bytes > self._unacked_max:
            self.outbound.out.append(frames.window_update(0, self._unacked_bytes))
            self._unacked_bytes = 0
        exchange = self._streams.get(stream_id)
        if exchange is None or exchange.half_closed:
            self._on_stray_data(stream_id, exchange)
            return
        if flags & PADDED:
            payload = _unpad(payload)
        is_end = flags & END_STREAM
        exchange.received_bytes += len(payload)
        if is_end:
            exchange.half_closed = True
            exchange.take(payload, True)
            return
        if not payload:
            self._count(DATA, self._limits.empty_frames_per_s)
        exchange.unacked_bytes += size
        if exchange.unacked_bytes > self._limits.stream_window_bytes:
            exchange.reset(frames.FLOW_CONTROL_ERROR)
            return
        exchange.take(payload, False)
        if exchange.alive:
            self._after_partial(exchange, size)

    def _after_partial(self, exchange: Exchange, size: int) -> None:
        if exchange.partial is not None:
            self._partial_bytes += size
            if self._partial_bytes > self._limits.partial_bytes_max:
                # The running sum forgets nothing that was completed since.
                self._partial_bytes = self._sum_partial_bytes()
                if self._partial_bytes > self._limits.partial_bytes_max * 7 // 8:
                    text = "grpc: too many incomplete requests on this connection"
                    exchange.fail(CODE_RESOURCE_EXHAUSTED, text)
                    return
        unacked = exchange.unacked_bytes
        # A client that does not read its answers gets no new window either.
        is_due = unacked > self._limits.stream_window_bytes // 2
        if is_due and not exchange.above_high_water:
            exchange.unacked_bytes = 0
            self.outbound.out.append(frames.window_update(exchange.stream_id, unacked))

    def _sum_partial_bytes(self) -> int:
        return sum(
            len(exchange.partial)
            for exchange in self._streams.values()
            if exchange.partial is not None
        )

    def _on_stray_data(self, stream_id: int, exchange: Exchange | None) -> None:
        if stream_id == 0 or stream_id > self._last_stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "DATA on an idle stream")
        self._count(DATA, self._limits.empty_frames_per_s)
        if exchange is not None:
            self._fault_stream(stream_id, frames.STREAM_CLOSED)
        elif stream_id not in self.outbound.reset_ids:
            raise ConnectionFault(frames.STREAM_CLOSED, "DATA on a closed stream")

    # --- HEADERS and CONTINUATION

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on an even stream")
        if flags & PADDED:
            payload = _unpad(payload)
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "priority cut short")
            depends_on = UINT32.unpack_from(payload)[0] & STREAM_ID_MASK
            if depends_on == stream_id:
                raise ConnectionFault(PROTOCOL_ERROR, "stream depends on itself")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._on_block(stream_id, payload, flags & END_STREAM != 0)
        else:
            is_end = flags & END_STREAM != 0
            self._block = HeaderBlock(stream_id, payload, is_end)

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        if block is None or block.stream_id != stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "unexpected CONTINUATION")
        block.data += payload
        block.frame_count += 1
        if (
            len(block.data) > self._limits.header_bytes_max
            or block.frame_count > self._limits.continuations_max
        ):
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "header block too large")
        if flags & END_HEADERS:
            self._block = None
            self._on_block(stream_id, block.data, block.is_end)

    def _on_block(self, stream_id: int, block: bytes, is_end: bool) -> None:
        if stream_id <= self._last_stream_id:
            self._on_trailers(stream_id, block, is_end)
            return
        self._last_stream_id = stream_id
        head = self._head_cache.get(block)
        if head is None:
            try:
                head = self._heads.read(block)
            except MalformedHead:
                self._fault_stream(stream_id, PROTOCOL_ERROR)
                return
        if (
            len(self._streams) >= self._limits.streams_max
            or self._is_settled
            or self.outbound.backlog_bytes > self._limits.reply_backlog_bytes_max
        ):
            self._fault_stream(stream_id, frames.REFUSED_STREAM)
            return
        exchange: Exchange
        if head.unary_handler is not None:
            exchange = UnaryCall(
                self.outbound, stream_id, head, self, self._limits, head.unary_handler
            )
        elif head.stream_factory is not None:
            exchange = MessageStream(self.outbound, stream_id, head, self, self._limits)
        else:
            exchange = HttpExchange(self.outbound, stream_id, head, self, self._limits)
        self._streams[stream_id] = exchange
        exchange.half_closed = is_end
        exchange.open()
        if is_end:
            exchange.take(b"", True)

    def _on_trailers(self, stream_id: int, block: bytes, is_end: bool) -> None:
        fields = self._heads.decode(block)
        exchange = self._streams.get(stream_id)
        if exchange is None:
            if stream_id not in self.outbound.reset_ids:
                raise ConnectionFault(frames.STREAM_CLOSED, "HEADERS on closed stream")
            self._count(frames.HEADERS, self._limits.faults_per_s)
        elif exchange.half_closed:
            self._fault_stream(stream_id, frames.STREAM_CLOSED)
        elif not is_end:
            self._fault_stream(stream_id, PROTOCOL_ERROR)
        else:
            try:
                check_trailers(fields)
            except MalformedHead:
                self._fault_stream(stream_id, PROTOCOL_ERROR)
                return
            exchange.half_closed = True
            exchange.take(b"", True)

    # --- the other frames

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        _check_size(frames.WINDOW_UPDATE, payload)
        increment = UINT32.unpack(payload)[0] & WINDOW_MAX
        outbound = self.outbound
        if stream_id == 0:
            if not increment:
                raise ConnectionFault(PROTOCOL_ERROR, "window increment 0")
            outbound.window += increment
            if outbound.window > WINDOW_MAX:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "window too large")
            return
        exchange = self._streams.get(stream_id)
        if exchange is None:
            if stream_id > self._last_stream_id:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE on idle stream")
        elif not increment:
            self._fault_stream(stream_id, PROTOCOL_ERROR)
        elif not outbound.widen_stream(exchange, increment):
            self._fault_stream(stream_id, frames.FLOW_CONTROL_ERROR)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        self._count(frames.SETTINGS, self._limits.settings_per_s)
        if flags & ACK:
            if payload:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "SETTINGS ACK not empty")
            return
        if len(payload) % 6:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "SETTINGS cut short")
        initial_window = self.outbound.initial_window
        for name, value in frames.SETTING.iter_unpack(payload):
            if name == frames.SETTING_ENABLE_PUSH:
                if value > 1:
                    raise ConnectionFault(PROTOCOL_ERROR, "bad ENABLE_PUSH")
            elif name == frames.SETTING_FRAME_BYTES_MAX:
                if not FRAME_PAYLOAD_BYTES_MAX <= value <= 0xFF_FFFF:
                    raise ConnectionFault(PROTOCOL_ERROR, "bad MAX_FRAME_SIZE")
            elif name == frames.SETTING_INITIAL_WINDOW:
                if value > WINDOW_MAX:
                    raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "window too large")
                initial_window = value
        # Once a frame, not once a setting: it visits every open stream.
        self._set_initial_window(initial_window)
        self.outbound.out.append(frames.SETTINGS_ACK)

    def _set_initial_window(self, value: int) -> None:
        outbound = self.outbound
        difference = value - outbound.initial_window
        outbound.initial_window = value
        if difference:
            for exchange in self._streams.values():
                if not outbound.widen_stream(exchange, difference):
                    raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "window too large")

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        _check_size(frames.RST_STREAM, payload)
        if stream_id == 0 or stream_id > self._last_stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        self._count(frames.RST_STREAM, self._limits.resets_per_s)
        exchange = self._streams.get(stream_id)
        if exchange is not None:
            exchange.abandon()

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")
        _check_size(frames.PING, payload)
        self._count(frames.PING, self._limits.pings_per_s)
        if not flags & ACK:
            self.outbound.out.append(frames.PING_ACK_START + payload)

    def _on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._count(frames.PRIORITY, self._limits.empty_frames_per_s)
        if len(payload) != _SIZES[frames.PRIORITY]:
            self._fault_stream(stream_id, frames.FRAME_SIZE_ERROR)
        elif UINT32.unpack_from(payload)[0] & STREAM_ID_MASK == stream_id:
            self._fault_stream(stream_id, PROTOCOL_ERROR)

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _on_goaway(self, _flags: int, stream_id: int, _payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        self._count(frames.GOAWAY, self._limits.faults_per_s)

    # --- ends and limits

    def _fault_stream(self, stream_id: int, code: int) -> None:
        self._count(-1, self._limits.faults_per_s)
        exchange = self._streams.get(stream_id)
        if exchange is not None:
            exchange.reset(code)
        else:
            self.outbound.note_reset(stream_id)
            self.outbound.out.append(frames.rst_stream(stream_id, code))

    def _count(self, kind: int, per_s_max: int) -> None:
        count = self._sweep_counts.get(kind, 0) + 1
        self._sweep_counts[kind] = count
        if count > per_s_max:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "too many control frames")

    def _go_away(self, code: int, reason: str) -> None:
        self._counters.protocol_faults += 1
        goaway = frames.goaway(self._last_stream_id, code, reason)
        self.outbound.out.append(goaway)
        self._close()

    def _close(self) -> None:
        self._is_over = True
        self.outbound.ready.clear()
        self.outbound.flush()
        self.outbound.is_closed = True
        self._abandon_streams()
        self.transport.close()

    def drain(self) -> None:
        """Ask the client for no new streams; close when the open ones have ended.

        Those it sends before it hears of this are served (RFC 9113 §6.8).
        """
        if self._is_over or self._is_draining:
            return
        self._is_draining = True
        if self._preface_seen:
            self.outbound.put(frames.goaway(STREAM_ID_MASK, frames.NO_ERROR))
        else:
            self._close()

    def close_if_drained(self) -> None:
        """To be called a moment after ``drain``, and again: close if all has ended."""
        if not self._is_draining or self._is_over:
            return
        if not self._is_settled:
            self._is_settled = True
            goaway = frames.goaway(self._last_stream_id, frames.NO_ERROR)
            self.outbound.put(goaway)
        if not self._streams:
            self._close()

    def stream_count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def stop(self) -> None:
        """End what is still open by UNAVAILABLE, and close."""
        if self._is_over:
            return
        for exchange in list(self._streams.values()):
            exchange.fail(CODE_UNAVAILABLE, "etcdserver: server stopped")
        self._close()

    def sweep(self) -> None:
        """Once a second: forget the counts, end what has stalled."""
        self._sweep_counts.clear()
        if self._is_over:
            self._held_s += 1
            if self._held_s > self._limits.handshake_s:
                # The peer does not take our last words.
                self.transport.abort()
            return
        limits = self._limits
        self._block_s = self._block_s + 1 if self._block is not None else 0
        self._handshake_s += not self._settings_seen
        self._held_s = self._held_s + 1 if self.outbound.is_reading_paused else 0
        if self._held_s > limits.write_stall_s:
            self.transport.abort()
        elif (
            self._block_s > limits.header_block_s
            or self._handshake_s > limits.handshake_s
        ):
            self._go_away(frames.ENHANCE_YOUR_CALM, "too slow")
        else:
            for exchange in list(self._streams.values()):
                exchange.sweep()
            self._keep_alive()
            self.close_if_drained()

    def _keep_alive(self) -> None:
        if self._bytes_seen:
            self._bytes_seen = False
            self._silent_s = 0
            return
        self._silent_s += 1
        interval_s = self._limits.keepalive_interval_s
        if self._silent_s == interval_s:
            self.outbound.put(frames.KEEPALIVE_PING)
        elif self._silent_s > interval_s + self._limits.keepalive_timeout_s:
            self.transport.abort()


def _unpad(payload: bytes) -> bytes:
    if not payload:
        raise ConnectionFault(frames.FRAME_SIZE_ERROR, "padding length missing")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "padding too long")
    return payload[1 : len(payload) - padding]


def _check_size(kind: int, payload: bytes) -> None:
    if len(payload) != _SIZES[kind]:
        raise ConnectionFault(frames.FRAME_SIZE_ERROR, "wrong frame size")
