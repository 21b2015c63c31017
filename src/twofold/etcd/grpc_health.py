"""The ``grpc.health.v1.Health`` service: one service, "", always serving."""

from __future__ import annotations

from twofold.etcd.codec import block
from twofold.etcd.errors import Code
from twofold.etcd.front.port import Call, Stream

PATH = "/grpc.health.v1.Health/"
_SERVING = b"\x08\x01"
_SERVICE_UNKNOWN = b"\x08\x03"
_EMPTY_NAME = block(b"\x0a", b"")


def _is_whole_server(body: bytes) -> bool:
    return body in (b"", _EMPTY_NAME)


def check(call: Call, body: bytes) -> None:
    """Check."""
    if _is_whole_server(body):
        call.reply(_SERVING)
    else:
        call.fail(Code.NOT_FOUND, "unknown service")


class HealthWatch:
    """Watch: the state once; it does not change while the server answers."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def opened(self, stream: Stream) -> None:
        """The request has yet to come."""

    def message(self, message: bytes) -> None:
        """The request."""
        known = _is_whole_server(message)
        self._stream.send(_SERVING if known else _SERVICE_UNKNOWN)

    def half_closed(self) -> None:
        """Clients of a server stream always do this; the stream stays."""

    def writable(self) -> None:
        """There is nothing more to send."""

    def closed(self) -> None:
        """There is nothing to forget."""
