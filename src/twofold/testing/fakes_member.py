"""A driver's world that stands still: time, log and link do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.base.ids import Index, MemberId
from twofold.member.driver import Driver
from twofold.member.ports import CheckpointMark, Ticket
from twofold.raft.core import Core
from twofold.raft.types import CoreConfig, Entry, HardState, Message, Position, Restart
from twofold.store.apply.applier import Applier
from twofold.store.backend.memory import MemoryBackend

ME, PEER = MemberId(1), MemberId(2)
ORIGIN = 7


class StillClock:
    """Implements `member.ports.Clock`; ``now`` moves by hand."""

    def __init__(self) -> None:
        self.now = 0
        self.turns: list[Callable[[], None]] = []

    def now_ms(self) -> int:
        """See Clock."""
        return self.now

    def soon(self, callback: Callable[[], None]) -> None:
        """See Clock; ``turns`` keeps it."""
        self.turns.append(callback)


class HeldLog:
    """Implements `member.ports.LogPort`; durable when ``sync`` is called."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.entries: list[Entry] = []
        self.hard_state: HardState | None = None
        self.marks: list[tuple[Index, Position, bool]] = []
        self.on_tickets: Callable[[Sequence[Ticket]], None] = lambda _tickets: None
        self.on_mark: Callable[[CheckpointMark], None] = lambda _mark: None

    @property
    def busy(self) -> bool:
        """See LogPort."""
        return bool(self.tickets)

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        """See LogPort."""
        self.entries.extend(entries)
        self.hard_state = hard_state or self.hard_state
        self.tickets.append(ticket)

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """See LogPort."""
        self.marks.append((index, position, reset))
        if isinstance(token, CheckpointMark):
            self.on_mark(token)

    def release(self, index: Index) -> None:
        """See LogPort."""

    def sync(self) -> None:
        """All that was submitted becomes durable, and what follows from it."""
        while self.tickets:
            tickets, self.tickets = self.tickets, []
            self.on_tickets(tickets)


class OpenLink:
    """Implements `member.ports.LinkPort`; keeps what was sent."""

    up = True

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.forwarded: list[bytes] = []

    def send(self, messages: Sequence[Message]) -> None:
        """See LinkPort."""
        self.sent.extend(messages)

    def flush(self) -> None:
        """See LinkPort."""

    def forward(self, payload: bytes) -> None:
        """See LinkPort."""
        self.forwarded.append(payload)


def paired_driver(log: HeldLog, clock: StillClock) -> Driver:
    """A driver of member 1 of two, without a witness, from an empty disk."""
    core = Core(CoreConfig(ME, 11, PEER, witness=False), Restart(), clock.now)
    applier = Applier(MemoryBackend())
    driver = Driver(core, applier, log, OpenLink(), None, clock, ORIGIN)
    log.on_tickets = driver.durable
    return driver
