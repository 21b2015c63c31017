"""The driver's ports over the real log, loop and witness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from twofold.base.clock import MonotonicClock
from twofold.base.ids import Index
from twofold.member.ports import CheckpointMark, ClaimDone, Ticket
from twofold.raft.types import Claim, Entry, HardState, Position
from twofold.store.wal.log import Wal
from twofold.store.wal.writer import Durable, WalWriter
from twofold.telemetry.metrics import Meter
from twofold.witness.client import WitnessClient
from twofold.witness.session import Answer


class LoopClock(MonotonicClock):
    """Monotonic time and the loop's next turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def soon(self, callback: Callable[[], None]) -> None:
        """See member.ports.Clock."""
        self._loop.call_soon(callback)


class WalLog:
    """The log's thread as the driver's LogPort; marks go to the checkpointer."""

    def __init__(
        self,
        wal: Wal,
        loop: asyncio.AbstractEventLoop,
        meter: Meter,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.on_tickets: Callable[[Sequence[Ticket]], None] = lambda _tickets: None
        self.on_mark: Callable[[CheckpointMark], None] = lambda _mark: None
        self._meter = meter
        self._writer = WalWriter(wal, loop, self._durable, on_failure)

    def start(self) -> None:
        """Start the thread."""
        self._writer.start()

    @property
    def busy(self) -> bool:
        """See member.ports.LogPort."""
        return self._writer.busy

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        """See member.ports.LogPort."""
        self._writer.submit(entries, hard_state, ticket)

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """See member.ports.LogPort."""
        self._writer.mark(index, position, token, reset=reset)

    def release(self, index: Index) -> None:
        """See member.ports.LogPort."""
        self._writer.release(index)

    def close(self) -> None:
        """Write what was submitted and close. Blocks."""
        self._writer.close()

    def _durable(self, durable: Durable) -> None:
        if durable.size_bytes:
            self._meter.wal_fsync.observe(durable.sync_ms / 1000)
        self._meter.wal_bytes_written += durable.size_bytes
        tickets = [token for token in durable.tokens if isinstance(token, Ticket)]
        if tickets:
            self.on_tickets(tickets)
        for token in durable.tokens:
            if isinstance(token, CheckpointMark):
                self.on_mark(token)


class WitnessGate:
    """The witness client as the driver's WitnessPort."""

    def __init__(self, client: WitnessClient) -> None:
        self.client = client

    def claim(self, claim: Claim, revision: int, done: ClaimDone) -> None:
        """See member.ports.WitnessPort."""

        def answered(answer: Answer) -> None:
            done(answer.number, answer.status, answer.view(), answer.reason)

        self.client.claim(claim, revision, answered)
