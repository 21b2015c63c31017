from collections.abc import Callable
from typing import Any

import pytest

from twofold.base.ids import Index, Subterm, Term
from twofold.raft.types import (
    ClaimAnswered,
    ClaimStatus,
    Entry,
    Mode,
    PeerDisconnected,
    Position,
    PreVote,
    PreVoteReply,
    RecordSeen,
    Role,
    StopRequested,
    TimeoutNow,
    Vote,
    VoteReply,
)

Make = Callable[..., Any]
MakeEntry = Callable[..., Entry]
FIRST = Position(Term(1), Subterm(0))


@pytest.fixture
def follower(make: Make, entry: MakeEntry, record: Make) -> Any:
    """Follows member 2 in term 1, holds one entry, knows the empty record."""
    bench = make()
    bench.step(RecordSeen(0, record(1, 0, 0, 0)))
    bench.append(1, (0, 0), entry(1, 0, 1))
    return bench


def dies(bench: Any) -> None:
    bench.step(PeerDisconnected(bench.now_ms, dead=True))


def test_a_peer_that_answers_makes_a_plain_election(follower: Any) -> None:
    follower.wait(260)
    assert follower.last(PreVote).term == 2
    assert follower.core.status().term == 1, "a pre-vote changes nothing"
    follower.receive(PreVoteReply(Term(2), True))
    assert follower.last(Vote) == Vote(Term(2), Index(1), FIRST)
    assert follower.hard_state == (2, 1)
    follower.receive(VoteReply(Term(2), True))
    status = follower.core.status()
    assert (status.role, status.mode) == (Role.LEADER, Mode.PAIR)
    assert not follower.claims


def test_refused_pre_votes_ask_neither_for_votes_nor_the_witness(
    follower: Any,
) -> None:
    follower.wait(260)
    for _ in range(10):
        follower.receive(PreVoteReply(Term(1), False))
        follower.wait(100)
    assert not follower.claims
    assert follower.core.status().term == 1
    follower.receive(PreVoteReply(Term(6), False))
    assert follower.core.status().term == 6, "the peer has been further"


def test_two_that_ask_at_once_do_not_split_the_vote(
    make: Make, entry: MakeEntry
) -> None:
    granted = []
    for member in (1, 2):
        bench = make(entry(1, 0, 1), member=member, peer=3 - member)
        bench.wait(260)
        bench.receive(PreVote(Term(2), Index(1), FIRST))
        granted.append(bench.last(PreVoteReply).granted)
    assert granted == [True, False]


def test_a_proven_death_claims_at_once_with_the_known_record(follower: Any) -> None:
    dies(follower)
    (claim,) = follower.claims
    assert (claim.term, claim.subterm, claim.sitting, claim.rehearse) == (
        2,
        0,
        False,
        False,
    )
    assert claim.last == FIRST
    assert follower.hard_state == (2, 1), "own vote first"
    follower.answer(ClaimStatus.OK)
    status = follower.core.status()
    assert (status.role, status.mode) == (Role.LEADER, Mode.SOLO)
    assert [e.index for e in follower.committed] == [1, 2]


def test_silence_rehearses_before_it_raises_the_term(
    follower: Any, record: Make
) -> None:
    follower.wait(400)
    assert follower.claims[-1].rehearse
    assert follower.core.status().term == 1
    follower.answer(ClaimStatus.REFUSED, record(2, 1, 1, 2))
    status = follower.core.status()
    assert (status.mode, status.term) == (Mode.REFUSED, 1)
    assert "member 2" in status.reason
    follower.wait(3_000)
    assert follower.core.status().term == 1


def test_a_rehearsal_that_passes_is_followed_by_the_claim(
    follower: Any, record: Make
) -> None:
    follower.wait(400)
    follower.answer(ClaimStatus.OK, record(3, 4, 0, 1))
    claim = follower.claims[-1]
    assert (claim.term, claim.rehearse) == (5, False), "beyond the record's term"
    follower.answer(ClaimStatus.OK, record(4, 5, 0, 1))
    assert follower.core.status().mode is Mode.SOLO


def test_no_answer_means_a_new_rehearsal_and_later_a_new_term(follower: Any) -> None:
    dies(follower)
    follower.answer(ClaimStatus.UNREACHABLE)
    assert len(follower.claims) == 1
    follower.wait(200)
    assert follower.claims[-1].rehearse
    for _ in range(3):
        follower.answer(ClaimStatus.UNREACHABLE)
        follower.wait(2_500)
    assert follower.core.status().term == 2, "the term does not leak meanwhile"
    follower.answer(ClaimStatus.OK)
    assert (follower.claims[-1].term, follower.core.status().term) == (3, 3)


def test_an_answer_that_never_comes_counts_as_none(follower: Any) -> None:
    dies(follower)
    follower.wait(11_000)
    assert len(follower.claims) > 1


def test_a_stale_answer_is_worth_no_more_than_its_record(
    follower: Any, record: Make
) -> None:
    dies(follower)
    number = follower.claims[-1].number
    follower.receive(Vote(Term(7), Index(9), Position(Term(6), Subterm(0))))
    follower.step(
        ClaimAnswered(follower.now_ms, number, ClaimStatus.OK, record(2, 2, 0, 1))
    )
    status = follower.core.status()
    assert status.role is Role.FOLLOWER
    assert status.record.version == 2


def test_a_claim_under_way_refuses_pre_votes(follower: Any) -> None:
    dies(follower)
    follower.receive(PreVote(Term(9), Index(9), Position(Term(8), Subterm(0))))
    assert not follower.last(PreVoteReply).granted


def test_a_peer_that_speaks_up_ends_the_rehearsal(follower: Any) -> None:
    follower.wait(400)
    number = follower.claims[-1].number
    follower.receive(PreVote(Term(2), Index(0), Position(Term(0), Subterm(0))))
    assert follower.last(PreVote).term == 2
    follower.step(ClaimAnswered(follower.now_ms, number, ClaimStatus.OK, None))
    assert len(follower.claims) == 1


def test_the_record_refuses_without_a_question_to_anybody(
    follower: Any, record: Make
) -> None:
    follower.step(RecordSeen(0, record(2, 1, 0, 2)))
    dies(follower)
    assert follower.core.status().mode is Mode.REFUSED
    assert follower.core.status().term == 1
    assert follower.claims[-1].rehearse, "but it looks for news, with pauses"


def test_an_empty_log_alone_waits_for_the_other(make: Make, record: Make) -> None:
    bench = make()
    bench.step(RecordSeen(0, record(1, 0, 0, 0)))
    bench.wait(500)
    bench.answer(ClaimStatus.REFUSED, record(1, 0, 0, 0))
    status = bench.core.status()
    assert (status.mode, status.term) == (Mode.ELECTING, 0)
    assert "both" in status.reason


def test_without_a_witness_nothing_is_claimed(make: Make, entry: MakeEntry) -> None:
    bench = make(entry(1, 0, 1), witness=False)
    dies(bench)
    bench.wait(3_000)
    assert not bench.claims
    assert bench.core.status().mode is Mode.ELECTING
    assert bench.last(PreVote)


def test_hand_over_needs_no_pre_vote(follower: Any) -> None:
    follower.receive(TimeoutNow(Term(1)))
    assert follower.last(Vote).transfer
    assert follower.core.status().term == 2


def test_a_member_that_stops_neither_campaigns_nor_claims(follower: Any) -> None:
    follower.step(StopRequested(0))
    dies(follower)
    follower.wait(5_000)
    follower.receive(TimeoutNow(Term(1)))
    assert not follower.claims
    assert follower.core.status().term == 1
