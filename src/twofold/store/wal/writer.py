"""The log's thread: gathers what arrives while the former sync runs."""

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
    ) -> None:
        self._wal = wal
        self._loop = loop
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._failed = False
        self._closed = False
        self._waiting = 0
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
        encoded = encode(entries, hard_state)
        self._expect(_Append(entries, hard_state, encoded, token))

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

    def _expect(self, job: _Append | _Mark) -> None:
        self._put(job)
        self._waiting += 1

    def _report(self, durable: Durable) -> None:
        self._waiting -= len(durable.tokens)
        self._on_durable(durable)

    def _put(self, job: _Job) -> None:
        if self._failed or self._closed:
            raise WalStopped("the log takes nothing more")
        self._jobs.put(job)

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
            size = wal.buffered_bytes
            started_ns = time.monotonic_ns()
            wal.sync()
            sync_ms = (time.monotonic_ns() - started_ns) / 1e6
            self._call(self._report, Durable(tokens, sync_ms, size))
        if release is not None:
            # After the report: deleting must not hold up an acknowledgement.
            wal.release(release)

    def _fail(self, _name: str, error: BaseException) -> None:
        self._failed = True
        self._call(self._on_failure, error)

    def _call(self, callback: Callable[[_T], None], argument: _T) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, argument)
