"""Listening, the sweep, and stopping."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from twofold.etcd.front.errors import BadListenUrl
from twofold.etcd.front.port import Counters, Limits, Routes
from twofold.etcd.front.shared import Shared
from twofold.etcd.front.sniffer import Sniffer

_BACKLOG = 4096
_SWEEP_S = 1.0
_DRAIN_POLL_S = 0.05


class Front:
    """One server on any number of URLs; make it and call it on the loop's thread."""

    def __init__(self, routes: Routes, limits: Limits | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._shared = Shared(self._loop.call_soon, routes, limits or Limits())
        self._servers: list[asyncio.AbstractServer] = []
        self._sweep_timer: asyncio.TimerHandle | None = None

    @property
    def counters(self) -> Counters:
        """Totals for metrics."""
        return self._shared.counters

    def stream_count(self) -> int:
        """How many requests and streams are open now."""
        return sum(each.stream_count() for each in self._shared.connections)

    def flush(self) -> None:
        """Write now what was answered in this turn, not at its end."""
        self._shared.flush()

    async def listen(
        self, urls: Sequence[str], tls: ssl.SSLContext | None = None
    ) -> list[str]:
        """Start accepting on ``http://host:port`` and ``https://host:port``.

        Returns: the URLs as bound, so that port 0 is useful.
        Raises: BadListenUrl; OSError if an address cannot be bound.
        """
        bound: list[str] = []
        for url in urls:
            scheme, host, port = parse_listen_url(url)
            is_tls = scheme == "https"
            if is_tls and tls is None:
                raise BadListenUrl(f"{url}: https needs a certificate")
            server = await self._loop.create_server(
                lambda: Sniffer(self._shared),
                # The loop keeps IPv6 sockets to IPv6; "::" means everything.
                ["::", "0.0.0.0"] if host == "::" and port else host,  # noqa: S104
                port,
                backlog=_BACKLOG,
                ssl=tls if is_tls else None,
                ssl_handshake_timeout=(
                    self._shared.limits.handshake_s if is_tls else None
                ),
            )
            self._servers.append(server)
            for listening in server.sockets:
                address = listening.getsockname()
                shown = f"[{address[0]}]" if ":" in address[0] else address[0]
                bound.append(f"{scheme}://{shown}:{address[1]}")
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(_SWEEP_S, self._sweep)
        return bound

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(_SWEEP_S, self._sweep)
        for connection in list(self._shared.connections):
            connection.sweep()

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, let open requests end, then end those left.

        Cost: returns as soon as all connections are gone, at the latest about
        ``grace_s`` later. Streams left open get UNAVAILABLE.
        """
        shared = self._shared
        shared.is_draining = True
        for server in self._servers:
            server.close()
        for connection in list(shared.connections):
            connection.drain()
        deadline = self._loop.time() + grace_s
        while shared.connections and self._loop.time() < deadline:
            await asyncio.sleep(_DRAIN_POLL_S)
            for connection in list(shared.connections):
                connection.close_if_drained()
        for connection in list(shared.connections):
            connection.stop()
        # One turn for the transports to close, so that handlers have heard of it.
        await asyncio.sleep(0)
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None


def parse_listen_url(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a listen URL.

    Raises: BadListenUrl.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise BadListenUrl(f"{url}: {error}") from error
    if parts.scheme not in ("http", "https") or port is None or not parts.hostname:
        raise BadListenUrl(f"{url}: expected http(s)://host:port")
    if parts.path not in ("", "/") or parts.query or parts.username:
        raise BadListenUrl(f"{url}: expected nothing after the port")
    return parts.scheme, parts.hostname, port
