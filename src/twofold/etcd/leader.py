"""Calls and streams that want a leader to be known (``hasleader`` metadata)."""

from __future__ import annotations

from typing import Protocol

from twofold.etcd.context import Context, fail
from twofold.etcd.errors import TABLE, Status
from twofold.etcd.front.port import Call, RequestContext, UnaryHandler
from twofold.etcd.timers import Timer

HAS_LEADER = b"hasleader"
_LOOK_INTERVAL_MS = 500
_LOOKS_MAX = 6
"""Three election timeouts of etcd's default, as etcd waits before it cuts."""


def wants_leader(request: RequestContext) -> bool:
    """Whether the client gave up on members that know no leader."""
    metadata = request.metadata
    return bool(metadata) and metadata.get(HAS_LEADER) == b"true"


class Cut(Protocol):
    """A stream that can be ended from outside."""

    def cut(self, status: Status) -> None:
        """End the stream."""


class LeaderGuard:
    """Refuses and ends what wants a leader when there has been none for long.

    A short gap is bridged in silence: a client whose watch ends with "no
    leader" does not resume it by itself.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._streams: set[Cut] = set()
        self._timer: Timer | None = None
        self._looks_without = 0

    def unary(self, path: str, handler: UnaryHandler) -> UnaryHandler:
        """The handler, refusing calls that want a leader when there is none."""
        counts = self._context.unary(path)
        facade = self._context.facade

        def guarded(call: Call, body: bytes) -> None:
            if wants_leader(call) and not facade.has_leader():
                counts.started += 1
                fail(call, counts, TABLE["NO_LEADER"])
            else:
                handler(call, body)

        return guarded

    def add(self, stream: Cut) -> None:
        """End this stream if the leader stays away."""
        self._streams.add(stream)
        if self._timer is None:
            self._looks_without = 0
            self._timer = self._context.later(_LOOK_INTERVAL_MS, self._look)

    def remove(self, stream: Cut) -> None:
        """The stream has ended; harmless if it was not added."""
        self._streams.discard(stream)

    def _look(self) -> None:
        self._timer = None
        if self._context.facade.has_leader():
            self._looks_without = 0
        else:
            self._looks_without += 1
        if self._looks_without >= _LOOKS_MAX:
            self._looks_without = 0
            for stream in tuple(self._streams):
                stream.cut(TABLE["NO_LEADER"])
            self._streams.clear()
        if self._streams:
            self._timer = self._context.later(_LOOK_INTERVAL_MS, self._look)
