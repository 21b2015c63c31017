"""No task dies in silence or outlives its supervisor."""

from __future__ import annotations

import asyncio
import contextlib

from twofold.base.tasks import Supervisor, guarded


def test_a_crash_is_reported_with_the_tasks_name() -> None:
    async def test() -> None:
        crashed: asyncio.Queue[tuple[str, BaseException]] = asyncio.Queue()
        tasks = Supervisor(lambda name, error: crashed.put_nowait((name, error)))

        async def fail() -> None:
            raise ValueError("x")

        async def end() -> None:
            return

        tasks.spawn(end(), "good")
        tasks.spawn(fail(), "bad")
        name, error = await crashed.get()
        assert (name, str(error)) == ("bad", "x")
        await tasks.close()
        assert crashed.empty()

    asyncio.run(test())


def test_close_ends_tasks_that_swallow_a_cancellation_or_spawn_others() -> None:
    async def test() -> None:
        tasks = Supervisor(lambda name, error: None)
        ends: list[str] = []

        async def forever(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ends.append(name)
                if name == "parent":
                    tasks.spawn(forever("child"), "child")

        async def stubborn() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await forever("stubborn")

        tasks.spawn(forever("parent"), "parent")
        tasks.spawn(stubborn(), "stubborn")
        await asyncio.sleep(0)
        await tasks.close()
        assert set(ends) == {"parent", "stubborn", "child"}

    asyncio.run(test())


def test_a_threads_error_is_reported() -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("x")

    guarded(fail, "thread", lambda name, error: seen.append(f"{name} {error}"))()
    assert seen == ["thread x"]
