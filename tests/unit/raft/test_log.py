from collections.abc import Callable

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, Subterm, Term
from twofold.raft.log import Log
from twofold.raft.types import NO_INDEX, ORIGIN, Entry, Position

MakeEntry = Callable[..., Entry]


@pytest.fixture
def log(entry: MakeEntry) -> Log:
    return Log(NO_INDEX, ORIGIN, [entry(1, 0, 1), entry(1, 0, 2), entry(2, 1, 3)])


def test_knows_its_last_place(log: Log) -> None:
    assert log.last_index == log.persisted == 3
    assert log.last_position == Position(Term(2), Subterm(1))
    assert [log.term_at(i) for i in range(5)] == [0, 1, 1, 2, None]


def test_refuses_a_gap(log: Log, entry: MakeEntry) -> None:
    with pytest.raises(InvariantError):
        log.append([entry(2, 1, 5)])


def test_cut_takes_back_what_was_durable(log: Log, entry: MakeEntry) -> None:
    log.cut(2)
    assert (log.last_index, log.persisted) == (1, 1)
    log.append([entry(3, 0, 2)])
    assert not log.persist(Index(2), Term(1)), "a sync of the replaced entry"
    assert log.persist(Index(2), Term(3))
    assert log.persisted == 2


def test_compact_keeps_the_place_before(log: Log) -> None:
    log.compact(Index(2))
    assert (log.snapshot_index, log.term_at(2), log.term_at(1)) == (2, 1, None)
    assert [e.index for e in log.slice(3, 3)] == [3]
    log.compact(Index(1))
    assert log.snapshot_index == 2
    log.compact(Index(3))
    assert log.last_position == Position(Term(2), Subterm(1))


def test_restore_keeps_a_tail_that_fits(log: Log) -> None:
    log.restore(Index(2), Position(Term(1), Subterm(0)))
    assert (log.last_index, log.snapshot_index) == (3, 2)


def test_restore_replaces_a_log_that_does_not_fit(log: Log) -> None:
    log.restore(Index(9), Position(Term(4), Subterm(0)))
    assert (log.last_index, log.persisted, log.term_at(9)) == (9, 9, 4)
    assert log.term_at(3) is None


def test_batch_has_at_least_one_entry(entry: MakeEntry) -> None:
    log = Log(NO_INDEX, ORIGIN, [entry(1, 0, i, b"x" * 10) for i in range(1, 6)])
    assert [e.index for e in log.batch(2, 25)] == [2, 3]
    assert [e.index for e in log.batch(2, 1)] == [2]
    assert [e.index for e in log.batch(4, 1000)] == [4, 5]


def test_before_term_skips_the_whole_run(log: Log) -> None:
    assert log.before_term(2) == 0
    assert log.before_term(3) == 2
