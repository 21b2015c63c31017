"""Pauses double up to a limit, and chance only shortens them."""

from __future__ import annotations

from twofold.base.backoff import Backoff


def test_pauses_double_to_the_limit_and_start_over() -> None:
    backoff = Backoff(50, 300, chance=lambda: 0.0)
    assert [backoff.next_ms() for _ in range(5)] == [50, 100, 200, 300, 300]
    backoff.reset()
    assert backoff.next_ms() == 50


def test_chance_takes_up_to_a_quarter_off() -> None:
    assert Backoff(100, 100, chance=lambda: 0.999).next_ms() == 76
