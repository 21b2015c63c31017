"""Flow control, fair turns, and peers that do not read."""

from twofold.etcd.front import frames
from twofold.etcd.front.port import Call, Limits, Routes, Stream, StreamHandler
from twofold.testing.front_wire import FrontWire, data_of, message

_BIG = 1 << 24


class Writer(StreamHandler):
    """A stream that counts how often it became writable."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.writable_count = 0

    def opened(self, stream: Stream) -> None:
        pass

    def message(self, message: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def writable(self) -> None:
        self.writable_count += 1

    def closed(self) -> None:
        pass


class Server:
    """Calls and streams wait until the test answers."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.calls: list[Call] = []
        self.writers: list[Writer] = []
        routes = Routes(
            {"/test.Test/Call": lambda call, _body: self.calls.append(call)},
            {"/test.Test/Stream": self._open},
            lambda request: request.respond(200, {}, b"h" * 100_000),
        )
        self.wire = FrontWire(routes, limits)

    def _open(self, stream: Stream) -> StreamHandler:
        self.writers.append(Writer(stream))
        return self.writers[-1]

    def writer(self, stream_id: int = 1) -> Writer:
        """Open a stream."""
        head = self.wire.request(stream_id, None, path="/test.Test/Stream")
        self.wire.feed(head)
        return self.writers[-1]


def test_a_large_reply_waits_for_windows_and_stays_whole() -> None:
    server = Server()
    wire = server.wire
    wire.greet()
    wire.feed(wire.request(1, b""))
    parts = [bytes([i]) * 30_000 for i in range(10)]
    server.calls[0].reply(parts)
    got = b""
    for _ in range(20):
        wire.turns()
        sent = wire.take()
        assert all(len(f.payload) <= 16_384 for f in sent)
        got += data_of(sent, 1)
        wire.feed(frames.window_update(0, 20_000) + frames.window_update(1, 20_000))
    assert got == message(b"".join(parts))
    assert wire.shared.connections
    assert server.wire.shared.counters.bytes_out > 300_000


def test_nothing_exceeds_a_window() -> None:
    server = Server()
    wire = server.wire
    wire.greet(initial_window=100)
    wire.feed(wire.request(1, b""))
    server.calls[0].reply(b"x" * 500)
    wire.turns()
    got = data_of(wire.take(), 1)
    assert len(got) == 100
    # A new initial window moves streams that are open.
    settings = frames.SETTING.pack(frames.SETTING_INITIAL_WINDOW, 300)
    wire.feed(frames.frame(frames.SETTINGS, 0, 0, settings))
    got += data_of(wire.take(), 1)
    assert len(got) == 300
    settings = frames.SETTING.pack(frames.SETTING_INITIAL_WINDOW, 100)
    wire.feed(frames.frame(frames.SETTINGS, 0, 0, settings))
    wire.feed(frames.window_update(1, 205))
    got += data_of(wire.take(), 1)
    assert len(got) == 305
    wire.feed(frames.window_update(1, 1000))
    got += data_of(wire.take(), 1)
    assert got == message(b"x" * 500)


def test_streams_take_turns() -> None:
    server = Server()
    wire = server.wire
    wire.greet(window=_BIG, initial_window=_BIG)
    wire.feed(wire.request(1, b"") + wire.request(3, b""))
    server.calls[0].reply(b"a" * 2_000_000)
    server.calls[1].reply(b"b" * 100_000)
    wire.turn()
    sent = wire.take()
    assert len(data_of(sent, 3)) == 100_005
    assert len(data_of(sent, 1)) < 300_000
    wire.turns()
    assert len(data_of(sent + wire.take(), 1)) == 2_000_005


def test_small_replies_overtake_a_large_one() -> None:
    server = Server()
    wire = server.wire
    wire.greet(window=_BIG, initial_window=_BIG)
    wire.feed(wire.request(1, b""))
    server.calls[0].reply(b"a" * 4_000_000)
    wire.turn()
    wire.feed(wire.request(3, b""))
    server.calls[1].reply(b"small")
    wire.turn()
    assert data_of(wire.take(), 3) == message(b"small")


def test_one_turn_writes_a_bounded_slice() -> None:
    server = Server()
    wire = server.wire
    wire.greet(window=_BIG, initial_window=_BIG)
    wire.feed(wire.request(1, b""))
    server.calls[0].reply([b"a" * 5_000_000])
    wire.turns()
    assert wire.transport.largest_write < 300_000


def test_a_full_transport_gets_no_more_of_the_backlog() -> None:
    server = Server()
    wire = server.wire
    wire.greet(window=_BIG, initial_window=_BIG)
    wire.feed(wire.request(1, b""))
    connection = wire.transport.protocol
    assert connection is not None
    connection.pause_writing()
    server.calls[0].reply(b"a" * 1_000_000)
    wire.turns()
    assert data_of(wire.take(), 1) == b""
    connection.resume_writing()
    wire.turns()
    assert len(data_of(wire.take(), 1)) == 1_000_005


def test_a_peer_that_reads_nothing_is_not_read_from() -> None:
    server = Server(Limits(write_buffer_bytes_max=1000, write_stall_s=5))
    wire = server.wire
    wire.greet()
    connection = wire.transport.protocol
    assert connection is not None
    connection.pause_writing()
    wire.transport.buffered_bytes = 0
    ping = frames.frame(frames.PING, 0, 0, b"x" * 8)
    wire.feed(ping)
    assert wire.transport.reading
    wire.feed(ping * 100)
    assert not wire.transport.reading
    connection.resume_writing()
    assert wire.transport.reading
    connection.pause_writing()
    wire.feed(ping)
    wire.sweep(6)
    assert wire.transport.is_aborted


def test_a_stream_above_its_high_water_mark_is_told_and_called_back() -> None:
    server = Server(Limits(backlog_high_bytes=50_000, backlog_low_bytes=10_000))
    wire = server.wire
    wire.greet()
    writer = server.writer()
    sent_count = 0
    while writer.stream.send(b"x" * 10_000):
        sent_count += 1
    assert 10 <= sent_count <= 13
    wire.feed(frames.window_update(0, _BIG) + frames.window_update(1, 30_000))
    wire.turns()
    assert writer.writable_count == 0
    wire.feed(frames.window_update(1, 1_000_000))
    wire.turns()
    assert writer.writable_count == 1
    assert len(data_of(wire.take(), 1)) == (sent_count + 1) * 10_005


def test_a_client_that_does_not_read_its_stream_gets_no_new_window() -> None:
    limits = Limits(
        backlog_high_bytes=50_000, backlog_low_bytes=10_000, stream_window_bytes=30_000
    )
    server = Server(limits)
    wire = server.wire
    wire.greet()
    writer = server.writer()
    while writer.stream.send(b"x" * 10_000):
        pass
    wire.turns()
    wire.take()
    wire.feed(frames.frame(frames.DATA, 0, 1, message(b"y" * 16_000)))
    assert [f for f in wire.take() if f.kind == frames.WINDOW_UPDATE] == []
    wire.feed(frames.window_update(0, _BIG) + frames.window_update(1, _BIG))
    wire.turns()
    updates = [f for f in wire.take() if f.kind == frames.WINDOW_UPDATE]
    assert [f.stream_id for f in updates] == [1]


def test_finish_sends_the_backlog_first_and_fail_drops_it() -> None:
    server = Server()
    wire = server.wire
    wire.greet()
    first, second = server.writer(1), server.writer(3)
    for writer in (first, second):
        writer.stream.send(b"x" * 100_000)
    first.stream.finish()
    second.stream.fail(14, "gone")
    wire.turns()
    assert second.writable_count == 0
    for i in (0, 1, 3):
        wire.feed(frames.window_update(i, 1_000_000))
    wire.turns()
    sent = wire.take()
    assert len(data_of(sent, 1)) == 100_005
    assert len(data_of(sent, 3)) < 100_005
    ends = [f.stream_id for f in sent if f.kind == frames.HEADERS and f.flags & 1]
    assert ends == [3, 1]


def test_a_reset_frees_the_backlog() -> None:
    server = Server()
    wire = server.wire
    wire.greet()
    wire.feed(wire.request(1, b""))
    server.calls[0].reply(b"a" * 1_000_000)
    wire.turns()
    outbound = server.calls[0].outbound  # type: ignore[attr-defined]
    assert outbound.backlog_bytes > 900_000
    wire.feed(frames.rst_stream(1, frames.CANCEL))
    assert outbound.backlog_bytes == 0


def test_a_reply_nobody_takes_is_reset_in_the_end() -> None:
    server = Server(Limits(write_stall_s=5))
    wire = server.wire
    wire.greet()
    wire.feed(wire.request(1, b""))
    server.calls[0].reply(b"a" * 1_000_000)
    wire.turns()
    wire.take()
    wire.sweep(4)
    wire.feed(frames.window_update(1, 10) + frames.window_update(0, 10))
    wire.sweep(4)
    wire.turns()
    assert [f for f in wire.take() if f.kind == frames.RST_STREAM] == []
    wire.sweep(4)
    wire.turns()
    assert [f.kind for f in wire.take()] == [frames.RST_STREAM]


def test_too_many_unread_replies_refuse_new_requests() -> None:
    server = Server(Limits(reply_backlog_bytes_max=500_000))
    wire = server.wire
    wire.greet()
    wire.feed(wire.request(1, b""))
    server.calls[0].reply(b"a" * 1_000_000)
    wire.turns()
    wire.take()
    wire.feed(wire.request(3, b""))
    assert [(f.kind, f.stream_id) for f in wire.take()] == [(frames.RST_STREAM, 3)]


def test_http_bodies_are_under_flow_control_too() -> None:
    server = Server()
    wire = server.wire
    wire.greet()
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/x")]
    wire.feed(frames.frame(frames.HEADERS, 5, 1, wire.encoder.encode(fields)))
    first = wire.take()
    assert len(data_of(first, 1)) == 65_535
    wire.feed(frames.window_update(0, 50_000) + frames.window_update(1, 50_000))
    second = wire.take()
    assert len(data_of(second, 1)) == 100_000 - 65_535
    assert second[-1].flags & frames.END_STREAM
