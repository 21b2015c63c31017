"""A command counts once, however often it is proposed."""

from __future__ import annotations

from twofold.store.apply.dedupe import ORIGINS_MAX, Dedupe


def test_a_sequence_counts_once_and_in_any_order() -> None:
    dedupe = Dedupe()
    dedupe.begin(((7, 1),))
    assert [dedupe.first_time(7, number) for number in (3, 1, 3, 2, 1)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert dedupe.first_time(8, 3)


def test_below_the_floor_everything_has_been_answered() -> None:
    dedupe = Dedupe()
    dedupe.begin(((7, 5),))
    assert not dedupe.first_time(7, 4)
    assert dedupe.first_time(7, 5)
    dedupe.begin(((7, 2),))
    assert not dedupe.first_time(7, 4)


def test_only_the_newest_origins_are_remembered() -> None:
    dedupe = Dedupe()
    for origin in range(ORIGINS_MAX):
        dedupe.begin(((origin, 1),))
        dedupe.first_time(origin, 1)
    dedupe.begin(((0, 1),))
    dedupe.begin(((99, 1),))
    # Origin 1 is the one not heard of for longest.
    assert not dedupe.first_time(0, 1)
    assert not dedupe.first_time(2, 1)
    assert dedupe.first_time(1, 1)


def test_it_is_the_same_after_a_restart() -> None:
    dedupe = Dedupe()
    dedupe.begin(((7, 1), (8, 3)))
    for number in (1, 2, 9):
        dedupe.first_time(7, number)
    dedupe.begin(((7, 2),))
    data = dedupe.pack()
    again = Dedupe(data)
    assert again.pack() == data
    assert not again.first_time(7, 1)
    assert not again.first_time(7, 9)
    assert again.first_time(7, 3)
    assert not again.first_time(8, 2)


def test_many_applied_sequences_are_pruned_by_the_floor() -> None:
    dedupe = Dedupe()
    for number in range(1, 10_001):
        if number % 100 == 1:
            dedupe.begin(((7, number),))
        assert dedupe.first_time(7, number)
    assert len(dedupe.pack()) < 2_000
