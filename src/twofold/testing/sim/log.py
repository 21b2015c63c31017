"""The real WAL behind LogPort: each sync takes its time, a crash may tear it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from twofold.base.disk import DiskFailed
from twofold.base.ids import Index
from twofold.member.ports import CheckpointMark, Ticket
from twofold.raft.types import Entry, HardState, Position
from twofold.store.wal.errors import WalStopped
from twofold.store.wal.log import Wal
from twofold.testing.disk import MemoryDisk


class Host(Protocol):
    """What the log needs of its machine."""

    disk: MemoryDisk
    rng: random.Random
    sync_us: tuple[int, int]

    def later(self, delay_us: int, callback: Callable[[], None]) -> None:
        """Run after a delay, if the same boot still lives."""


@dataclass(slots=True)
class _Write:
    entries: Sequence[Entry]
    hard_state: HardState | None
    token: object

    def into(self, wal: Wal) -> None:
        wal.append(self.entries, self.hard_state)


@dataclass(slots=True)
class _Mark:
    index: Index
    position: Position
    reset: bool
    token: object

    def into(self, wal: Wal) -> None:
        wal.mark(self.index, self.position, reset=self.reset)


_Job = _Write | _Mark


class SimLog:
    """LogPort over the real WAL. ``on_failure``: the member has to stop."""

    def __init__(self, wal: Wal, host: Host) -> None:
        self.wal = wal
        self.on_tickets: Callable[[Sequence[Ticket]], None] = lambda _t: None
        self.on_mark: Callable[[CheckpointMark], None] = lambda _m: None
        self.on_failure: Callable[[], None] = lambda: None
        self._host = host
        self._waiting: list[_Job] = []
        self._writing: list[_Job] = []

    @property
    def busy(self) -> bool:
        """See LogPort."""
        return bool(self._waiting or self._writing)

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        """See LogPort."""
        self._add(_Write(tuple(entries), hard_state, ticket))

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """See LogPort."""
        self._add(_Mark(index, position, reset, token))

    def release(self, index: Index) -> None:
        """See LogPort."""
        try:
            self.wal.release(index)
        except (DiskFailed, WalStopped):
            self.on_failure()

    def tear(self) -> bool:
        """The machine crashes now: any part of the running write may remain."""
        disk, rng = self._host.disk, self._host.rng
        disk.fail_at = disk.operations + rng.randint(1, 4)
        with suppress(DiskFailed, WalStopped):
            self._write()
        return bool(self._writing)

    def _add(self, job: _Job) -> None:
        self._waiting.append(job)
        if not self._writing:
            self._begin()

    def _begin(self) -> None:
        self._writing, self._waiting = self._waiting, []
        low, high = self._host.sync_us
        self._host.later(self._host.rng.randint(low, high), self._finish)

    def _write(self) -> None:
        if self._writing:
            for job in self._writing:
                job.into(self.wal)
            self.wal.sync()

    def _finish(self) -> None:
        try:
            self._write()
        except (DiskFailed, WalStopped):
            self.on_failure()
            return
        tokens = [job.token for job in self._writing]
        self._writing = []
        if self._waiting:
            self._begin()
        self.on_tickets([token for token in tokens if isinstance(token, Ticket)])
        for token in tokens:
            if isinstance(token, CheckpointMark):
                self.on_mark(token)
