from collections.abc import Callable

import pytest

from twofold.base.ids import MemberId, Subterm, Term
from twofold.raft.epoch import (
    BACKOFF_MAX_MS,
    Backoff,
    HoldDown,
    may_lead_alone,
    refusal,
)
from twofold.raft.types import OwnerView, Position

MakeRecord = Callable[[int, int, int, int], OwnerView]
ME = MemberId(1)


@pytest.mark.parametrize(
    ("owner", "incarnation", "last", "allowed"),
    [
        (2, 100, (3, 1), False),  # equal is not beyond
        (2, 100, (3, 2), True),
        (2, 100, (4, 0), True),
        (2, 100, (2, 9), False),
        (1, 100, (1, 0), True),  # the owner may always claim again
        (1, 101, (1, 0), False),  # unless its disk is another one
        (1, 101, (3, 2), True),
    ],
)
def test_only_the_owner_or_a_log_beyond_may_lead(
    record: MakeRecord,
    owner: int,
    incarnation: int,
    last: tuple[int, int],
    allowed: bool,
) -> None:
    place = Position(Term(last[0]), Subterm(last[1]))
    assert may_lead_alone(record(1, 3, 1, owner), ME, incarnation, place) is allowed


def test_an_empty_log_is_not_beyond_an_empty_record(record: MakeRecord) -> None:
    nothing = Position(Term(0), Subterm(0))
    assert not may_lead_alone(record(1, 0, 0, 0), ME, 100, nothing)
    assert "both" in refusal(record(1, 0, 0, 0), nothing)
    assert "member 2" in refusal(record(1, 1, 0, 2), nothing)


def test_backoff_doubles_to_a_ceiling() -> None:
    backoff = Backoff()
    pauses = []
    for _ in range(7):
        backoff.fail(1_000, 0)
        pauses.append(backoff.until_ms - 1_000)
    assert pauses == [100, 200, 400, 800, 1_600, BACKOFF_MAX_MS, BACKOFF_MAX_MS]
    backoff.reset()
    assert backoff.until_ms == 0


def test_hold_down_doubles_with_flaps_and_decays() -> None:
    hold_down = HoldDown(1_000, 5_000)
    hold_down.enter_solo(0)
    assert hold_down.current_ms == 1_000
    seen = []
    for now_ms in (10_000, 20_000, 30_000, 40_000):
        hold_down.reopen(now_ms)
        hold_down.enter_solo(now_ms + 500)
        seen.append(hold_down.current_ms)
    assert seen == [2_000, 4_000, 5_000, 5_000]
    hold_down.reopen(50_000)
    hold_down.enter_solo(50_000 + 51_000)
    assert hold_down.current_ms == 2_500
    hold_down.reopen(200_000)
    hold_down.enter_solo(10_000_000)
    assert hold_down.current_ms == 1_000
