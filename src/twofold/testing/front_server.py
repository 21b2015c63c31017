"""A front on a real loopback port, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import TypeVar

import uvloop

from twofold.etcd.front.port import (
    HttpRequest,
    Limits,
    Routes,
    Stream,
    StreamHandler,
)
from twofold.etcd.front.server import Front

_T = TypeVar("_T")
_BIG_PART = bytes(range(256)) * 4096  # 1 MiB
_STOP_GRACE_S = 0.5
_STOP_TIMEOUT_S = 10.0


class EchoStream(StreamHandler):
    """Sends every message back; ends when the client does."""

    def opened(self, stream: Stream) -> None:
        """Remember the stream."""
        self._stream = stream

    def message(self, message: bytes) -> None:
        """Send it back."""
        self._stream.send(message)

    def half_closed(self) -> None:
        """End too."""
        self._stream.finish()

    def writable(self) -> None:
        """Echo does not wait."""

    def closed(self) -> None:
        """Nothing to free."""


class CountStream(EchoStream):
    """Sends as many kilobytes as the first message says, as fast as it may."""

    def message(self, message: bytes) -> None:
        """Start."""
        self._left = int(message)
        self.writable()

    def half_closed(self) -> None:
        """The client of a server stream ends at once."""

    def writable(self) -> None:
        """Go on until the backlog is full or all is sent."""
        while self._left:
            self._left -= 1
            if not self._stream.send(b"x" * 1024):
                return
        self._stream.finish()


def respond_with_body(request: HttpRequest) -> None:
    """Answer any plain request with its own body, or its path."""
    headers = {"content-type": "application/json"}
    request.respond(200, headers, request.body or request.path.encode())


def sample_routes() -> Routes:
    """Echo, failures, large replies and streams under ``/test.Test``."""
    return Routes(
        {
            "/test.Test/Echo": lambda call, body: call.reply(body),
            "/test.Test/Big": lambda call, body: call.reply([_BIG_PART] * int(body)),
            "/test.Test/Fail": lambda call, body: call.fail(int(body), "as asked: 1%"),
            "/test.Test/Name": lambda call, _body: call.reply(
                (call.connection.common_name or "").encode()
            ),
        },
        {
            "/test.Test/Stream": lambda _stream: EchoStream(),
            "/test.Test/Count": lambda _stream: CountStream(),
        },
        respond_with_body,
    )


@dataclass(frozen=True, slots=True)
class RunningFront:
    """``url`` is as bound; ``on_loop`` runs a function on the front's thread."""

    front: Front
    url: str
    loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self.url.rpartition(":")[2])

    def on_loop(self, function: Callable[[], _T]) -> _T:
        """Call and wait for the result."""

        async def run() -> _T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(5)


@contextmanager
def running_front(
    routes: Routes | None = None,
    limits: Limits | None = None,
    tls: SSLContext | None = None,
    host: str = "127.0.0.1",
) -> Iterator[RunningFront]:
    """Start a front, and stop it gracefully at the end."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[Front, str]:
        front = Front(routes or sample_routes(), limits)
        scheme = "https" if tls else "http"
        urls = await front.listen([f"{scheme}://{host}:0"], tls)
        return front, urls[0]

    front, url = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    try:
        yield RunningFront(front, url, loop)
    finally:
        stopping = asyncio.run_coroutine_threadsafe(front.stop(_STOP_GRACE_S), loop)
        stopping.result(_STOP_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_TIMEOUT_S)
        loop.close()
