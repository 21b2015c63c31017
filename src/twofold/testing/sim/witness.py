"""The witness on virtual time: slow, unreachable, landing late, answering never."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from twofold.base.errors import InvariantError
from twofold.base.ids import MemberId, Subterm, Term
from twofold.member.ports import ClaimDone
from twofold.raft.types import Claim, ClaimStatus, Position
from twofold.testing.sim.model import Violation
from twofold.testing.sim.time import VirtualTime
from twofold.witness.backends.memory import MemoryBackend
from twofold.witness.errors import PublishUnknown, WitnessUnreachable
from twofold.witness.record import decode
from twofold.witness.session import Answer, Identity, Load, Publish, Session, Writer

TIMEOUT_US = 2_000_000


class Versions(MemoryBackend):
    """The numbered versions on the medium."""


class Medium:
    """The one medium that both members share, and its faults."""

    def __init__(self, rng: random.Random, versions: MemoryBackend) -> None:
        self.backend = versions
        self.rng = rng
        self.cut_from: set[MemberId] = set()
        self.unknown_chance = 0.0
        self.slow_us = 3_000
        self.late_landings = 0
        self.claims_won = 0
        self._newest = Position(Term(0), Subterm(0))
        self._version = 0

    def publish(self, data: bytes, version: int) -> bool:
        """Publish, and see that the record never goes back.

        Raises:
            Violation: it did.
        """
        won = self.backend.publish(data, version)
        stored = self.backend.load()
        if stored is not None:
            record = decode(stored.data)
            position = Position(record.term, record.subterm)
            if stored.version < self._version or position < self._newest:
                raise Violation(
                    f"the witness went back: {stored.version} {position}, was"
                    f" {self._version} {self._newest}"
                )
            if stored.version > self._version and position == self._newest != (0, 0):
                raise Violation(f"two claims of {position}")
            self._version, self._newest = stored.version, position
        return won


class Runner(Protocol):
    """How a member runs things on virtual time, unless it has crashed."""

    boots: int

    def later(self, delay_us: int, callback: Callable[[], None]) -> None:
        """Run after a delay, if the same boot still lives."""


class SimWitness:
    """WitnessPort of one boot; drives the real session step by step."""

    def __init__(
        self,
        medium: Medium,
        identity: Identity,
        time: VirtualTime,
        runner: Runner,
        session: type[Session] = Session,
    ) -> None:
        self._medium = medium
        self._time = time
        self._runner = runner
        self._boot = runner.boots
        self._member = identity.member_id
        rng = medium.rng
        self._session = session(
            medium.backend,
            identity,
            nonce=lambda: rng.randbytes(16),
            wall_time_ms=lambda: 0,
        )

    def claim(self, claim: Claim, revision: int, done: ClaimDone) -> None:
        """See member.ports.WitnessPort."""
        steps = self._session.steps(claim, Writer(last_revision=revision))
        finished = [False]

        def finish(answer: Answer) -> None:
            if not finished[0]:
                finished[0] = True
                if answer.status is ClaimStatus.OK and not claim.rehearse:
                    self._medium.claims_won += 1
                done(answer.number, answer.status, answer.view(), answer.reason)

        def give_up() -> None:
            if finished[0]:
                return
            status = ClaimStatus.UNREACHABLE
            finish(Answer(claim.number, status, None, "timed out"))

        def advance(send: Callable[[], object]) -> None:
            if finished[0]:
                return
            try:
                step = send()
            except StopIteration as stop:
                finish(stop.value)
                return
            if not isinstance(step, Load | Publish):
                raise InvariantError("the session yields Load or Publish")
            self._perform(step, lambda give: advance(lambda: give(steps)))

        self._later(TIMEOUT_US, give_up)
        advance(lambda: next(steps))

    def _later(self, delay_us: int, callback: Callable[[], None]) -> None:
        # A write lands whatever became of its writer: the answer is for the old
        # boot then, which hears nothing any more.
        if self._runner.boots == self._boot:
            self._runner.later(delay_us, callback)

    def _perform(
        self, step: Load | Publish, resume: Callable[[Callable[..., object]], None]
    ) -> None:
        medium, rng = self._medium, self._medium.rng
        delay_us = rng.randint(200, 2 * medium.slow_us)
        if self._member in medium.cut_from:
            error = WitnessUnreachable("cut off")
            self._later(delay_us, lambda: resume(lambda s: s.throw(error)))
            return
        if isinstance(step, Load):
            self._later(
                delay_us, lambda: resume(lambda s: s.send(medium.backend.load()))
            )
            return
        data, version = step.data, step.version
        if rng.random() < medium.unknown_chance:
            self._lose(data, version, delay_us, resume)
            return

        def publish() -> None:
            won = medium.publish(data, version)
            self._later(rng.randint(100, 1_000), lambda: resume(lambda s: s.send(won)))

        # The write lands even if the writer dies meanwhile.
        self._time.after(delay_us, publish)

    def _lose(
        self,
        data: bytes,
        version: int,
        delay_us: int,
        resume: Callable[[Callable[..., object]], None],
    ) -> None:
        """The answer is lost; the write lands now, much later, or never."""
        medium, rng = self._medium, self._medium.rng
        error = PublishUnknown(version, "answer lost")
        fate = rng.random()
        if fate < 0.7:
            late_us = delay_us if fate < 0.35 else rng.randint(50_000, 3_000_000)

            def land() -> None:
                medium.late_landings += medium.publish(data, version)

            self._time.after(late_us, land)
        self._later(delay_us, lambda: resume(lambda s: s.throw(error)))
