"""Rules of linearizable reads."""

from twofold.base.errors import TwofoldError
from twofold.base.ids import Index
from twofold.member.facade import ReadTimedOut
from twofold.member.reads import Reads
from twofold.raft.types import ReadState

Answers = list[TwofoldError | None]


def test_a_read_waits_for_its_index_to_be_applied() -> None:
    reads, answers = Reads(), Answers()
    reads.add(answers.append, 100)
    context = reads.take_context()
    reads.resolve(ReadState(context, Index(5)), applied=4)
    assert answers == []
    reads.advance(5)
    assert answers == [None]


def test_a_read_that_comes_later_does_not_join_a_context_already_asked() -> None:
    reads, first, second = Reads(), Answers(), Answers()
    reads.add(first.append, 100)
    context = reads.take_context()
    reads.add(second.append, 100)
    reads.resolve(ReadState(context, Index(1)), applied=1)
    assert (first, second) == ([None], [])
    assert reads.waiting


def test_no_leader_means_ask_again_and_never_an_answer() -> None:
    reads, answers = Reads(), Answers()
    reads.add(answers.append, 100)
    reads.resolve(ReadState(reads.take_context(), Index(0)), applied=9)
    assert answers == []
    assert reads.waiting


def test_a_late_read_fails_wherever_it_waits() -> None:
    reads, answers = Reads(), Answers()
    for applied in (0, 1):
        reads.add(answers.append, 100)
        context = reads.take_context()
        if applied:
            reads.resolve(ReadState(context, Index(9)), applied)
    reads.add(answers.append, 100)
    reads.expire(100)
    assert [type(a) for a in answers] == [ReadTimedOut] * 3
