"""Supervised asyncio tasks: none is forgotten, none dies in silence.

The only place where an arbitrary exception is caught.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

_CANCEL_AGAIN_S = 0.2

OnCrash = Callable[[str, BaseException], None]


class Supervisor:
    """Owns background tasks; ``on_crash(name, error)`` hears of each that fails.

    Returning and being cancelled are normal ends; everything else is a crash.
    """

    def __init__(self, on_crash: OnCrash) -> None:
        self._on_crash = on_crash
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(
        self, work: Coroutine[object, object, None], name: str
    ) -> asyncio.Task[None]:
        """Run ``work`` on the running loop until it ends or ``close`` is called."""
        task = asyncio.get_running_loop().create_task(
            self._watch(work, name), name=name
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        # Again and again: a task may spawn another while it ends, and library
        # code may swallow a cancellation that meets its own end.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CANCEL_AGAIN_S)

    async def _watch(self, work: Coroutine[object, object, None], name: str) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - this is the supervisor
            self._on_crash(name, error)


def guarded(
    work: Callable[[], None], name: str, on_crash: OnCrash
) -> Callable[[], None]:
    """Body for a thread: runs ``work`` and reports what it raises."""

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - this is the supervisor
            on_crash(name, error)

    return run
