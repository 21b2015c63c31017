"""What the driver needs of the world; the simulator offers the same on seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twofold.base.ids import Index
from twofold.raft.types import (
    Claim,
    ClaimStatus,
    Entry,
    HardState,
    Message,
    OwnerView,
    Position,
)


@dataclass(slots=True)
class Ticket:
    """What may go out once a log write, and all before it, is durable."""

    messages: list[Message] = field(default_factory=list)
    claim: Claim | None = None
    last: Entry | None = None
    hard_state: HardState | None = None


@dataclass(frozen=True, slots=True)
class CheckpointMark:
    """Comes back from the log once the mark of a checkpoint is durable there."""

    index: Index


class LogPort(Protocol):
    """The WAL: calls the driver's ``durable`` with the tickets, in order."""

    @property
    def busy(self) -> bool:
        """Whether a write is under way or waiting."""

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        """Write durably; never blocks."""

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """Note, in order with the writes, that a durable state holds ``index``."""

    def release(self, index: Index) -> None:
        """Delete what the log holds below a durable mark."""


class LinkPort(Protocol):
    """The way to the peer; sends nothing while not ``up``."""

    @property
    def up(self) -> bool:
        """Whether the peer is connected and is who it should be."""

    def send(self, messages: Sequence[Message]) -> None:
        """Send, or drop when down or congested: Raft sends again."""

    def flush(self) -> None:
        """Let go now of what was sent in this turn."""

    def forward(self, payload: bytes) -> None:
        """Hand packed commands to the leader."""


ClaimDone = Callable[[int, ClaimStatus, OwnerView | None, str], None]


class WitnessPort(Protocol):
    """The witness session, in its own process."""

    def claim(self, claim: Claim, revision: int, done: ClaimDone) -> None:
        """Carry out or rehearse; ``done`` gets (number, status, record, reason)."""


class Clock(Protocol):
    """Monotonic time and the next turn of the loop."""

    def now_ms(self) -> int:
        """Monotonic ms."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Run in the next turn, after what has arrived by then."""
