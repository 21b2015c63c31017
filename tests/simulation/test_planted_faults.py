"""Each promise is broken on purpose: the simulator must notice.

A check that cannot fail proves nothing. Every class below is a part with one
rule left out; a few seeds must be enough for somebody to object.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from twofold.base.errors import TwofoldError
from twofold.base.ids import Index
from twofold.member.ports import ClaimDone, Ticket
from twofold.raft import quorum
from twofold.raft.core import Core
from twofold.raft.types import (
    Claim,
    ClaimAnswered,
    ClaimStatus,
    Effects,
    Entry,
    Event,
    HardState,
    Mode,
    OwnerView,
    ReadRequested,
    ReadState,
    Role,
)
from twofold.store.apply.dedupe import Dedupe
from twofold.store.backend.port import Backend
from twofold.testing.sim.log import SimLog
from twofold.testing.sim.model import SimApplier
from twofold.testing.sim.parts import Parts
from twofold.testing.sim.witness import SimWitness, Versions
from twofold.testing.sim.world import World
from twofold.witness.errors import PublishUnknown
from twofold.witness.record import WitnessRecord
from twofold.witness.rules import ALLOWED, Clause, Verdict
from twofold.witness.session import Session, Steps, Writer

SEEDS_MAX = 150

pytestmark = pytest.mark.timeout(600)


class OverwritingWitness(Versions):
    """Publishes whatever is there already."""

    def publish(self, data: bytes, version: int) -> bool:
        self.versions[version] = data
        return True


class EqualPositionPasses(Session):
    """C2 with >= instead of >."""

    def _judge(self, record: WitnessRecord, claim: Claim, writer: Writer) -> Verdict:
        verdict = super()._judge(record, claim, writer)
        if verdict.clause is Clause.HOLDS_ALL and claim.last == record.position:
            return ALLOWED if record.owner else verdict
        return verdict


class AnyoneMayClaim(Session):
    """No C2 at all."""

    def _judge(self, record: WitnessRecord, claim: Claim, writer: Writer) -> Verdict:
        verdict = super()._judge(record, claim, writer)
        return ALLOWED if verdict.clause is Clause.HOLDS_ALL else verdict


class UnconfirmedReads(Core):
    """Leader and follower answer reads from what they have."""

    def step(self, event: Event) -> Effects:
        if isinstance(event, ReadRequested):
            out = super().step(replace(event, context=-event.context))
            out.reads.append(
                ReadState(event.context, Index(max(1, self._state.commit)))
            )
            return out
        return super().step(event)


class LeaderReadsUnconfirmed(Core):
    """A leader of a pair answers reads without asking the peer."""

    def step(self, event: Event) -> Effects:
        state = self._state
        if isinstance(event, ReadRequested) and state.role is Role.LEADER:
            out = Effects()
            out.reads.append(ReadState(event.context, state.commit))
            return out
        return super().step(event)


class CommitsAlone(Core):
    """A leader of a pair counts its own disk only."""

    def step(self, event: Event) -> Effects:
        self._state.alone_through = quorum.ALL
        return super().step(event)


class ClaimingCommits(Core):
    """A leader commits alone as soon as it has lost its peer."""

    def step(self, event: Event) -> Effects:
        if self._state.mode is Mode.CLAIMING:
            self._state.alone_through = quorum.ALL
        return super().step(event)


class AnyClaimAnswerCounts(Core):
    """The answer to an earlier claim is taken for that of the present one."""

    def step(self, event: Event) -> Effects:
        outstanding = self._state.outstanding
        if isinstance(event, ClaimAnswered) and outstanding is not None:
            event = replace(event, number=outstanding.number)
        return super().step(event)


class RepeatingWitness(SimWitness):
    """Brings the last good answer once more before it looks at the next claim."""

    _last: ClaimAnswered | None = None

    def claim(self, claim: Claim, revision: int, done: ClaimDone) -> None:
        last = self._last
        if last is not None:
            self._later(
                1, lambda: done(last.number, last.status, last.record, last.reason)
            )

        def keep(
            number: int, status: ClaimStatus, record: OwnerView | None, reason: str
        ) -> None:
            if status is ClaimStatus.OK:
                self._last = ClaimAnswered(0, number, status, record, reason)
            done(number, status, record, reason)

        super().claim(claim, revision, keep)


class UnreachableIsYes(Core):
    """No answer from the witness counts as agreement."""

    def step(self, event: Event) -> Effects:
        if isinstance(event, ClaimAnswered) and event.status is ClaimStatus.UNREACHABLE:
            event = replace(event, status=ClaimStatus.OK)
        return super().step(event)


class UnknownCountsAsWon(Session):
    """A claim whose answer was lost is taken to have landed."""

    def _publish(self, new: WitnessRecord, writer: Writer) -> Steps[WitnessRecord]:
        steps = super()._publish(new, writer)
        step = next(steps)
        while True:
            try:
                result = yield step
            except PublishUnknown:
                return new
            try:
                step = steps.send(result)
            except StopIteration as stop:
                record: WitnessRecord = stop.value
                return record


class _Forgetful(Dedupe):
    def first_time(self, origin: int, sequence: int) -> bool:
        return True


class AppliesTwice(SimApplier):
    """Repeated commands are applied again."""

    def _use(self, backend: Backend) -> None:
        super()._use(backend)
        self._dedupe = _Forgetful()


class DedupeLostInCheckpoints(SimApplier):
    """A checkpoint or snapshot does not hold which commands were applied."""

    def _use(self, backend: Backend) -> None:
        super()._use(backend)
        self._dedupe = Dedupe()


class AcknowledgesBeforeSync(SimLog):
    """Says durable when the write has not even begun."""

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        super().submit(entries, hard_state, Ticket())
        self._host.later(1, lambda: self.on_tickets([ticket]))


class ForgetsVotes(SimLog):
    """Term and vote never reach the disk."""

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        super().submit(entries, None, ticket)


class SendsBeforeSync(SimLog):
    """Votes and acknowledgements leave before the disk has them."""

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        messages = Ticket(ticket.messages, ticket.claim)
        super().submit(
            entries, hard_state, Ticket(last=ticket.last, hard_state=ticket.hard_state)
        )
        self._host.later(1, lambda: self.on_tickets([messages]))


PLANTED = {
    "witness overwrites": Parts(versions=OverwritingWitness),
    "equal position passes the witness": Parts(session=EqualPositionPasses),
    "anyone may claim": Parts(session=AnyoneMayClaim),
    "reads unconfirmed": Parts(core=UnconfirmedReads),
    "leader's reads unconfirmed": Parts(core=LeaderReadsUnconfirmed),
    "pair commits alone": Parts(core=CommitsAlone),
    "commits while claiming": Parts(core=ClaimingCommits),
    "old claim answers count": Parts(
        core=AnyClaimAnswerCounts, witness=RepeatingWitness
    ),
    "unknown claim counts as won": Parts(session=UnknownCountsAsWon),
    "unreachable counts as yes": Parts(core=UnreachableIsYes),
    "applied twice": Parts(applier=AppliesTwice),
    "dedupe lost in checkpoints": Parts(applier=DedupeLostInCheckpoints),
    "acknowledged before sync": Parts(log=AcknowledgesBeforeSync),
    "votes forgotten": Parts(log=ForgetsVotes),
    "messages before sync": Parts(log=SendsBeforeSync),
}


def prepare(world: World) -> None:
    """Make the witness worse: several faults show only when it misbehaves."""
    world.medium.unknown_chance = max(world.medium.unknown_chance, 0.2)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    for seed in range(SEEDS_MAX):
        world = World(seed, parts=PLANTED[name])
        prepare(world)
        try:
            world.run()
        except TwofoldError:
            return
    pytest.fail(f"{SEEDS_MAX} seeds did not notice: {name}")


def test_a_witness_that_repeats_old_answers_does_no_harm() -> None:
    for seed in range(15):
        World(seed, parts=Parts(witness=RepeatingWitness)).run()
