"""The cache holds the latest values, never more than it may."""

from __future__ import annotations

from twofold.store.backend.cache import ValueCache


def value(number: int) -> dict[bytes, bytes]:
    return {b"%d" % number: b"x" * 850}


def test_the_oldest_leave_first() -> None:
    cache = ValueCache(10_000)
    for number in range(20):
        cache.remember(value(number))
    known = cache.get_many([b"%d" % number for number in range(20)])
    assert [found is not None for found in known] == [False] * 10 + [True] * 10


def test_a_value_counts_once() -> None:
    cache = ValueCache(10_000)
    for _ in range(50):
        cache.remember(value(1))
        cache.remember(value(2))
    assert cache.get(b"1") is not None
    assert cache.get(b"2") is not None


def test_a_large_lot_does_not_sweep_the_rest_out() -> None:
    cache = ValueCache(10_000)
    cache.remember(value(1))
    cache.remember({b"big%d" % number: b"x" * 1_000 for number in range(9)})
    assert cache.get(b"1") is not None
    assert cache.get(b"big1") is None
