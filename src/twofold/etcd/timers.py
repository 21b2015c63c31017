"""Delayed calls, as a port: tests turn the clock themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that has been put off."""

    def cancel(self) -> None:
        """Let it not happen; harmless when it has."""


Later = Callable[[int, Callable[[], None]], Timer]
"""Call back once, after so many ms."""


def loop_later(delay_ms: int, callback: Callable[[], None]) -> Timer:
    """``Later`` on the running loop."""
    return asyncio.get_running_loop().call_later(delay_ms / 1000, callback)
