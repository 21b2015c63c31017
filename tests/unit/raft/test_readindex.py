from twofold.base.ids import Index
from twofold.raft.readindex import FollowerReads, LeaderReads
from twofold.raft.types import Effects


def test_a_round_confirms_only_what_asked_before_it() -> None:
    reads, out = LeaderReads(), Effects()
    reads.wait(1, 10, Index(5))
    reads.wait(2, 11, Index(6))
    reads.wait(2, 12, Index(6))
    reads.confirm(1, out)
    assert out.reads == [(10, 5)]
    reads.confirm(2, out)
    assert out.reads == [(10, 5), (11, 6), (12, 6)]


def test_all_lapse_with_the_leadership() -> None:
    reads, out = LeaderReads(), Effects()
    reads.wait(1, 10, Index(5))
    reads.early.append(11)
    reads.early_remote.append(12)
    reads.lapse(out)
    reads.confirm(9, out)
    assert out.reads == [(10, 0), (11, 0)]


def test_a_lost_request_lapses_and_a_late_answer_is_dropped() -> None:
    reads, out = FollowerReads(), Effects()
    reads.ask(1, 100)
    reads.ask(2, 150)
    assert reads.deadline_ms() == 100
    reads.expire(100, out)
    reads.answer(1, Index(7), out)
    reads.answer(2, Index(7), out)
    assert out.reads == [(1, 0), (2, 7)]
    assert reads.deadline_ms() is None
