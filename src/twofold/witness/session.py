"""One member's dealings with the witness: read, judge, publish, settle.

`Session.steps` decides and yields what to do with the backend; `Session.answer`
carries that out at once. A simulator drives the steps itself, with delays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from twofold.base.errors import Failure, InvariantError
from twofold.base.ids import MemberId, Revision
from twofold.base.invariant import check
from twofold.raft.types import Claim, ClaimAnswered, ClaimStatus, OwnerView, Position
from twofold.witness.errors import (
    PublishUnknown,
    RecordCorrupt,
    WitnessUnreachable,
)
from twofold.witness.port import Stored, WitnessBackend
from twofold.witness.record import (
    NONCE_BYTES,
    Incarnation,
    Purpose,
    WitnessRecord,
    decode,
    encode,
)
from twofold.witness.rules import Clause, Verdict, may_claim, usable

ROUNDS_MAX = 8
SETTLE_TRIES_MAX = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks; ``members`` are those of its configuration, itself included.

    ``witness_id`` 0: not known yet, take the first record's.
    """

    cluster_id: int
    witness_id: int
    member_id: MemberId
    incarnation: int
    members: tuple[MemberId, MemberId]


@dataclass(frozen=True, slots=True)
class Writer:
    """What the asking member knows at the moment; 0 is "nothing"."""

    last_revision: int = 0
    newest_version_seen: int = 0
    peer_incarnation: int = 0


class Trouble(Enum):
    """What is wrong with the witness itself; alarms are made of it."""

    NONE = ""
    UNREACHABLE = "unreachable"
    ABSENT = "absent"
    UNUSABLE = "unusable"
    """Foreign, rolled back, sealed or corrupt: C3 does not hold."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a claim or a look ended.

    ``record`` is the record judged against, or our own if OK; None whenever
    there is no record that the core could rely on.
    """

    number: int
    status: ClaimStatus
    record: WitnessRecord | None
    reason: str = ""
    trouble: Trouble = Trouble.NONE

    def view(self) -> OwnerView | None:
        """The record as the core sees it."""
        return None if self.record is None else self.record.view()

    def event(self, now_ms: int) -> ClaimAnswered:
        """The answer as the core's event."""
        return ClaimAnswered(now_ms, self.number, self.status, self.view(), self.reason)


@dataclass(frozen=True, slots=True)
class Load:
    """Step: call ``load`` and send in what it returns, or throw what it raises."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Step: call ``publish`` and send in what it returns, or throw the error."""

    data: bytes
    version: int


_R = TypeVar("_R")
Steps = Generator[Load | Publish, Stored | bool | None, _R]


class _UnusableError(Failure):
    """Carries the trouble from where it is found to the answer."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble = trouble
        self.reason = reason


def _wall_time_ms() -> int:
    return time.time_ns() // 1_000_000


def _random_nonce() -> bytes:
    return os.urandom(NONCE_BYTES)


class Session:
    """Claims of one boot of one member, over one backend.

    It remembers the newest record, so that a claim is one publish and no read
    as long as nobody else has written.
    """

    def __init__(
        self,
        backend: WitnessBackend,
        identity: Identity,
        *,
        nonce: Callable[[], bytes] = _random_nonce,
        wall_time_ms: Callable[[], int] = _wall_time_ms,
    ) -> None:
        self.reads = 0
        self.writes = 0
        self._backend = backend
        self._identity = identity
        self._nonce = nonce
        self._wall_time_ms = wall_time_ms
        self._cached: WitnessRecord | None = None
        self._newest_version_seen = 0
        self._witness_id = identity.witness_id
        self._unsettled: set[Position] = set()

    @property
    def newest_version_seen(self) -> int:
        """The highest version this session ever read, wrote or was told of."""
        return self._newest_version_seen

    @property
    def witness_id(self) -> int:
        """The witness's id; 0 while neither configured nor read."""
        return self._witness_id

    def answer(self, claim: Claim, writer: Writer) -> Answer:
        """Carry out a claim or its rehearsal.

        Cost: one publish; a read first if nothing is cached or for a
        rehearsal; more reads after a conflict or an unknown outcome.
        """
        return self._drive(self.steps(claim, writer))

    def look(self, writer: Writer) -> Answer:
        """Read the record: status OK if it is ours, else UNREACHABLE."""
        return self._drive(self.look_steps(writer))

    def steps(self, claim: Claim, writer: Writer) -> Steps[Answer]:
        """Decide a claim; see Load and Publish for what to do with the steps."""
        asked = Position(claim.term, claim.subterm)
        # An earlier claim of it may still land, and its record would then be
        # taken for this one's although it promises something older.
        check(claim.rehearse or asked not in self._unsettled, "a claim is new")
        try:
            return (yield from self._claim(claim, writer))
        except PublishUnknown as error:
            self._unsettled.add(asked)
            self._cached = None
            return _unreachable(claim.number, f"claim {tuple(asked)}: {error}")
        except WitnessUnreachable as error:
            self._cached = None
            return _unreachable(claim.number, str(error))
        except _UnusableError as error:
            self._cached = None
            return _unreachable(claim.number, error.reason, error.trouble)

    def look_steps(self, writer: Writer) -> Steps[Answer]:
        """Read and judge only whether the record is ours."""
        try:
            record = yield from self._load(writer)
        except WitnessUnreachable as error:
            return _unreachable(0, str(error))
        except _UnusableError as error:
            return _unreachable(0, error.reason, error.trouble)
        return Answer(0, ClaimStatus.OK, record)

    def _claim(self, claim: Claim, writer: Writer) -> Steps[Answer]:
        self._note(writer.newest_version_seen)
        record = None if claim.rehearse else self._cached
        fresh = False
        for _ in range(ROUNDS_MAX):
            if record is None or record.version < self._newest_version_seen:
                record = yield from self._load(writer)
                fresh = True
            verdict = self._judge(record, claim, writer)
            if not verdict.allowed:
                if fresh:
                    return self._refused(claim, record, verdict)
                # What we remember may be old: only what is there now refuses.
                record = None
            elif claim.rehearse:
                return Answer(claim.number, ClaimStatus.OK, record)
            else:
                new = self._successor(record, claim, writer)
                newest = yield from self._publish(new, writer)
                if newest == new:
                    return Answer(claim.number, ClaimStatus.OK, new)
                record, fresh = newest, True
        return _unreachable(
            claim.number, f"others wrote first {ROUNDS_MAX} times in a row"
        )

    def _publish(self, new: WitnessRecord, writer: Writer) -> Steps[WitnessRecord]:
        """Publish; return the newest record, which is ``new`` if we won."""
        data = encode(new)
        self._cached = None
        for attempt in range(SETTLE_TRIES_MAX):
            try:
                # Ours or not, on a repeat: the backend confirms equal bytes, and
                # makes sure they are durable, which reading them does not show.
                won = yield Publish(data, new.version)
            except PublishUnknown as unknown:
                newest = yield from self._settle(new, writer, unknown)
                if newest.nonce != new.nonce and newest.version >= new.version:
                    return newest
                if attempt == SETTLE_TRIES_MAX - 1:
                    raise
                continue
            except WitnessUnreachable as error:
                if attempt == 0:
                    raise
                # The first try may still land, whatever became of this one.
                raise PublishUnknown(new.version, str(error)) from error
            if won:
                self._note(new.version)
                self._cached = new
                return new
            newest = yield from self._settle(new, writer, None)
            if newest.nonce == new.nonce:
                self._cached = new
                return new
            if newest.version < new.version and attempt > 0:
                raise PublishUnknown(new.version, "the medium contradicts itself")
            return newest
        raise InvariantError("the last try returns or raises")

    def _settle(
        self, new: WitnessRecord, writer: Writer, unknown: PublishUnknown | None
    ) -> Steps[WitnessRecord]:
        """Read what is there after a publish that did not simply succeed."""
        try:
            return (yield from self._load(writer))
        except (WitnessUnreachable, _UnusableError) as error:
            if unknown is None:
                raise
            raise PublishUnknown(new.version, f"{unknown}; then {error}") from error

    def _load(self, writer: Writer) -> Steps[WitnessRecord]:
        self._note(writer.newest_version_seen)
        try:
            stored = yield Load()
        except RecordCorrupt as error:
            raise _UnusableError(Trouble.UNUSABLE, str(error)) from error
        if stored is None:
            raise _UnusableError(
                Trouble.ABSENT,
                "the witness holds no record: not set up (witness init), not"
                " mounted, or lost (witness replace); nobody may act alone",
            )
        if not isinstance(stored, Stored):
            raise InvariantError("a Load is answered with Stored or None")
        try:
            record = decode(stored.data)
        except RecordCorrupt as error:
            raise _UnusableError(Trouble.UNUSABLE, str(error)) from error
        if record.version != stored.version:
            raise _UnusableError(
                Trouble.UNUSABLE,
                f"version {stored.version} holds the record of {record.version}",
            )
        identity = self._identity
        witness_id = self._witness_id or record.witness_id
        verdict = usable(
            record, identity.cluster_id, witness_id, self._newest_version_seen
        )
        if not verdict.allowed:
            raise _UnusableError(Trouble.UNUSABLE, verdict.reason)
        self._witness_id = witness_id
        self._note(record.version)
        self._cached = record
        return record

    def _judge(self, record: WitnessRecord, claim: Claim, writer: Writer) -> Verdict:
        identity = self._identity
        return may_claim(
            record,
            claim,
            identity.member_id,
            identity.incarnation,
            identity.cluster_id,
            self._witness_id,
            self._newest_version_seen,
            members=identity.members,
            last_revision=writer.last_revision,
        )

    def _refused(self, claim: Claim, record: WitnessRecord, verdict: Verdict) -> Answer:
        if verdict.clause is Clause.OURS:
            return _unreachable(claim.number, verdict.reason, Trouble.UNUSABLE)
        return Answer(claim.number, ClaimStatus.REFUSED, record, verdict.reason)

    def _successor(
        self, record: WitnessRecord, claim: Claim, writer: Writer
    ) -> WitnessRecord:
        identity = self._identity
        known = {member.member_id: member.incarnation for member in record.members}
        known[identity.member_id] = identity.incarnation
        if writer.peer_incarnation:
            for member_id in identity.members:
                if member_id != identity.member_id:
                    known[member_id] = writer.peer_incarnation
        first, second = identity.members
        return replace(
            record,
            version=record.version + 1,
            term=claim.term,
            subterm=claim.subterm,
            owner=identity.member_id,
            owner_incarnation=identity.incarnation,
            purpose=Purpose.CLAIM,
            members=(
                Incarnation(first, known.get(first, 0)),
                Incarnation(second, known.get(second, 0)),
            ),
            nonce=self._nonce(),
            last=claim.last,
            last_index=claim.last_index,
            last_revision=Revision(writer.last_revision),
            wall_time_ms=self._wall_time_ms(),
        )

    def _note(self, version: int) -> None:
        self._newest_version_seen = max(self._newest_version_seen, version)

    def _drive(self, steps: Steps[Answer]) -> Answer:
        """Carry the steps out on the backend, counting them."""
        try:
            step = next(steps)
            while True:
                try:
                    result = self._carry_out(step)
                except (WitnessUnreachable, PublishUnknown, RecordCorrupt) as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer

    def _carry_out(self, step: Load | Publish) -> Stored | bool | None:
        match step:
            case Load():
                self.reads += 1
                return self._backend.load()
            case Publish(data=data, version=version):
                self.writes += 1
                return self._backend.publish(data, version)


def _unreachable(
    number: int, reason: str, trouble: Trouble = Trouble.UNREACHABLE
) -> Answer:
    return Answer(number, ClaimStatus.UNREACHABLE, None, reason, trouble)
