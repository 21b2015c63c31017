from collections.abc import Callable
from typing import Any

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, Subterm, Term
from twofold.raft.types import (
    Append,
    AppendReply,
    Entry,
    Mode,
    Position,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    ReadRequested,
    Received,
    SnapshotInstalled,
    SnapshotRestored,
    Vote,
    VoteReply,
)

Make = Callable[..., Any]
MakeEntry = Callable[..., Entry]


def place(term: int, subterm: int = 0) -> Position:
    return Position(Term(term), Subterm(subterm))


def test_entries_are_acknowledged_only_with_the_disk(
    make: Make, entry: MakeEntry
) -> None:
    bench = make()
    bench.sync = False
    out = bench.append(1, (0, 0), entry(1, 0, 1))
    assert out.messages == [AppendReply(Term(1), True, Index(1), 0, None)]
    assert not out.appends
    assert out.hard_state == (1, 0)
    assert out.entries == [entry(1, 0, 1)]
    out = bench.append(1, (1, 1))
    assert out.appends == [AppendReply(Term(1), True, Index(0), 0, None)], (
        "a heartbeat claims no more than what is durable"
    )


def test_a_conflict_replaces_the_rest(make: Make, entry: MakeEntry) -> None:
    bench = make(entry(1, 0, 1), entry(1, 0, 2), entry(1, 0, 3))
    out = bench.append(2, (1, 1), entry(1, 0, 2), entry(2, 0, 3), entry(2, 0, 4))
    assert [e.index for e in out.entries] == [3, 4]
    assert bench.core.status().last_index == 4


def test_a_repeat_changes_nothing(make: Make, entry: MakeEntry) -> None:
    bench = make(entry(1, 0, 1), entry(1, 0, 2))
    out = bench.append(1, (0, 0), entry(1, 0, 1))
    assert not out.entries
    assert out.messages[-1].match == 1
    assert bench.core.status().last_index == 2


def test_a_gap_is_rejected_with_a_hint(make: Make, entry: MakeEntry) -> None:
    bench = make(entry(1, 0, 1), entry(2, 0, 2), entry(2, 0, 3))
    assert bench.append(3, (3, 9)).messages[-1] == AppendReply(
        Term(3), False, Index(3), 0, None
    )
    assert bench.append(3, (3, 3)).messages[-1].match == 1, "skips term 2"


def test_committed_entries_are_never_replaced(make: Make, entry: MakeEntry) -> None:
    bench = make()
    bench.append(1, (0, 0), entry(1, 0, 1))
    commit = Append(Term(1), Index(1), Term(1), (), Index(1), 0, False, None)
    bench.receive(commit)
    assert [e.index for e in bench.committed] == [1]
    with pytest.raises(InvariantError):
        bench.append(2, (0, 0), entry(2, 0, 1))


def test_nothing_is_shown_before_our_disk_has_it(make: Make, entry: MakeEntry) -> None:
    bench = make()
    bench.sync = False
    first = entry(1, 0, 1)
    bench.receive(
        Append(Term(1), Index(0), Term(0), (first,), Index(1), 0, False, None)
    )
    assert bench.core.status().commit_index == 1
    assert not bench.committed
    bench.persisted(first)
    assert bench.committed == [first]


def test_a_leader_of_the_past_is_told(make: Make) -> None:
    bench = make(term=5)
    out = bench.append(4, (0, 0))
    assert out.messages == [AppendReply(Term(5), False, Index(0), 0, None)]


def test_mode_says_whether_the_leader_waits_for_us(make: Make) -> None:
    bench = make()
    for solo, mode in ((True, Mode.LEARNER), (False, Mode.PAIR)):
        bench.receive(Append(Term(1), Index(0), Term(0), (), Index(0), 0, solo, None))
        assert bench.core.status().mode is mode


@pytest.mark.parametrize(
    ("last_index", "last", "granted"),
    [(2, place(2), True), (9, place(1, 9), False), (1, place(2), False)],
)
def test_votes_go_to_a_log_that_has_all_of_ours(
    make: Make, entry: MakeEntry, last_index: int, last: Position, granted: bool
) -> None:
    bench = make(entry(1, 0, 1), entry(2, 0, 2))
    bench.receive(PreVote(Term(3), Index(last_index), last))
    assert bench.last(PreVoteReply).granted is granted
    bench.receive(Vote(Term(3), Index(last_index), last))
    assert bench.last(VoteReply) == VoteReply(Term(3), granted)
    assert bench.hard_state == (3, 2 if granted else 0)


def test_one_vote_a_term(make: Make) -> None:
    bench = make(term=3, vote=1)
    bench.receive(Vote(Term(3), Index(9), place(2)))
    assert not bench.last(VoteReply).granted
    bench = make(term=3, vote=2)
    bench.receive(Vote(Term(3), Index(9), place(2)))
    assert bench.last(VoteReply).granted, "the same vote again"
    bench.receive(Vote(Term(2), Index(9), place(2)))
    assert bench.last(VoteReply) == VoteReply(Term(3), False)


def test_a_leader_refuses_pre_votes(make: Make) -> None:
    bench = make().elect()
    bench.receive(PreVote(Term(7), Index(99), place(6)))
    assert bench.last(PreVoteReply) == PreVoteReply(Term(1), False)
    assert bench.core.status().term == 1


def test_reads_go_to_the_leader(make: Make) -> None:
    bench = make()
    bench.append(1, (0, 0))
    bench.step(ReadRequested(0, 4))
    assert bench.last(ReadIndex) == ReadIndex(Term(1), 4)
    bench.receive(ReadIndexReply(Term(1), 4, Index(8)))
    bench.step(ReadRequested(0, 5))
    bench.wait(190)
    bench.append(1, (0, 0))
    bench.wait(20)
    assert bench.reads == [(4, 8), (5, 0)], "a lost question lapses"
    bench.step(ReadRequested(bench.now_ms, 6))
    bench.step(Received(bench.now_ms, Vote(Term(2), Index(0), place(0))))
    assert bench.reads[-1] == (6, 0), "and so does one of an older term"


def test_a_snapshot_replaces_the_log(make: Make, entry: MakeEntry) -> None:
    bench = make(entry(1, 0, 1))
    bench.append(3, (3, 50))
    bench.sent.clear()
    bench.step(SnapshotRestored(0, Index(40), place(3)))
    assert bench.last(SnapshotInstalled) == SnapshotInstalled(Term(3), Index(40))
    assert bench.core.status().applied_index == 40
    out = bench.append(3, (2, 39), entry(3, 0, 40), entry(3, 0, 41))
    assert [e.index for e in out.entries] == [41]
    assert bench.append(3, (1, 5)).appends[-1].match == 5


def test_a_snapshot_that_the_log_holds_keeps_the_tail(
    make: Make, entry: MakeEntry
) -> None:
    bench = make(*(entry(1, 0, i) for i in range(1, 5)))
    bench.append(1, (1, 4))
    assert bench.core.holds(Index(2), Term(1))
    assert not bench.core.holds(Index(2), Term(3))
    assert not bench.core.holds(Index(9), Term(1))
    out = bench.step(SnapshotRestored(0, Index(2), place(1)))
    assert [e.index for e in out.entries] == [3, 4], "written again"
    assert bench.core.status().last_index == 4
