"""The log's thread reports each sync once, in order, and a failure once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path

import pytest

from twofold.base.disk import DiskFailed
from twofold.base.errors import InvariantError
from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import Entry, EntryKind, HardState, Position
from twofold.store.wal.errors import WalStopped
from twofold.store.wal.log import Wal
from twofold.store.wal.records import WalMeta
from twofold.store.wal.writer import Durable, Pace, WalWriter
from twofold.testing.disk import MemoryDisk

HOME = Path("/data/wal")
META = WalMeta(7, MemberId(1), 5)


def entry(index: int) -> Entry:
    return Entry(Index(index), Term(1), Subterm(0), EntryKind.COMMANDS, b"x" * 50)


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


class Rig:
    """A writer over a disk whose syncs can be held up."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.disk = MemoryDisk()
        self.wal = Wal.create(HOME, META, disk=self.disk, segment_bytes=4096)
        self.durable: asyncio.Queue[Durable] = asyncio.Queue()
        self.failure: asyncio.Queue[BaseException] = asyncio.Queue()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        sync = self.wal.sync

        def gated() -> None:
            self.entered.set()
            assert self.gate.wait(5)
            sync()

        self.wal.sync = gated  # type: ignore[method-assign]
        self.writer = WalWriter(
            self.wal,
            asyncio.get_running_loop(),
            self.durable.put_nowait,
            self.failure.put_nowait,
            pace,
        )
        self.writer.start()


def test_what_arrives_during_a_sync_shares_the_next_one() -> None:
    async def test() -> None:
        rig = Rig()
        rig.gate.clear()
        rig.writer.submit([entry(1)], None, "first")
        await asyncio.to_thread(rig.entered.wait, 5)
        for index in range(2, 6):
            rig.writer.submit([entry(index)], HardState(Term(1), MemberId(1)), index)
        assert rig.writer.busy
        rig.gate.set()
        first = await rig.durable.get()
        assert first.tokens == ["first"]
        assert first.sync_ms >= 0
        assert first.size_bytes > 50
        assert (await rig.durable.get()).tokens == [2, 3, 4, 5]
        assert not rig.writer.busy
        rig.writer.close()
        rig.disk.crash()
        _, restart = Wal.open(HOME, disk=rig.disk)
        assert [e.index for e in restart.entries] == [1, 2, 3, 4, 5]

    run(test())


def test_a_ticket_without_content_comes_back_too() -> None:
    async def test() -> None:
        rig = Rig()
        rig.writer.submit([], None, "empty")
        assert (await rig.durable.get()).tokens == ["empty"]
        rig.writer.close()

    run(test())


def test_closing_writes_what_was_submitted_and_takes_nothing_more() -> None:
    async def test() -> None:
        rig = Rig()
        rig.writer.submit([entry(1)], None, 1)
        rig.writer.close()
        rig.writer.close()
        with pytest.raises(WalStopped):
            rig.writer.submit([entry(2)], None, 2)
        _, restart = Wal.open(HOME, disk=rig.disk)
        assert restart.entries == (entry(1),)

    run(test())


def test_a_disk_error_is_reported_once_and_nothing_is_acknowledged_after() -> None:
    async def test() -> None:
        rig = Rig()
        rig.gate.clear()
        rig.writer.submit([entry(1)], None, 1)
        await asyncio.to_thread(rig.entered.wait, 5)
        rig.writer.submit([entry(2)], None, 2)
        rig.disk.fail_at = 0
        rig.gate.set()
        assert isinstance(await rig.failure.get(), DiskFailed)
        with pytest.raises(WalStopped):
            rig.writer.submit([entry(3)], None, 3)
        rig.writer.close()
        assert rig.durable.empty()
        assert rig.failure.empty()

    run(test())


def test_a_broken_invariant_stops_the_log_too() -> None:
    async def test() -> None:
        rig = Rig()
        rig.writer.submit([entry(7)], None, 1)
        assert isinstance(await rig.failure.get(), InvariantError)
        rig.writer.close()

    run(test())


def test_marks_and_releases_keep_their_order() -> None:
    async def test() -> None:
        rig = Rig()
        for index in range(1, 150):
            rig.writer.submit([entry(index)], None, index)
            await rig.durable.get()
        before = len(rig.disk.list(HOME))
        rig.writer.mark(Index(140), Position(Term(1), Subterm(0)), "mark")
        rig.writer.release(Index(140))
        assert (await rig.durable.get()).tokens == ["mark"]
        rig.writer.close()
        assert 1 <= len(rig.disk.list(HOME)) < before
        _, restart = Wal.open(HOME, disk=rig.disk)
        assert restart.snapshot_index == 140
        assert [e.index for e in restart.entries] == list(range(141, 150))

    run(test())


class AlwaysQuick(Pace):
    """However busy the machine is."""

    def is_quick(self, now_ms: float) -> bool:
        return True


def test_a_quick_disk_is_written_on_the_loop_and_reported_in_its_next_turn() -> None:
    async def test() -> None:
        rig = Rig(AlwaysQuick())
        rig.writer.submit([entry(1)], None, "here")
        assert rig.entered.is_set()
        assert rig.writer.busy
        assert rig.durable.empty()
        assert (await rig.durable.get()).tokens == ["here"]
        assert not rig.writer.busy
        rig.writer.close()

    run(test())


def test_a_disk_error_on_the_loop_is_reported_once_too() -> None:
    async def test() -> None:
        rig = Rig(AlwaysQuick())
        rig.disk.fail_at = 0
        rig.writer.submit([entry(1)], None, "lost")
        assert isinstance(await rig.failure.get(), DiskFailed)
        with pytest.raises(WalStopped):
            rig.writer.submit([entry(2)], None, "refused")
        rig.writer.close()
        assert rig.durable.empty()
        assert rig.failure.empty()

    run(test())


def test_tickets_without_content_do_not_prove_a_disk_quick() -> None:
    async def test() -> None:
        rig = Rig()
        for _ in range(100):
            rig.writer.submit([], None, "empty")
            await rig.durable.get()
        rig.gate.clear()
        rig.writer.submit([entry(1)], None, "waits in the thread")
        rig.gate.set()
        await rig.durable.get()
        rig.writer.close()

    run(test())
