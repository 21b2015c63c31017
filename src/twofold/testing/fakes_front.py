"""Calls, streams and requests without a network: what a handler did to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twofold.base.invariant import check


@dataclass(frozen=True, slots=True)
class FakePeer:
    """A client at nowhere."""

    address: str = "127.0.0.1:1"
    is_tls: bool = False
    common_name: str | None = None


def _joined(message: bytes | list[bytes]) -> bytes:
    return message if isinstance(message, bytes) else b"".join(message)


@dataclass(slots=True)
class FakeCall:
    """A unary call; ``answer`` is the reply, ``status`` the failure."""

    path: str = ""
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    timeout_ms: int | None = None
    connection: FakePeer = field(default_factory=FakePeer)
    answer: bytes | None = None
    status: tuple[int, str] | None = None

    @property
    def alive(self) -> bool:
        """Whether it still waits."""
        return self.answer is None and self.status is None

    def reply(self, message: bytes | list[bytes]) -> None:
        """Keep the reply."""
        check(self.alive, "a call is answered once")
        self.answer = _joined(message)

    def fail(self, code: int, message: str) -> None:
        """Keep the failure."""
        check(self.alive, "a call is answered once")
        self.status = (int(code), message)


@dataclass(slots=True, eq=False)
class FakeStream:
    """A stream; ``room`` is how many messages fit before ``send`` gives False."""

    path: str = ""
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    timeout_ms: int | None = None
    connection: FakePeer = field(default_factory=FakePeer)
    sent: list[bytes] = field(default_factory=list)
    status: tuple[int, str] | None = None
    finished: bool = False
    room: int = 1 << 30
    half_closed: bool = False

    @property
    def alive(self) -> bool:
        """Whether it is open."""
        return not self.finished and self.status is None

    def send(self, message: bytes | list[bytes]) -> bool:
        """Keep the message."""
        if not self.alive:
            return True
        self.sent.append(_joined(message))
        self.room -= 1
        return self.room > 0

    def finish(self) -> None:
        """End well."""
        self.finished = True

    def fail(self, code: int, message: str) -> None:
        """End badly."""
        if self.alive:
            self.status = (int(code), message)

    def end_of_client(self) -> bool:
        """Whether the client has ended."""
        return self.half_closed

    def take(self) -> list[bytes]:
        """What was sent since the last call."""
        taken, self.sent = self.sent, []
        return taken


@dataclass(slots=True)
class FakeHttpRequest:
    """A request that is not gRPC."""

    path: str
    method: str = "GET"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    connection: FakePeer = field(default_factory=FakePeer)
    answer: tuple[int, Mapping[str, str], bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it still waits."""
        return self.answer is None

    def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Keep the answer."""
        check(self.alive, "a request is answered once")
        self.answer = (status, headers, body)


class FakeTimer:
    """One call that was put off."""

    def __init__(self, due_ms: int, callback: Callable[[], None]) -> None:
        self.due_ms = due_ms
        self.callback = callback
        self.canceled = False

    def cancel(self) -> None:
        """Let it not happen."""
        self.canceled = True


class FakeTimers:
    """Time that a test turns by hand; call it as ``Later``."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._timers: list[FakeTimer] = []

    def __call__(self, delay_ms: int, callback: Callable[[], None]) -> FakeTimer:
        """Put a call off."""
        timer = FakeTimer(self.now_ms + delay_ms, callback)
        self._timers.append(timer)
        return timer

    def advance(self, by_ms: int) -> None:
        """Let time pass, and everything due happen in order."""
        end_ms = self.now_ms + by_ms
        while True:
            self._timers = [one for one in self._timers if not one.canceled]
            due = [one for one in self._timers if one.due_ms <= end_ms]
            if not due:
                break
            first = min(due, key=lambda one: one.due_ms)
            self._timers.remove(first)
            self.now_ms = first.due_ms
            first.callback()
        self.now_ms = end_ms
