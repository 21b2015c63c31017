"""Read, judge, publish, settle."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import Claim, ClaimStatus, Position
from twofold.witness.backends.memory import MemoryBackend
from twofold.witness.errors import (
    PublishUnknown,
    RecordIncomplete,
    WitnessUnreachable,
)
from twofold.witness.port import Stored
from twofold.witness.record import (
    NOBODY,
    Incarnation,
    Purpose,
    WitnessRecord,
    decode,
    encode,
    initial_record,
)
from twofold.witness.session import (
    ROUNDS_MAX,
    Answer,
    Identity,
    Session,
    Trouble,
    Writer,
)

A, B = MemberId(0xA1), MemberId(0xB2)
WRITER = Writer(last_revision=33, peer_incarnation=0x2222)


class Scripted:
    """A memory backend whose next calls can be made to go otherwise."""

    def __init__(self) -> None:
        self.memory = MemoryBackend()
        self.loads: deque[Callable[[], Stored | None]] = deque()
        self.publishes: deque[Callable[[bytes, int], bool]] = deque()

    def load(self) -> Stored | None:
        return self.loads.popleft()() if self.loads else self.memory.load()

    def publish(self, data: bytes, version: int) -> bool:
        if self.publishes:
            return self.publishes.popleft()(data, version)
        return self.memory.publish(data, version)

    def prune(self) -> None:
        self.memory.prune()

    def newest(self) -> WitnessRecord:
        stored = self.memory.load()
        assert stored is not None
        return decode(stored.data)

    # ---- ways to go wrong

    def no_answer(self) -> Stored | None:
        raise WitnessUnreachable("gone")

    def refuses(self, data: bytes, version: int) -> bool:
        raise WitnessUnreachable("gone")

    def loses(self, data: bytes, version: int) -> bool:
        raise PublishUnknown(version, "request lost")

    def loses_answer(self, data: bytes, version: int) -> bool:
        self.memory.publish(data, version)
        raise PublishUnknown(version, "answer lost")


def nonces(first: int) -> Callable[[], bytes]:
    numbers: Iterator[int] = count(first)
    return lambda: next(numbers).to_bytes(16, "big")


def session_of(
    backend: Scripted, member: MemberId, incarnation: int, witness_id: int = 9
) -> Session:
    return Session(
        backend,
        Identity(7, witness_id, member, incarnation, (A, B)),
        nonce=nonces(member << 32),
        wall_time_ms=lambda: 1_000,
    )


def position(term: int, subterm: int) -> Position:
    return Position(Term(term), Subterm(subterm))


def claim(
    term: int,
    subterm: int = 0,
    last: tuple[int, int] = (1, 0),
    *,
    sitting: bool = False,
    rehearse: bool = False,
) -> Claim:
    return Claim(
        term,
        Term(term),
        Subterm(subterm),
        position(*last),
        Index(40),
        sitting,
        rehearse,
    )


@pytest.fixture
def backend() -> Scripted:
    scripted = Scripted()
    first = initial_record(
        cluster_id=7,
        witness_id=9,
        members=(Incarnation(A, 0), Incarnation(B, 0)),
        nonce=bytes(16),
        wall_time_ms=500,
    )
    assert scripted.publish(encode(first), 1)
    return scripted


@pytest.fixture
def a(backend: Scripted) -> Session:
    return session_of(backend, A, 0x1111)


@pytest.fixture
def b(backend: Scripted) -> Session:
    return session_of(backend, B, 0x2222)


def counts(session: Session) -> tuple[int, int]:
    return session.reads, session.writes


# ---- the plain way ------------------------------------------------------------


def test_a_claim_writes_who_owns_from_where(backend: Scripted, a: Session) -> None:
    answer = a.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.OK
    assert answer.record == backend.newest()
    assert answer.record == WitnessRecord(
        cluster_id=7,
        witness_id=9,
        version=2,
        term=Term(2),
        subterm=Subterm(0),
        owner=A,
        owner_incarnation=0x1111,
        purpose=Purpose.CLAIM,
        members=(Incarnation(A, 0x1111), Incarnation(B, 0x2222)),
        nonce=(A << 32).to_bytes(16, "big"),
        last=position(1, 0),
        last_index=Index(40),
        last_revision=answer.record.last_revision,
        wall_time_ms=1_000,
    )
    assert answer.record.last_revision == 33


def test_a_claim_with_a_known_record_is_one_write_and_no_read(a: Session) -> None:
    assert a.look(WRITER).status is ClaimStatus.OK
    assert counts(a) == (1, 0)
    assert a.answer(claim(2), WRITER).status is ClaimStatus.OK
    again = claim(2, 2, (2, 1), sitting=True)
    assert a.answer(again, WRITER).status is ClaimStatus.OK
    assert counts(a) == (1, 2)


def test_the_first_claim_reads_by_itself(a: Session) -> None:
    assert a.answer(claim(2), WRITER).status is ClaimStatus.OK
    assert counts(a) == (1, 1)


def test_an_answer_becomes_the_cores_event(a: Session) -> None:
    answer = a.answer(claim(2), WRITER)
    event = answer.event(77)
    assert (event.now_ms, event.number, event.status) == (77, 2, ClaimStatus.OK)
    assert event.record == answer.view()
    assert event.record is not None
    assert event.record.owner == A


def test_an_unknown_peer_keeps_the_incarnation_that_is_on_record(
    backend: Scripted, a: Session
) -> None:
    a.answer(claim(2), WRITER)
    a.answer(claim(3, last=(2, 0)), Writer())
    assert backend.newest().members == (Incarnation(A, 0x1111), Incarnation(B, 0x2222))


def test_a_record_without_members_gets_them(backend: Scripted, a: Session) -> None:
    backend.memory.versions[1] = encode(
        replace(backend.newest(), members=(NOBODY, NOBODY))
    )
    a.answer(claim(2), Writer())
    assert backend.newest().members == (Incarnation(A, 0x1111), Incarnation(B, 0))


# ---- conflicts ------------------------------------------------------------------


def test_the_first_claim_wins_and_the_second_is_refused(a: Session, b: Session) -> None:
    a.look(WRITER)
    b.look(WRITER)
    assert a.answer(claim(2), WRITER).status is ClaimStatus.OK
    answer = b.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.REFUSED
    assert answer.record is not None
    assert answer.record.owner == A
    assert "owns the witness since" in answer.reason
    assert counts(b) == (2, 1)


def test_after_a_conflict_an_eligible_claim_goes_on(
    backend: Scripted, a: Session, b: Session
) -> None:
    b.look(WRITER)
    a.answer(claim(2), WRITER)
    answer = b.answer(claim(3, last=(2, 1)), WRITER)
    assert answer.status is ClaimStatus.OK
    assert backend.newest().version == 3


def test_only_what_is_there_now_refuses(backend: Scripted, a: Session) -> None:
    # Our claim landed after we gave up on it, so that we are the owner unknown
    # to ourselves; what we remember would refuse.
    a.look(WRITER)
    landed = replace(
        backend.newest(),
        version=2,
        term=Term(2),
        owner=A,
        owner_incarnation=0x1111,
        nonce=b"n" * 16,
    )
    backend.memory.publish(encode(landed), 2)
    assert a.answer(claim(3, last=(0, 0)), WRITER).status is ClaimStatus.OK


def test_a_member_that_always_comes_second_gives_up(
    backend: Scripted, a: Session
) -> None:
    def overtake(data: bytes, version: int) -> bool:
        other = replace(backend.newest(), version=version, nonce=b"x" * 16)
        backend.memory.publish(encode(other), version)
        return False

    backend.publishes.extend([overtake] * ROUNDS_MAX)
    answer = a.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.UNREACHABLE
    assert "others wrote first" in answer.reason


# ---- unknown outcomes -----------------------------------------------------------


def test_a_lost_answer_is_settled_by_the_nonce(backend: Scripted, a: Session) -> None:
    a.look(WRITER)
    backend.publishes.append(backend.loses_answer)
    answer = a.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.OK
    assert backend.newest().version == 2
    # One read to look, one more write because reading does not prove durability.
    assert counts(a) == (2, 2)


def test_a_lost_request_is_repeated_with_the_same_bytes(
    backend: Scripted, a: Session
) -> None:
    sent: list[bytes] = []

    def loses(data: bytes, version: int) -> bool:
        sent.append(data)
        raise PublishUnknown(version, "lost")

    backend.publishes.append(loses)
    assert a.answer(claim(2), WRITER).status is ClaimStatus.OK
    assert sent == [encode(backend.newest())]


def test_a_lost_request_that_somebody_else_overtook_is_judged_anew(
    backend: Scripted, a: Session, b: Session
) -> None:
    def overtaken(data: bytes, version: int) -> bool:
        assert b.answer(claim(2), WRITER).status is ClaimStatus.OK
        raise PublishUnknown(version, "lost")

    backend.publishes.append(overtaken)
    # b's own publish goes through the same script, after this one.
    answer = a.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.REFUSED
    assert answer.record is not None
    assert answer.record.owner == B


def test_an_outcome_that_stays_unknown_burns_the_position(
    backend: Scripted, a: Session
) -> None:
    a.look(WRITER)
    backend.publishes.extend([backend.loses] * 3)
    answer = a.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.UNREACHABLE
    assert answer.record is None
    with pytest.raises(InvariantError):
        a.answer(claim(2), WRITER)
    assert a.answer(claim(3), WRITER).status is ClaimStatus.OK


def test_unknown_and_then_unreachable_is_unknown(backend: Scripted, a: Session) -> None:
    a.look(WRITER)
    backend.publishes.append(backend.loses)
    backend.loads.append(backend.no_answer)
    assert a.answer(claim(2), WRITER).status is ClaimStatus.UNREACHABLE
    with pytest.raises(InvariantError):
        a.answer(claim(2), WRITER)


def test_unknown_and_then_a_failed_repeat_is_unknown(
    backend: Scripted, a: Session
) -> None:
    a.look(WRITER)
    backend.publishes.extend([backend.loses, backend.refuses])
    assert a.answer(claim(2), WRITER).status is ClaimStatus.UNREACHABLE
    with pytest.raises(InvariantError):
        a.answer(claim(2), WRITER)


def test_a_publish_that_never_began_burns_nothing(
    backend: Scripted, a: Session
) -> None:
    a.look(WRITER)
    backend.publishes.append(backend.refuses)
    assert a.answer(claim(2), WRITER).status is ClaimStatus.UNREACHABLE
    assert a.answer(claim(2), WRITER).status is ClaimStatus.OK


def test_a_late_landing_makes_us_owner_without_leading(
    backend: Scripted, a: Session, b: Session
) -> None:
    late: list[tuple[bytes, int]] = []

    def delays(data: bytes, version: int) -> bool:
        late.append((data, version))
        raise PublishUnknown(version, "on its way")

    a.look(WRITER)
    backend.publishes.extend([delays] * 3)
    assert a.answer(claim(2), WRITER).status is ClaimStatus.UNREACHABLE
    assert backend.memory.publish(*late[0])
    # The other member is refused now, and the next claim of ours goes through.
    assert b.answer(claim(3, last=(1, 0)), WRITER).status is ClaimStatus.REFUSED
    assert a.answer(claim(3), WRITER).status is ClaimStatus.OK


# ---- trouble --------------------------------------------------------------------


def test_an_unreachable_witness_is_told_apart(backend: Scripted, a: Session) -> None:
    backend.loads.append(backend.no_answer)
    answer = a.look(WRITER)
    assert (answer.status, answer.trouble) == (
        ClaimStatus.UNREACHABLE,
        Trouble.UNREACHABLE,
    )


def test_no_record_is_never_made_up(backend: Scripted, a: Session) -> None:
    backend.memory.versions.clear()
    answer = a.answer(claim(2), WRITER)
    assert (answer.status, answer.trouble) == (ClaimStatus.UNREACHABLE, Trouble.ABSENT)
    assert not backend.memory.versions


@pytest.mark.parametrize(("cluster_id", "witness_id"), [(8, 9), (7, 8)])
def test_a_foreign_record_is_not_shown_to_the_core(
    backend: Scripted, a: Session, cluster_id: int, witness_id: int
) -> None:
    foreign = replace(backend.newest(), cluster_id=cluster_id, witness_id=witness_id)
    backend.memory.versions[1] = encode(foreign)
    answer = a.answer(claim(2), WRITER)
    assert answer.status is ClaimStatus.UNREACHABLE
    assert answer.trouble is Trouble.UNUSABLE
    assert answer.record is None


def test_a_corrupt_record_is_trouble(backend: Scripted, a: Session) -> None:
    backend.memory.versions[1] = b"torn"
    assert a.answer(claim(2), WRITER).trouble is Trouble.UNUSABLE


def test_an_incomplete_record_is_trouble(backend: Scripted, a: Session) -> None:
    def incomplete() -> Stored | None:
        raise RecordIncomplete("half")

    backend.loads.append(incomplete)
    assert a.answer(claim(2), WRITER).trouble is Trouble.UNUSABLE


def test_a_record_under_another_versions_name_is_trouble(
    backend: Scripted, a: Session
) -> None:
    backend.memory.versions[5] = backend.memory.versions[1]
    assert a.answer(claim(2), WRITER).trouble is Trouble.UNUSABLE


def test_a_rolled_back_witness_is_trouble(backend: Scripted, a: Session) -> None:
    a.answer(claim(2), WRITER)
    del backend.memory.versions[2]
    answer = a.look(WRITER)
    assert answer.trouble is Trouble.UNUSABLE
    assert "back in time" in answer.reason


def test_a_version_heard_of_makes_us_read(backend: Scripted, a: Session) -> None:
    a.look(WRITER)
    heard = Writer(newest_version_seen=2)
    answer = a.answer(claim(2), heard)
    assert answer.trouble is Trouble.UNUSABLE
    assert a.newest_version_seen == 2
    assert counts(a) == (2, 0)


def test_an_unknown_witness_id_is_taken_from_the_first_record(
    backend: Scripted,
) -> None:
    session = session_of(backend, A, 0x1111, witness_id=0)
    assert session.answer(claim(2), WRITER).status is ClaimStatus.OK
    assert session.witness_id == 9
    foreign = replace(backend.newest(), version=3, witness_id=8)
    backend.memory.publish(encode(foreign), 3)
    assert session.look(WRITER).trouble is Trouble.UNUSABLE


# ---- rehearsals -----------------------------------------------------------------


def rehearsed(session: Session, last: tuple[int, int]) -> Answer:
    return session.answer(claim(0, 0, last, rehearse=True), WRITER)


def test_a_rehearsal_reads_and_changes_nothing(backend: Scripted, a: Session) -> None:
    a.look(WRITER)
    assert rehearsed(a, (1, 0)).status is ClaimStatus.OK
    assert backend.newest().version == 1
    assert counts(a) == (2, 0)


def test_a_rehearsal_is_refused_as_the_claim_would_be(a: Session, b: Session) -> None:
    a.answer(claim(2), WRITER)
    assert rehearsed(b, (2, 0)).status is ClaimStatus.REFUSED
    assert rehearsed(b, (2, 1)).status is ClaimStatus.OK
