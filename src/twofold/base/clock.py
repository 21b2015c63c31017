"""Time as the program sees it: monotonic, in ms, and replaceable."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a component gets its time from."""

    def now_ms(self) -> int:
        """Monotonic time; only differences mean anything."""


class MonotonicClock:
    """The machine's monotonic clock; it survives wall clock steps."""

    def now_ms(self) -> int:
        """Monotonic time in whole ms."""
        return time.monotonic_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time last set."""
        return self._now_ms

    def advance(self, by_ms: int) -> None:
        """Let ``by_ms`` pass."""
        self._now_ms += by_ms
