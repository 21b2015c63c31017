"""Whatever bytes come, the front answers or closes, and never raises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.etcd.front import frames
from twofold.etcd.front.port import Limits, Routes
from twofold.testing.front_server import EchoStream
from twofold.testing.front_wire import FrontWire, message

_KIND = st.integers(0, 11)
_STREAM = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 0x7FFF_FFFF, 0xFFFF_FFFF])
_PAYLOAD = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=10).map(message),
    st.sampled_from([b"", b"\0" * 4, b"\0" * 5, b"\0" * 6, b"\0" * 8, b"\x82\x86"]),
)
_FRAME = st.builds(frames.frame, _KIND, st.integers(0, 255), _STREAM, _PAYLOAD)
_STEP = st.one_of(_FRAME, st.sampled_from(["call", "stream", "turn", "sweep"]))


def _wire() -> FrontWire:
    routes = Routes(
        {"/test.Test/Call": lambda call, body: call.reply(body * 2000)},
        {"/test.Test/Stream": lambda _stream: EchoStream()},
        lambda request: request.respond(200, {}, request.body),
    )
    return FrontWire(routes, Limits(request_s=2, write_stall_s=2))


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
            wire.feed(wire.request(stream_id, b"x", path=path, is_end=False))
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
