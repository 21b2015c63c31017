"""The first bytes of a connection say whether it speaks HTTP/2 or HTTP/1.1."""

from __future__ import annotations

from asyncio import BaseTransport, Protocol, Transport
from typing import cast

from twofold.etcd.front.connection import Http2Connection
from twofold.etcd.front.frames import PREFACE
from twofold.etcd.front.http1 import Http1Connection
from twofold.etcd.front.shared import Shared

_WRITE_HIGH_BYTES = 256 * 1024
_WRITE_LOW_BYTES = 64 * 1024
# "PRI " is no HTTP/1.1 method anyone uses (RFC 9113 §3.4).
_DECISIVE = PREFACE[:4]


class Sniffer(Protocol):
    """Stands for a connection until its protocol is known, then gives it away."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._start = b""
        self._waited_s = 0

    def connection_made(self, transport: BaseTransport) -> None:
        """Accept, unless there are too many connections."""
        # A stream transport, for that is what the server was asked for.
        self._transport = cast(Transport, transport)
        if not self._shared.opened(self):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES)

    def data_received(self, data: bytes) -> None:
        """Decide as soon as the bytes allow it."""
        start = self._start + data
        length = min(len(start), len(_DECISIVE))
        if start[:length] != _DECISIVE[:length]:
            self._hand_over(Http1Connection(self._shared), start)
        elif length == len(_DECISIVE):
            self._hand_over(Http2Connection(self._shared), start)
        else:
            self._start = start

    def _hand_over(
        self, connection: Http1Connection | Http2Connection, start: bytes
    ) -> None:
        connection.start(self._transport)
        self._transport.set_protocol(connection)
        self._shared.replaced(self, connection)
        connection.data_received(start)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The peer left without saying anything."""
        self._shared.closed(self)

    def sweep(self) -> None:
        """A peer that says nothing is not kept."""
        self._waited_s += 1
        if self._waited_s > self._shared.limits.handshake_s:
            self._transport.abort()

    def drain(self) -> None:
        """Nothing was asked yet."""
        self._transport.close()

    def close_if_drained(self) -> None:
        """Closed already."""

    def stop(self) -> None:
        """Nothing was asked yet."""
        self._transport.abort()

    def stream_count(self) -> int:
        """No request is open."""
        return 0
