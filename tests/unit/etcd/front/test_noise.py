"""Whatever bytes come, the front answers or closes, and never raises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.etcd.front import frames
from twofold.etcd.front.port import Limits, Routes
from twofold.testing.front_server import EchoStream
from twofold.testing.front_wire import FrontWire, message


class Whimsical(EchoStream):
    """Does inside its callbacks what the messages say."""

    def message(self, message: bytes) -> None:
        stream = self._stream
        for octet in message:
            if octet % 5 == 0:
                stream.send(b"x" * (octet * 100))
            elif octet % 5 == 1:
                stream.send([b"y"] * octet)
            elif octet == 7:
                stream.finish()
            elif octet == 8:
                stream.fail(octet, "as told")

    def writable(self) -> None:
        self._stream.send(b"z" * 20_000)


_KIND = st.integers(0, 11)
_STREAM = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 0x7FFF_FFFF, 0xFFFF_FFFF])
_PAYLOAD = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=10).map(message),
    st.sampled_from([b"", b"\0" * 4, b"\0" * 5, b"\0" * 6, b"\0" * 8, b"\x82\x86"]),
)
_FRAME = st.builds(frames.frame, _KIND, st.integers(0, 255), _STREAM, _PAYLOAD)
_STEP = st.one_of(_FRAME, st.sampled_from(["call", "stream", "turn", "sweep"]))


_LIMITS = Limits(
    request_s=2, write_stall_s=2, backlog_high_bytes=30_000, backlog_low_bytes=5_000
)


def _wire() -> FrontWire:
    routes = Routes(
        {"/test.Test/Call": lambda call, body: call.reply(body * 2000)},
        {"/test.Test/Stream": lambda _stream: Whimsical()},
        lambda request: request.respond(200, {}, request.body),
    )
    return FrontWire(routes, _LIMITS)


@settings(max_examples=300, deadline=None)
@given(st.lists(_STEP, max_size=30))
def test_any_frames_are_answered_or_end_the_connection(
    steps: list[bytes | str],
) -> None:
    wire = _wire()
    wire.greet()
    stream_id = 9
    for step in steps:
        if isinstance(step, bytes):
            wire.feed(step)
        elif step == "turn":
            wire.turn()
        elif step == "sweep":
            wire.sweep()
        else:
            path = "/test.Test/Call" if step == "call" else "/test.Test/Stream"
            body = bytes(range(stream_id % 40))
            wire.feed(wire.request(stream_id, body, path=path, is_end=False))
            stream_id += 2
    wire.turns()
    wire.take()
    wire.lose()
    assert wire.shared.counters.connections == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20), st.booleans())
def test_any_bytes_are_answered_or_end_the_connection(
    parts: list[bytes], is_http2: bool
) -> None:
    wire = _wire()
    wire.feed(frames.PREFACE if is_http2 else b"POST / HTTP/1.1\r\n")
    for part in parts:
        wire.feed(part)
    wire.lose()
    assert wire.shared.counters.connections == 0
