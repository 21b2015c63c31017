from collections.abc import Callable
from typing import Any

import pytest

from twofold.base.ids import Index, Term
from twofold.raft.types import (
    Append,
    AppendReply,
    ClaimAnswered,
    ClaimStatus,
    EntryKind,
    Mode,
    PeerAlive,
    PeerDisconnected,
    Propose,
    ReadRequested,
    Role,
    StopRequested,
    TimeoutNow,
    TransferRequested,
    Vote,
    VoteReply,
)

Make = Callable[..., Any]


@pytest.fixture
def leader(make: Make) -> Any:
    """Leads term 1 of a pair; the peer holds entry 1."""
    bench = make().elect()
    bench.reply(1)
    return bench


def dies(bench: Any) -> None:
    bench.step(PeerDisconnected(bench.now_ms, dead=True))


def healthy(bench: Any, duration_ms: int) -> None:
    """The peer answers all for a while."""
    end_ms = bench.now_ms + duration_ms
    while bench.now_ms < end_ms:
        bench.wait(20)
        bench.reply(bench.core.status().last_index)


def solo(bench: Any) -> Any:
    dies(bench)
    bench.answer(ClaimStatus.OK)
    assert bench.core.status().mode is Mode.SOLO
    return bench


def test_silence_claims_a_fresh_subterm(leader: Any) -> None:
    leader.wait(140)
    assert not leader.claims
    leader.wait(20)
    (claim,) = leader.claims
    assert (claim.term, claim.subterm, claim.sitting) == (1, 1, True)
    assert leader.core.status().mode is Mode.CLAIMING


def test_the_detector_keeps_the_peer_alive_for_a_while(leader: Any) -> None:
    for _ in range(20):
        leader.wait(30)
        leader.step(PeerAlive(leader.now_ms))
    assert not leader.claims
    for _ in range(20):
        leader.wait(30)
        leader.step(PeerAlive(leader.now_ms))
    assert leader.claims, "a link that carries nothing is as good as none"


def test_solo_commits_what_the_pair_could_not(leader: Any) -> None:
    leader.step(Propose(leader.now_ms, (b"a",)))
    leader.step(ReadRequested(leader.now_ms, 3))
    dies(leader)
    assert leader.core.status().commit_index == 1
    leader.answer(ClaimStatus.OK)
    assert leader.core.status().commit_index == 2
    assert leader.reads == [(3, 1)]
    out = leader.step(Propose(leader.now_ms, (b"b",)))
    assert (out.entries[0].term, out.entries[0].subterm) == (1, 1)
    leader.step(ReadRequested(leader.now_ms, 4))
    assert leader.reads[-1] == (4, 3)


def test_the_pair_rule_works_while_claiming(leader: Any) -> None:
    dies(leader)
    leader.step(Propose(leader.now_ms, (b"a",)))
    leader.reply(2)
    assert leader.core.status().commit_index == 2
    assert leader.core.status().mode is Mode.CLAIMING, "the claim may still win"


def test_another_owner_ends_the_tenure(leader: Any, record: Make) -> None:
    dies(leader)
    leader.answer(ClaimStatus.REFUSED, record(3, 2, 0, 2))
    status = leader.core.status()
    assert (status.role, status.term) == (Role.FOLLOWER, 2)


def test_an_odd_refusal_is_shown_and_tried_again(leader: Any, record: Make) -> None:
    dies(leader)
    number = leader.claims[-1].number
    leader.step(
        ClaimAnswered(
            leader.now_ms, number, ClaimStatus.REFUSED, None, "the record is foreign"
        )
    )
    status = leader.core.status()
    assert (status.role, status.reason) == (Role.LEADER, "the record is foreign")
    leader.wait(300)
    assert leader.claims[-1].subterm == 2


def test_every_try_has_its_own_subterm_with_pauses(leader: Any) -> None:
    dies(leader)
    for _ in range(5):
        leader.answer(ClaimStatus.UNREACHABLE)
        leader.wait(2_500)
    assert [c.subterm for c in leader.claims] == [1, 2, 3, 4, 5, 6]
    assert len({c.number for c in leader.claims}) == 6


def test_only_the_outstanding_claim_counts(leader: Any, record: Make) -> None:
    dies(leader)
    first = leader.claims[-1].number
    leader.answer(ClaimStatus.UNREACHABLE)
    leader.wait(300)
    late = ClaimAnswered(leader.now_ms, first, ClaimStatus.OK, record(2, 1, 1, 1))
    leader.step(late)
    status = leader.core.status()
    assert (status.mode, status.record.version) == (Mode.CLAIMING, 2)


def test_a_claim_of_an_older_term_does_not_count(leader: Any) -> None:
    dies(leader)
    leader.receive(AppendReply(Term(3), False, Index(0), 0, None))
    leader.answer(ClaimStatus.OK)
    assert leader.core.status().role is Role.FOLLOWER


def test_a_pair_resumed_after_a_failed_claim_gets_a_marker(leader: Any) -> None:
    dies(leader)
    leader.answer(ClaimStatus.UNREACHABLE)
    leader.reply(1)
    status = leader.core.status()
    assert (status.mode, status.subterm) == (Mode.PAIR, 2), "beyond what may land"
    assert not status.peer_promotable
    leader.reply(2)
    assert leader.core.status().peer_promotable


def test_solo_ends_after_the_hold_down_with_a_marker(leader: Any) -> None:
    solo(leader)
    leader.step(Propose(leader.now_ms, (b"a",)))
    healthy(leader, 900)
    assert leader.core.status().mode is Mode.SOLO
    leader.wait(60)
    assert leader.last(Append).solo
    healthy(leader, 200)
    status = leader.core.status()
    assert (status.mode, status.subterm, status.last_index) == (Mode.PAIR, 2, 3)
    assert status.peer_promotable
    assert leader.committed[-1].kind is EntryKind.EMPTY
    leader.step(Propose(leader.now_ms, (b"b",)))
    assert leader.core.status().commit_index == 3, "both disks count again"
    leader.step(ReadRequested(leader.now_ms, 8))
    assert not leader.reads, "and so does the peer's word"
    assert len(leader.claims) == 1, "the way back needs no witness"


def test_a_flap_starts_the_hold_down_anew(leader: Any) -> None:
    solo(leader)
    healthy(leader, 900)
    leader.wait(200)
    healthy(leader, 900)
    assert leader.core.status().mode is Mode.SOLO
    healthy(leader, 200)
    assert leader.core.status().mode is Mode.PAIR


def test_a_peer_that_lags_does_not_count_yet(leader: Any) -> None:
    solo(leader)
    leader.step(Propose(leader.now_ms, tuple(b"x" for _ in range(50))))
    for _ in range(100):
        leader.wait(20)
        leader.reply(1)
    assert leader.core.status().mode is Mode.SOLO


def test_a_peer_that_stores_nothing_is_lost_too(leader: Any) -> None:
    leader.step(Propose(leader.now_ms, (b"a",)))
    for _ in range(100):
        leader.wait(20)
        leader.reply(1)
    assert leader.claims


def test_our_own_slow_disk_claims_nothing(leader: Any) -> None:
    leader.sync = False
    leader.step(Propose(leader.now_ms, (b"a",)))
    for _ in range(100):
        leader.wait(20)
        leader.reply(2)
    assert not leader.claims


def test_stop_hands_over_and_claims_no_more(leader: Any) -> None:
    leader.sent.clear()
    leader.step(StopRequested(leader.now_ms))
    assert leader.last(TimeoutNow).term == 1
    assert leader.step(Propose(leader.now_ms, (b"a",))).dropped
    leader.receive(Vote(Term(2), Index(1), leader.core._state.log.last_position, True))
    assert leader.last(VoteReply).granted
    dies(leader)
    leader.wait(3_000)
    assert not leader.claims


def test_hand_over_waits_until_the_peer_has_all(leader: Any) -> None:
    leader.step(Propose(leader.now_ms, (b"a",)))
    leader.sent.clear()
    leader.step(TransferRequested(leader.now_ms))
    assert not [m for m in leader.sent if isinstance(m, TimeoutNow)]
    leader.reply(2)
    assert leader.last(TimeoutNow)


def test_hand_over_that_fails_gives_writes_free_again(leader: Any) -> None:
    leader.step(TransferRequested(leader.now_ms))
    healthy(leader, 1_100)
    assert not leader.step(Propose(leader.now_ms, (b"a",))).dropped


def test_solo_reopens_before_it_hands_over(leader: Any) -> None:
    solo(leader)
    healthy(leader, 100)
    leader.sent.clear()
    leader.step(StopRequested(leader.now_ms))
    assert leader.core.status().mode is Mode.PAIR
    assert leader.last(Append).entries[-1].kind is EntryKind.EMPTY
    leader.reply(leader.core.status().last_index)
    assert leader.last(TimeoutNow)


def test_the_record_travels_until_the_peer_has_it(leader: Any, record: Make) -> None:
    solo(leader)
    seen = record(2, 1, 1, 1)
    leader.step(ClaimAnswered(leader.now_ms, 99, ClaimStatus.OK, seen))
    leader.wait(60)
    assert leader.last(Append).record == seen
    leader.receive(AppendReply(Term(1), True, Index(1), 0, seen))
    leader.wait(60)
    assert leader.last(Append).record is None


def test_a_leader_with_a_hung_disk_falls_silent(leader: Any) -> None:
    leader.sync = False
    out = leader.step(Propose(leader.now_ms, (b"a",)))
    for _ in range(200):
        leader.wait(20)
        leader.reply(2)
    assert leader.core.status().role is Role.FOLLOWER
    leader.receive(Vote(Term(2), Index(2), leader.core._state.log.last_position))
    assert not leader.sent
    assert leader.core.status().term == 1
    leader.persisted(out.entries[0])
    leader.receive(Vote(Term(2), Index(2), leader.core._state.log.last_position))
    assert leader.last(VoteReply).granted


def test_a_hung_disk_of_a_solo_leader_has_no_replacement(leader: Any) -> None:
    solo(leader)
    leader.sync = False
    leader.step(Propose(leader.now_ms, (b"a",)))
    leader.wait(5_000)
    assert leader.core.status().role is Role.LEADER


def test_an_empty_peer_gets_nothing_before_the_record_is_ours(
    make: Make, entry: Make
) -> None:
    bench = make(entry(1, 0, 1), entry(1, 0, 2)).elect()
    bench.reply(0, ok=False)
    bench.wait(60)
    assert bench.claims[-1].sitting
    for status in (ClaimStatus.UNREACHABLE, ClaimStatus.OK):
        for _ in range(20):
            bench.reply(0, ok=False)
            assert not [m for m in bench.sent if isinstance(m, Append) and m.entries]
            bench.wait(30)
        bench.answer(status)
    assert bench.core.status().mode is Mode.SOLO
    bench.reply(0, ok=False)
    bench.reply(0)
    assert [e.index for e in bench.last(Append).entries] == [1, 2, 3]
