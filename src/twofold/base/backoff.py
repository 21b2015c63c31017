"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Doubling pauses from ``first_ms`` to ``last_ms``, each cut by up to a quarter.

    The cut (jitter) keeps two parties that failed together from meeting again.
    """

    def __init__(
        self,
        first_ms: int,
        last_ms: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_ms = first_ms
        self._last_ms = last_ms
        self._chance = chance
        self._next_ms = first_ms

    def next_ms(self) -> int:
        """The pause before the coming attempt; the one after is longer."""
        pause_ms = self._next_ms
        self._next_ms = min(pause_ms * 2, self._last_ms)
        return pause_ms - int(pause_ms * self._chance() / 4)

    def reset(self) -> None:
        """Start over after a success."""
        self._next_ms = self._first_ms
