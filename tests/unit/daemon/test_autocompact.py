"""History goes by itself, never more of it than was asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twofold.base.errors import TwofoldError
from twofold.daemon.autocompact import AutoCompactor
from twofold.member.facade import RequestTimedOut
from twofold.proto import rpc_pb2
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import CompactOutcome, Outcome


class Member:
    """A store that says which revisions it was asked to forget."""

    def __init__(self) -> None:
        self.revision = 1
        self.leads = True
        self.fails = False
        self.asked: list[int] = []

    def propose(
        self,
        kind: CommandKind,
        body: bytes,
        done: Callable[[Outcome | TwofoldError], None],
        timeout_ms: int,
    ) -> None:
        assert kind is CommandKind.COMPACT
        assert timeout_ms > 0
        self.asked.append(rpc_pb2.CompactionRequest.FromString(body).revision)
        done(RequestTimedOut("late") if self.fails else CompactOutcome(1))

    def compactor(self, *, period_ms: int = 0, revisions: int = 0) -> AutoCompactor:
        return AutoCompactor(
            self.propose,
            lambda: self.revision,
            lambda: self.leads,
            period_ms=period_ms,
            revisions=revisions,
        )


def run(member: Member, compactor: AutoCompactor, minutes: int) -> None:
    """Ten writes a minute."""
    for minute in range(minutes):
        member.revision = 10 * minute + 1
        compactor.tick(minute * 60_000)


def test_without_a_retention_nothing_is_forgotten() -> None:
    member = Member()
    run(member, member.compactor(), 1000)
    assert member.asked == []


def test_a_period_keeps_what_is_younger() -> None:
    member = Member()
    run(member, member.compactor(period_ms=600_000), 13)
    # At minute 10, 11 and 12: what was newest ten minutes before.
    assert member.asked == [1, 11, 21]


def test_a_number_keeps_so_many_revisions() -> None:
    member = Member()
    run(member, member.compactor(revisions=50), 11)
    assert member.asked == [1, 51]


def test_a_follower_leaves_it_to_the_leader() -> None:
    member = Member()
    member.leads = False
    run(member, member.compactor(revisions=50), 100)
    assert member.asked == []


def test_nothing_new_is_nothing_to_do() -> None:
    member = Member()
    compactor = member.compactor(revisions=5)
    member.revision = 100
    for hour in range(5):
        compactor.tick(hour * 3_600_000)
    assert member.asked == [95]


def test_a_failure_is_made_good_later() -> None:
    member = Member()
    compactor = member.compactor(revisions=5)
    member.revision, member.fails = 100, True
    compactor.tick(0)
    member.fails = False
    compactor.tick(3_600_000)
    assert member.asked == [95, 95]


@pytest.mark.parametrize("period_ms", [1, 5, 10])
def test_a_tiny_period_still_waits_between_two(period_ms: int) -> None:
    member = Member()
    compactor = member.compactor(period_ms=period_ms)
    compactor.tick(0)
    compactor.tick(0)
    assert member.asked == []
