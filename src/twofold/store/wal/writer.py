"""The log's thread: gathers what arrives while the former sync runs.

On a disk that syncs in a fraction of a millisecond, handing a small write to
another thread and back costs more than the write: those are done at once, on
the loop, for as long as the disk proves quick.
"""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

from twofold.base.errors import TwofoldError
from twofold.base.ids import Index
from twofold.base.tasks import guarded
from twofold.raft.types import Entry, HardState, Position
from twofold.store.wal.errors import WalStopped
from twofold.store.wal.log import Wal, encode

_T = TypeVar("_T")

QUICK_SYNC_MS = 0.5
"""Up to this mean, small writes are done on the loop."""
SLOW_SYNC_MS = 20.0
"""One sync as slow as this, and the thread does them all for a while."""
SLOW_FOR_MS = 10_000
SMALL_BYTES = 16 << 10
_MEAN_WEIGHT = 1 / 16


class Pace:
    """How quick the disk has been of late; starts as slow, so it must prove it."""

    def __init__(self) -> None:
        self._mean_ms = 2 * QUICK_SYNC_MS
        self._slow_until_ms = 0.0

    def note(self, sync_ms: float, now_ms: float) -> None:
        """A sync took ``sync_ms``."""
        self._mean_ms += (sync_ms - self._mean_ms) * _MEAN_WEIGHT
        if sync_ms >= SLOW_SYNC_MS:
            self._slow_until_ms = now_ms + SLOW_FOR_MS

    def is_quick(self, now_ms: float) -> bool:
        """Whether the loop may wait for a sync."""
        return self._mean_ms <= QUICK_SYNC_MS and now_ms >= self._slow_until_ms


@dataclass(frozen=True, slots=True)
class Durable:
    """One sync's outcome: every token whose records it made durable, in order."""

    tokens: list[object]
    sync_ms: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Append:
    entries: Sequence[Entry]
    hard_state: HardState | None
    encoded: bytes
    token: object


@dataclass(frozen=True, slots=True)
class _Mark:
    index: Index
    position: Position
    reset: bool
    token: object


@dataclass(frozen=True, slots=True)
class _Release:
    index: Index


_Job = _Append | _Mark | _Release | None
"""None: stop after what came before."""


class WalWriter:
    """Feeds a Wal from one thread of its own; callbacks run on the loop.

    ``on_durable`` comes once a sync. ``on_failure`` comes at most once; from
    then on nothing is written and no ``on_durable`` comes: the process must
    stop, and what was in flight has an unknown outcome.
    """

    def __init__(
        self,
        wal: Wal,
        loop: AbstractEventLoop,
        on_durable: Callable[[Durable], None],
        on_failure: Callable[[BaseException], None],
        pace: Pace | None = None,
    ) -> None:
        self._wal = wal
        self._loop = loop
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._failed = False
        self._closed = False
        self._waiting = 0
        self._with_thread = 0
        """Jobs the thread has not finished: while there are any, it owns the log."""
        self._pace = pace or Pace()
        self._thread = threading.Thread(
            target=guarded(self._run, "wal", self._fail), name="wal", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether something submitted is not yet reported durable."""
        return self._waiting > 0

    def submit(
        self,
        entries: Sequence[Entry],
        hard_state: HardState | None,
        token: object,
    ) -> None:
        """Write these together; ``token`` comes back when they are durable.

        ``entries`` must not change afterwards.

        Raises:
            WalStopped: the log has failed or is closed.
        """
        job = _Append(entries, hard_state, encode(entries, hard_state), token)
        small = len(job.encoded) <= SMALL_BYTES
        if small and not self._with_thread and self._pace.is_quick(_now_ms()):
            self._write_here(job)
        else:
            self._expect(job)

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """Note a durable checkpoint, in order with the submissions; see Wal.mark."""
        self._expect(_Mark(index, position, reset, token))

    def release(self, index: Index) -> None:
        """Delete segments below a mark that has been reported durable."""
        self._put(_Release(index))

    def close(self) -> None:
        """Write what was submitted, stop the thread, close the log. Blocks."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            if self._thread.ident is not None:
                self._thread.join()
            self._wal.close()

    def _write_here(self, job: _Append) -> None:
        """Write and sync on the loop's thread; reported in its next turn."""
        self._check_open()
        self._waiting += 1
        try:
            self._wal.add(job.entries, job.hard_state, job.encoded)
            durable = self._sync([job.token])
        except TwofoldError as error:
            self._failed = True
            self._loop.call_soon(self._on_failure, error)
            return
        self._loop.call_soon(self._report, durable)

    def _expect(self, job: _Append | _Mark) -> None:
        self._put(job)
        self._waiting += 1

    def _report(self, durable: Durable) -> None:
        self._waiting -= len(durable.tokens)
        if durable.size_bytes:  # Else nothing was synced, which is always quick.
            self._pace.note(durable.sync_ms, _now_ms())
        self._on_durable(durable)

    def _report_from_thread(self, durable: Durable) -> None:
        self._done(len(durable.tokens))
        self._report(durable)

    def _done(self, count: int) -> None:
        self._with_thread -= count

    def _put(self, job: _Job) -> None:
        self._check_open()
        self._with_thread += 1
        self._jobs.put(job)

    def _check_open(self) -> None:
        if self._failed or self._closed:
            raise WalStopped("the log takes nothing more")

    def _run(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            try:
                while True:
                    jobs.append(self._jobs.get_nowait())
            except Empty:
                pass
            stop = None in jobs
            try:
                self._write(jobs)
            except TwofoldError as error:
                self._fail("wal", error)
                return
            if stop:
                return

    def _write(self, jobs: Sequence[_Job]) -> None:
        wal = self._wal
        tokens: list[object] = []
        release: Index | None = None
        for job in jobs:
            match job:
                case _Append(entries, hard_state, encoded, token):
                    wal.add(entries, hard_state, encoded)
                    tokens.append(token)
                case _Mark(index, position, reset, token):
                    wal.mark(index, position, reset=reset)
                    tokens.append(token)
                case _Release(index):
                    release = index
        if tokens:
            durable = self._sync(tokens)
            self._call(self._report_from_thread, durable)
        if release is not None:
            # After the report: deleting must not hold up an acknowledgement.
            wal.release(release)
        if len(jobs) > len(tokens):
            self._call(self._done, len(jobs) - len(tokens))

    def _sync(self, tokens: list[object]) -> Durable:
        size = self._wal.buffered_bytes
        started_ns = time.monotonic_ns()
        self._wal.sync()
        return Durable(tokens, (time.monotonic_ns() - started_ns) / 1e6, size)

    def _fail(self, _name: str, error: BaseException) -> None:
        self._failed = True
        self._call(self._on_failure, error)

    def _call(self, callback: Callable[[_T], None], argument: _T) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, argument)


def _now_ms() -> float:
    return time.monotonic_ns() / 1e6
