"""Writes that this member has taken and not yet answered.

A command keeps its id however often it is proposed: after a failover all that
is unanswered goes to the new leader, and the state machine drops repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from twofold.base.errors import TwofoldError
from twofold.member.facade import (
    ProposalDone,
    RequestTimedOut,
    TooManyRequests,
)
from twofold.store.apply.commands import Batch, Command, CommandKind, pack, unpack
from twofold.store.apply.outcomes import ApplyRefused, Outcome

PENDING_MAX = 20_000
PENDING_BYTES_MAX = 256 << 20
BATCH_BYTES_MAX = 4 << 20


class _Pending(NamedTuple):
    command: Command
    done: ProposalDone
    deadline_ms: int
    leading: bool


class Proposals:
    """The unanswered writes of one boot of one member, in order of arrival.

    Shape: ``origin`` is a fresh random number of this boot; sequences count
    from 1, so the first key of the table is the floor of all that is open.
    """

    def __init__(self, origin: int, bytes_max: int = PENDING_BYTES_MAX) -> None:
        self.origin = origin
        self._sequence = 0
        self._pending: dict[int, _Pending] = {}
        self._pending_bytes = 0
        self._bytes_max = bytes_max
        self._unsent: list[Command] = []
        self._forwarded: list[Command] = []
        self._peer_floors: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(
        self,
        kind: CommandKind,
        body: bytes,
        done: ProposalDone,
        deadline_ms: int,
        *,
        leading: bool = False,
    ) -> None:
        """Take a write; it waits for ``take_batch``.

        ``leading``: it is right only as long as this member leads; see ``resign``.
        """
        pending = len(self._pending)
        if pending >= PENDING_MAX or self._pending_bytes >= self._bytes_max:
            done(TooManyRequests(f"{pending} writes are unanswered"))
            return
        self._pending_bytes += len(body)
        self._sequence = sequence = self._sequence + 1
        command = Command(self.origin, sequence, kind, body)
        self._pending[sequence] = _Pending(command, done, deadline_ms, leading)
        self._unsent.append(command)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to propose or to forward."""
        return bool(self._unsent or self._forwarded)

    @property
    def floor(self) -> int:
        """Every sequence below is answered."""
        return next(iter(self._pending), self._sequence + 1)

    def take_own(self) -> bytes | None:
        """The unsent commands, packed for the leader; None if there are none."""
        commands = self._cut(self._unsent)
        if not commands:
            return None
        return pack([(self.origin, self.floor)], commands)

    def take_batch(self) -> bytes | None:
        """One log entry's payload from own and forwarded commands."""
        commands = self._cut(self._unsent)
        if self._forwarded:
            commands += self._cut(self._forwarded)
        if not commands:
            return None
        floors = [(self.origin, self.floor), *self._peer_floors.items()]
        return pack(floors, commands)

    def receive_forwarded(self, batch: Batch) -> None:
        """Take the peer's commands; only its current boot's floors are kept."""
        self._peer_floors = dict(batch.floors)
        # What does not fit is lost, as by a broken link: the peer's clients hear
        # of it. It fits, unless this member has stood still for long.
        room = PENDING_MAX - len(self._forwarded)
        self._forwarded.extend(batch.commands[:room])

    def put_back(self, payload: bytes) -> None:
        """The core has not taken a batch: all of it waits again."""
        commands = unpack(payload).commands
        origin = self.origin
        own = [
            c for c in commands if c.origin == origin and c.sequence in self._pending
        ]
        self._unsent = own + self._unsent
        self._forwarded = [c for c in commands if c.origin != origin] + self._forwarded

    def drop_forwarded(self) -> None:
        """We do not lead: the peer sends its commands again to who does."""
        self._forwarded.clear()

    def resign(self) -> None:
        """We lead no more: what only the leader may decide goes to nobody else.

        It may be in the log, and count there, so its outcome is unknown.
        """
        mine = [number for number, one in self._pending.items() if one.leading]
        if mine:
            self._fail(mine, RequestTimedOut("leadership has moved"))
            self._unsent = [c for c in self._unsent if c.sequence in self._pending]

    def resend(self) -> None:
        """Propose all that is unanswered once more: the leader has changed."""
        self._unsent = [pending.command for pending in self._pending.values()]

    def answer(self, results: Iterable[tuple[Command, Outcome | ApplyRefused]]) -> None:
        """Answer those of ``results`` that this boot has taken."""
        origin, pop = self.origin, self._pending.pop
        for command, outcome in results:
            if command.origin == origin:
                pending = pop(command.sequence, None)
                if pending is not None:
                    self._pending_bytes -= len(command.body)
                    pending.done(outcome)

    def expire(self, now_ms: int) -> int:
        """Answer what is past its deadline; returns how many that were."""
        late = [
            sequence
            for sequence, pending in self._pending.items()
            if pending.deadline_ms <= now_ms
        ]
        if late:
            self._fail(late, RequestTimedOut("no quorum answered in time"))
            self._unsent = [c for c in self._unsent if c.sequence in self._pending]
        return len(late)

    def fail_all(self, error: TwofoldError) -> None:
        """Answer everything with ``error``: the member stops."""
        self._fail(list(self._pending), error)
        self._unsent.clear()

    def _fail(self, sequences: Iterable[int], error: TwofoldError) -> None:
        for sequence in sequences:
            pending = self._pending.pop(sequence)
            self._pending_bytes -= len(pending.command.body)
            pending.done(error)

    @staticmethod
    def _cut(commands: list[Command]) -> list[Command]:
        """Take from the front what fits in one entry."""
        size = 0
        for count, command in enumerate(commands):
            size += len(command.body)
            if size > BATCH_BYTES_MAX and count:
                taken = commands[:count]
                del commands[:count]
                return taken
        taken = commands[:]
        commands.clear()
        return taken
