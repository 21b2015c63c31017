"""Virtual time: a queue of things to do, in order of time and then of planning."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class VirtualTime:
    """Runs callbacks in order; ``now_us`` moves only between them.

    Cancelling is by generation: a crashed member's callbacks are skipped
    because their ``alive`` says no.
    """

    def __init__(self) -> None:
        self.now_us = 0
        self._numbers = count()
        self._queue: list[tuple[int, int, Callable[[], bool], Callable[[], None]]] = []

    def after(
        self,
        delay_us: int,
        callback: Callable[[], None],
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """Plan ``callback``, to be skipped if ``alive`` is false by then."""
        when_us = self.now_us + delay_us
        item = (when_us, next(self._numbers), alive, callback)
        heapq.heappush(self._queue, item)

    def run_until(self, end_us: int) -> None:
        """Run all that is planned up to ``end_us``."""
        while self._queue and self._queue[0][0] <= end_us:
            when_us, _, alive, callback = heapq.heappop(self._queue)
            self.now_us = max(self.now_us, when_us)
            if alive():
                callback()
        self.now_us = end_us
