"""What all connections of a front share, and the turn's gathering of writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twofold.etcd.front.port import (
    Counters,
    HttpHandler,
    Limits,
    Routes,
    StreamFactory,
    UnaryHandler,
)
from twofold.etcd.front.sending import Outbound


class Swept(Protocol):
    """A connection as the front sees it."""

    def sweep(self) -> None:
        """Once a second."""

    def drain(self) -> None:
        """Take nothing new."""

    def close_if_drained(self) -> None:
        """Close if draining and nothing is open."""

    def stop(self) -> None:
        """End what is open and close."""

    def stream_count(self) -> int:
        """How many requests are open."""


class Shared:
    """Routes, limits, counters and the list of connections with unsent frames."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        routes: Routes,
        limits: Limits,
    ) -> None:
        self.limits = limits
        self.counters = Counters()
        self.unary: dict[bytes, UnaryHandler] = {
            path.encode(): handler for path, handler in routes.unary.items()
        }
        self.streams: dict[bytes, StreamFactory] = {
            path.encode(): factory for path, factory in routes.streams.items()
        }
        self.http: HttpHandler = routes.http
        self.connections: set[Swept] = set()
        self.is_draining = False
        self._call_soon = call_soon
        self._dirty: list[Outbound] = []
        self._is_scheduled = False

    def schedule(self, outbound: Outbound) -> None:
        """Flush this connection at the end of the turn."""
        self._dirty.append(outbound)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._is_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write now what was answered in this turn."""
        dirty = self._dirty
        self._dirty = []
        for outbound in dirty:
            if outbound.dirty:
                outbound.flush()

    def opened(self, connection: Swept) -> bool:
        """Count a new connection; False if there are too many or we stop."""
        counters = self.counters
        if self.is_draining or counters.connections >= self.limits.connections_max:
            counters.connections_refused += 1
            return False
        counters.connections += 1
        counters.connections_accepted += 1
        self.connections.add(connection)
        return True

    def replaced(self, old: Swept, new: Swept) -> None:
        """Another protocol object took over a connection."""
        self.connections.discard(old)
        self.connections.add(new)

    def closed(self, connection: Swept) -> None:
        """Count a connection that has gone."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.counters.connections -= 1
