"""HTTP/2 from the outside: frames in, frames out, no sockets."""

import pytest

from twofold.etcd.front import frames
from twofold.etcd.front.port import (
    Call,
    HttpRequest,
    Limits,
    Routes,
    Stream,
    StreamHandler,
)
from twofold.etcd.front.sniffer import Sniffer
from twofold.testing.front_wire import (
    FakeTransport,
    Frame,
    FrontWire,
    data_of,
    message,
)


class Recorder(StreamHandler):
    """Writes down what the front tells it."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.stream: Stream | None = None

    def opened(self, stream: Stream) -> None:
        self.stream = stream
        self.heard.append("opened")

    def message(self, message: bytes) -> None:
        self.heard.append(message)

    def half_closed(self) -> None:
        self.heard.append("half_closed")

    def writable(self) -> None:
        self.heard.append("writable")

    def closed(self) -> None:
        self.heard.append("closed")


class Server:
    """Routes whose handlers keep what they got."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.calls: list[tuple[Call, bytes]] = []
        self.requests: list[HttpRequest] = []
        self.recorders: list[Recorder] = []
        routes = Routes(
            {
                "/test.Test/Call": lambda call, body: self.calls.append((call, body)),
                "/test.Test/Echo": lambda call, body: call.reply(body),
            },
            {"/test.Test/Stream": self._open},
            self.requests.append,
        )
        self.wire = FrontWire(routes, limits)

    def _open(self, _stream: Stream) -> StreamHandler:
        self.recorders.append(Recorder())
        return self.recorders[-1]

    def stream(self, stream_id: int = 1) -> tuple[Recorder, Stream]:
        """Open a message stream."""
        head = self.wire.request(stream_id, None, path="/test.Test/Stream")
        self.wire.feed(head)
        recorder = self.recorders[-1]
        assert recorder.stream is not None
        return recorder, recorder.stream


def _greeted(limits: Limits | None = None, **greeting: int) -> Server:
    server = Server(limits)
    server.wire.greet(**greeting)
    return server


def _goaway_code(sent: list[Frame]) -> int | None:
    for frame in sent:
        if frame.kind == frames.GOAWAY:
            return int.from_bytes(frame.payload[4:8], "big")
    return None


def _reset_code(sent: list[Frame], stream_id: int) -> int | None:
    for frame in sent:
        if frame.kind == frames.RST_STREAM and frame.stream_id == stream_id:
            return int.from_bytes(frame.payload, "big")
    return None


def _status(wire: FrontWire, sent: list[Frame], stream_id: int) -> str | None:
    status = None
    for frame in sent:
        if frame.kind == frames.HEADERS and frame.stream_id == stream_id:
            status = wire.fields(frame).get("grpc-status", status)
    return status


def test_a_unary_call_is_answered_in_one_write() -> None:
    wire = _greeted().wire
    before = wire.transport.write_count
    wire.feed(wire.request(1, b"one", path="/test.Test/Echo"))
    assert wire.transport.write_count == before + 1
    sent = wire.take()
    assert data_of(sent, 1) == message(b"one")
    assert _status(wire, sent, 1) == "0"


def test_all_requests_of_one_read_are_answered_by_one_write() -> None:
    wire = _greeted().wire
    before = wire.transport.write_count
    path = "/test.Test/Echo"
    wire.feed(b"".join(wire.request(i, b"x", path=path) for i in range(1, 40, 2)))
    assert wire.transport.write_count == before + 1
    assert sum(frame.kind == frames.DATA for frame in wire.take()) == 20


def test_bytes_may_come_one_at_a_time() -> None:
    wire = Server().wire
    hello = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0)
    for octet in hello + wire.request(1, b"slowly", path="/test.Test/Echo"):
        wire.feed(bytes((octet,)))
    assert data_of(wire.take(), 1) == message(b"slowly")


def test_later_answers_gather_until_the_turn_ends() -> None:
    server = _greeted()
    wire = server.wire
    wire.feed(wire.request(1, b"a") + wire.request(3, b"b"))
    before = wire.transport.write_count
    for call, body in server.calls:
        call.reply([body, body])
    assert wire.transport.write_count == before
    wire.turns()
    assert wire.transport.write_count == before + 1
    sent = wire.take()
    assert data_of(sent, 3) == message(b"bb")
    assert wire.shared.counters.bytes_out > 0


def test_flush_writes_before_the_turn_ends() -> None:
    server = _greeted()
    wire = server.wire
    wire.feed(wire.request(1, b"a"))
    server.calls[0][0].reply(b"now")
    wire.shared.flush()
    assert data_of(wire.take(), 1) == message(b"now")
    wire.turns()
    assert wire.take() == []


def test_a_call_knows_its_metadata_deadline_and_end() -> None:
    server = _greeted()
    wire = server.wire
    extra = (("token", "secret"), ("grpc-timeout", "2500m"), ("x-other", "y"))
    wire.feed(wire.request(1, b"a", *extra))
    call = server.calls[0][0]
    assert call.metadata == {b"token": b"secret"}
    assert call.timeout_ms == 2500
    assert call.path == "/test.Test/Call"
    assert call.alive
    wire.feed(frames.rst_stream(1, frames.CANCEL))
    assert not call.alive
    call.reply(b"too late")
    wire.turns()
    assert wire.take() == []


def test_equal_requests_with_other_deadlines_keep_them_apart() -> None:
    server = _greeted()
    wire = server.wire
    for i, timeout in enumerate(("1S", "2S", "1S", "bad")):
        wire.feed(wire.request(1 + 2 * i, b"", ("grpc-timeout", timeout)))
    assert [call.timeout_ms for call, _ in server.calls] == [1000, 2000, 1000]
    assert _status(wire, wire.take(), 7) == "13"


def test_failures_carry_code_and_encoded_message() -> None:
    server = _greeted()
    wire = server.wire
    wire.feed(wire.request(1, b"a"))
    server.calls[0][0].fail(5, "100% not found")
    wire.turns()
    fields = wire.fields(wire.take()[0])
    assert fields["grpc-status"] == "5"
    assert fields["grpc-message"] == "100%25 not found"


def test_an_unknown_method_is_unimplemented() -> None:
    wire = _greeted().wire
    wire.feed(wire.request(1, b"a", path="/test.Test/None"))
    assert _status(wire, wire.take(), 1) == "12"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", "13"),
        (b"\x00\x00", "13"),
        (b"\x01\x00\x00\x00\x01a", "12"),
        (b"\x00\x00\x00\x00\x02a", "13"),
        (b"\x00\x00\x00\x00\x01ab", "13"),
        (message(b"x" * 101), "8"),
    ],
)
def test_bad_unary_bodies_fail_their_call_only(body: bytes, status: str) -> None:
    server = _greeted(Limits(message_bytes_max=100))
    wire = server.wire
    wire.feed(wire.request(1) + frames.frame(frames.DATA, 1, 1, body))
    assert _status(wire, wire.take(), 1) == status
    wire.feed(wire.request(3, b"fine", path="/test.Test/Echo"))
    assert _status(wire, wire.take(), 3) == "0"
    assert server.calls == []


def test_an_announced_oversize_message_is_refused_before_it_came() -> None:
    wire = _greeted(Limits(message_bytes_max=100)).wire
    start = b"\x00\x00\x00\x00\x65" + b"x"
    wire.feed(wire.request(1) + frames.frame(frames.DATA, 0, 1, start))
    sent = wire.take()
    assert _status(wire, sent, 1) == "8"
    assert _reset_code(sent, 1) == frames.NO_ERROR
    # What was under way already is no fault.
    wire.feed(frames.frame(frames.DATA, 0, 1, b"x" * 100))
    assert wire.take() == []


def test_a_message_in_many_frames_is_put_together() -> None:
    server = _greeted()
    wire = server.wire
    wire.feed(wire.request(1))
    whole = message(bytes(range(256)) * 100)
    parts = [whole[i : i + 999] for i in range(0, len(whole), 999)]
    for part in parts[:-1]:
        wire.feed(frames.frame(frames.DATA, 0, 1, part))
    wire.feed(frames.frame(frames.DATA, frames.END_STREAM, 1, parts[-1]))
    assert server.calls[0][1] == whole[5:]


def test_windows_are_given_back_for_what_was_received() -> None:
    limits = Limits(stream_window_bytes=20_000, connection_window_bytes=80_000)
    wire = _greeted(limits).wire
    wire.feed(wire.request(1))
    start = b"\x00" + (100_000).to_bytes(4, "big")
    wire.feed(frames.frame(frames.DATA, 0, 1, start + b"x" * 10_000))
    updates = [f for f in wire.take() if f.kind == frames.WINDOW_UPDATE]
    assert [(f.stream_id, f.payload) for f in updates] == [
        (1, (10_005).to_bytes(4, "big"))
    ]


def test_incomplete_requests_together_are_bounded() -> None:
    server = _greeted(Limits(partial_bytes_max=100_000))
    wire = server.wire
    start = b"\x00" + (50_000).to_bytes(4, "big")
    statuses = []
    for stream_id in range(1, 21, 2):
        wire.feed(wire.request(stream_id))
        wire.feed(frames.frame(frames.DATA, 0, stream_id, start + b"x" * 16_000))
        statuses.append(_status(wire, wire.take(), stream_id))
    assert statuses[:5] == [None] * 5
    assert "8" in statuses
    assert not wire.transport.is_closing()


def test_a_stream_hears_everything_once_and_in_order() -> None:
    server = _greeted()
    wire = server.wire
    recorder, stream = server.stream()
    both = message(b"one") + message(b"two")
    wire.feed(frames.frame(frames.DATA, 0, 1, both[:12]))
    wire.feed(frames.frame(frames.DATA, frames.END_STREAM, 1, both[12:]))
    assert recorder.heard == ["opened", b"one", b"two", "half_closed"]
    assert stream.end_of_client()
    assert stream.send(b"answer")
    stream.finish()
    stream.finish()
    wire.turns()
    sent = wire.take()
    assert data_of(sent, 1) == message(b"answer")
    assert _status(wire, sent, 1) == "0"
    assert recorder.heard[-1] == "closed"
    assert recorder.heard.count("closed") == 1


def test_a_stream_message_may_come_in_any_number_of_parts() -> None:
    server = _greeted()
    recorder, _ = server.stream()
    whole = message(b"a" * 3000) + message(b"") + message(b"b" * 10)
    for i in range(0, len(whole), 7):
        server.wire.feed(frames.frame(frames.DATA, 0, 1, whole[i : i + 7]))
    assert recorder.heard == ["opened", b"a" * 3000, b"", b"b" * 10]


def test_a_stream_that_ends_before_its_client_is_reset_kindly() -> None:
    server = _greeted()
    _, stream = server.stream()
    stream.fail(14, "bye")
    server.wire.turns()
    sent = server.wire.take()
    assert _status(server.wire, sent, 1) == "14"
    assert _reset_code(sent, 1) == frames.NO_ERROR


@pytest.mark.parametrize("how", ["reset", "lost", "compressed"])
def test_streams_hear_of_their_end(how: str) -> None:
    server = _greeted()
    recorder, stream = server.stream()
    if how == "reset":
        server.wire.feed(frames.rst_stream(1, frames.CANCEL))
    elif how == "lost":
        server.wire.lose()
    else:
        server.wire.feed(frames.frame(frames.DATA, 0, 1, b"\x01" + b"\0" * 4))
    assert recorder.heard == ["opened", "closed"]
    assert not stream.alive
    assert stream.send(b"nobody hears this")
    server.wire.turns()


def test_plain_http_is_served_on_the_same_connection() -> None:
    server = _greeted()
    wire = server.wire
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/health?a=b")]
    block = wire.encoder.encode([*fields, ("accept", "x"), ("accept", "y")])
    wire.feed(frames.frame(frames.HEADERS, 5, 1, block))
    request = server.requests[0]
    assert (request.method, request.path, request.query) == ("GET", "/health", "a=b")
    assert request.headers == {"accept": "x,y"}
    request.respond(200, {"content-type": "application/json"}, b"{}")
    request.respond(500, {}, b"")
    wire.turns()
    sent = wire.take()
    assert wire.fields(sent[0])[":status"] == "200"
    assert data_of(sent, 1) == b"{}"
    assert sent[-1].flags == frames.END_STREAM


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({":method": "GET", "content-type": "application/grpc"}, "405"),
        ({":method": "POST", "content-type": "application/grpc-web"}, "415"),
    ],
)
def test_almost_grpc_gets_an_http_error(fields: dict[str, str], status: str) -> None:
    wire = _greeted().wire
    fields = {":scheme": "http", ":path": "/test.Test/Call", **fields}
    pseudo_first = sorted(fields.items(), key=lambda field: field[0][0] != ":")
    block = wire.encoder.encode(pseudo_first)
    wire.feed(frames.frame(frames.HEADERS, 5, 1, block))
    assert wire.fields(wire.take()[0])[":status"] == status


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frames.frame(frames.DATA, 0, 1, b"x"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, 0, 0, b"x"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 4, 2, b"\x82"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 4, 1, b"\x80"), frames.COMPRESSION_ERROR),
        (frames.frame(frames.CONTINUATION, 4, 1), frames.PROTOCOL_ERROR),
        (frames.frame(frames.PING, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 1, b"x" * 8), frames.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, 0, 1), frames.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, 1, 0, b"x" * 6), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 0, 1), frames.PROTOCOL_ERROR),
        (frames.rst_stream(1, 8), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 0x7FFFFFFF), frames.FLOW_CONTROL_ERROR),
        (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", frames.FRAME_SIZE_ERROR),
    ],
)
def test_protocol_faults_end_the_connection_with_their_code(
    sent: bytes, code: int
) -> None:
    wire = _greeted().wire
    wire.feed(sent)
    assert _goaway_code(wire.take()) == code
    assert wire.transport.is_closing()
    assert wire.shared.counters.protocol_faults == 1


def test_settings_must_come_first() -> None:
    wire = Server().wire
    wire.feed(frames.PREFACE + frames.frame(frames.PING, 0, 0, b"x" * 8))
    assert _goaway_code(wire.take()) == frames.PROTOCOL_ERROR


def test_a_stream_ended_in_its_first_frame_is_half_closed_when_opened() -> None:
    server = _greeted()
    wire = server.wire
    head = wire.request(1, None, path="/test.Test/Stream")
    # END_STREAM on the HEADERS frame.
    wire.feed(head[:4] + b"\x05" + head[5:])
    recorder = server.recorders[0]
    assert recorder.heard == ["opened", "half_closed"]
    assert recorder.stream is not None
    recorder.stream.finish()
    wire.turns()
    assert _reset_code(wire.take(), 1) is None


def test_only_the_last_initial_window_of_a_frame_counts() -> None:
    wire = _greeted().wire
    values = [0, 1000, 0x7FFF_FFFF, 10]
    settings = b"".join(frames.SETTING.pack(4, value) for value in values)
    wire.feed(wire.request(1) + frames.frame(frames.SETTINGS, 0, 0, settings))
    wire.feed(wire.request(3, b"x" * 100, path="/test.Test/Echo"))
    assert len(data_of(wire.take(), 3)) == 10
    too_large = frames.SETTING.pack(4, 0x8000_0000) + frames.SETTING.pack(4, 1)
    wire.feed(frames.frame(frames.SETTINGS, 0, 0, too_large))
    assert _goaway_code(wire.take()) == frames.FLOW_CONTROL_ERROR


def test_pings_are_answered() -> None:
    wire = _greeted().wire
    wire.feed(frames.frame(frames.PING, 0, 0, b"12345678"))
    assert wire.take() == [Frame(frames.PING, frames.ACK, 0, b"12345678")]


@pytest.mark.parametrize(
    ("flood", "limits"),
    [
        (frames.frame(frames.PING, 0, 0, b"x" * 8), Limits(pings_per_s=50)),
        (frames.frame(frames.SETTINGS, 0, 0), Limits(settings_per_s=50)),
        (frames.frame(frames.PRIORITY, 0, 9, b"\0" * 5), Limits(empty_frames_per_s=50)),
        (frames.frame(0x42, 0, 0), Limits(empty_frames_per_s=50)),
        (frames.frame(frames.GOAWAY, 0, 0, b"x" * 8), Limits(faults_per_s=50)),
    ],
)
def test_control_frame_floods_end_the_connection(flood: bytes, limits: Limits) -> None:
    wire = _greeted(limits).wire
    wire.feed(flood * 40)
    assert not wire.transport.is_closing()
    wire.sweep()
    wire.feed(flood * 40)
    assert not wire.transport.is_closing()
    wire.take()
    wire.feed(flood * 40)
    assert _goaway_code(wire.take()) == frames.ENHANCE_YOUR_CALM


def test_rapid_resets_end_the_connection() -> None:
    server = _greeted(Limits(resets_per_s=50))
    wire = server.wire
    for i in range(1, 201, 2):
        wire.feed(wire.request(i, b"x") + frames.rst_stream(i, frames.CANCEL))
    assert _goaway_code(wire.take()) == frames.ENHANCE_YOUR_CALM
    assert len(server.calls) <= 52


def test_continuation_floods_end_the_connection() -> None:
    wire = _greeted(Limits(continuations_max=8)).wire
    wire.feed(frames.frame(frames.HEADERS, 0, 1, b"\x82"))
    wire.feed(frames.frame(frames.CONTINUATION, 0, 1) * 10)
    assert _goaway_code(wire.take()) == frames.ENHANCE_YOUR_CALM


def test_too_many_streams_are_refused_not_faulted() -> None:
    server = _greeted(Limits(streams_max=2))
    wire = server.wire
    wire.feed(b"".join(wire.request(i, b"x") for i in (1, 3, 5)))
    assert _reset_code(wire.take(), 5) == frames.REFUSED_STREAM
    assert len(server.calls) == 2


def test_slow_peers_are_not_kept() -> None:
    limits = Limits(handshake_s=3, header_block_s=3, request_s=3)
    silent = Server(limits).wire
    silent.sweep(4)
    assert silent.transport.is_aborted

    no_settings = Server(limits).wire
    no_settings.feed(frames.PREFACE)
    no_settings.sweep(4)
    assert no_settings.transport.is_closing()

    half_a_block = _greeted(limits).wire
    half_a_block.feed(frames.frame(frames.HEADERS, 0, 1, b"\x82"))
    half_a_block.sweep(4)
    assert _goaway_code(half_a_block.take()) == frames.ENHANCE_YOUR_CALM

    half_a_request = _greeted(limits).wire
    half_a_request.feed(half_a_request.request(1))
    half_a_request.sweep(4)
    half_a_request.turns()
    assert not half_a_request.transport.is_closing()
    assert _status(half_a_request, half_a_request.take(), 1) == "13"


def test_a_stream_may_not_stop_in_mid_message() -> None:
    server = _greeted(Limits(request_s=3))
    recorder, _ = server.stream()
    server.wire.feed(frames.frame(frames.DATA, 0, 1, message(b"abc")[:-1]))
    server.wire.sweep(2)
    server.wire.feed(frames.frame(frames.DATA, 0, 1, b"c"))
    server.wire.sweep(20)
    assert recorder.heard == ["opened", b"abc"]
    server.wire.feed(frames.frame(frames.DATA, 0, 1, b"\x00"))
    server.wire.sweep(5)
    assert recorder.heard[-1] == "closed"


def test_an_unanswered_call_and_an_idle_stream_may_wait_for_ever() -> None:
    server = _greeted(Limits(request_s=3, write_stall_s=3))
    server.wire.feed(server.wire.request(1, b"x"))
    recorder, stream = server.stream(3)
    server.wire.sweep(100)
    assert server.calls[0][0].alive
    assert stream.alive
    assert recorder.heard == ["opened"]


def test_a_silent_peer_is_pinged_and_then_dropped() -> None:
    wire = _greeted(Limits(keepalive_interval_s=10, keepalive_timeout_s=5)).wire
    wire.sweep(12)
    wire.turns()
    assert frames.KEEPALIVE_PING in bytes(wire.transport.written)
    wire.feed(b"\x00\x00\x08\x06\x01\x00\x00\x00\x00twofold\x00")
    wire.sweep(12)
    assert not wire.transport.is_closing()
    wire.sweep(10)
    assert wire.transport.is_aborted


def test_draining_lets_open_calls_end() -> None:
    server = _greeted()
    wire = server.wire
    wire.feed(wire.request(1, b"x"))
    connection = next(iter(wire.shared.connections))
    connection.drain()
    wire.turns()
    assert _goaway_code(wire.take()) == frames.NO_ERROR
    # Sent before the client heard of it: served.
    wire.feed(wire.request(3, b"crossing", path="/test.Test/Echo"))
    assert data_of(wire.take(), 3) == message(b"crossing")
    connection.close_if_drained()
    wire.turns()
    (goaway,) = wire.take()
    assert goaway.payload[:4] == (3).to_bytes(4, "big")
    wire.feed(wire.request(5, b"late"))
    assert _reset_code(wire.take(), 5) == frames.REFUSED_STREAM
    server.calls[0][0].reply(b"done")
    connection.close_if_drained()
    assert data_of(wire.take(), 1) == message(b"done")
    assert wire.transport.is_closing()


def test_stopping_tells_open_streams_why() -> None:
    server = _greeted()
    recorder, _ = server.stream()
    next(iter(server.wire.shared.connections)).stop()
    assert _status(server.wire, server.wire.take(), 1) == "14"
    assert recorder.heard == ["opened", "closed"]
    assert server.wire.transport.is_closing()


def test_connections_are_counted_and_bounded() -> None:
    server = _greeted(Limits(connections_max=1))
    counters = server.wire.shared.counters
    assert counters.connections == 1
    refused = FakeTransport()
    Sniffer(server.wire.shared).connection_made(refused)
    assert refused.is_aborted
    assert (counters.connections, counters.connections_refused) == (1, 1)
    server.wire.lose()
    assert (counters.connections, counters.connections_accepted) == (0, 1)
