"""Rules of the loop around the core."""

from __future__ import annotations

import pytest

from twofold.base.errors import Failure
from twofold.base.ids import Index, Subterm, Term
from twofold.member import checkpoints
from twofold.member.checkpoints import Backlog, Checkpointer
from twofold.member.driver import Driver
from twofold.member.reads import Reads
from twofold.raft.types import (
    NO_INDEX,
    Append,
    AppendReply,
    Entry,
    EntryKind,
    PreVoteReply,
    Role,
    TransferRequested,
    VoteReply,
)
from twofold.store.apply.commands import Command, CommandKind, pack
from twofold.store.backend.memory import MemoryBackend
from twofold.testing.fakes_member import HeldLog, StillClock, paired_driver


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def log() -> HeldLog:
    return HeldLog()


def lead(one: Driver, log: HeldLog, clock: StillClock) -> None:
    """Let the peer vote for it and take its first entry."""
    one.connected()
    for _ in range(20):
        clock.now += 20
        one.tick()
    one.receive([PreVoteReply(Term(1), granted=True)])
    log.sync()
    one.receive([VoteReply(Term(1), granted=True)])
    log.sync()
    one.receive([AppendReply(Term(1), True, Index(1), 0, None)])
    assert one.core.role is Role.LEADER
    assert one.applied_index == 1


def propose(one: Driver, log: HeldLog) -> None:
    one.proposals.add(CommandKind.PUT, b"x" * 100, lambda _: None, 1 << 40)
    one.turn()
    log.sync()


def test_a_leader_that_cannot_commit_takes_only_so_much(
    log: HeldLog, clock: StillClock
) -> None:
    one = paired_driver(log, clock)
    one.uncommitted_bytes_max = 1_000
    lead(one, log, clock)
    for _ in range(50):
        propose(one, log)
    assert one.core.status().last_index < 15
    assert one.proposals.waiting
    last = one.core.status().last_index
    clock.now += 1
    one.receive([AppendReply(Term(1), True, last, 0, None)])
    for turn in clock.turns:
        turn()
    assert not one.proposals.waiting


def test_a_hand_over_that_fails_loses_no_forwarded_command(
    log: HeldLog, clock: StillClock
) -> None:
    one = paired_driver(log, clock)
    lead(one, log, clock)
    one.step(TransferRequested(clock.now))
    command = Command(8, 1, CommandKind.PUT, b"")
    one.receive_forwarded(pack([(8, 1)], [command]))
    one.turn()
    assert one.core.status().last_index == 1
    assert one.proposals.waiting
    for _ in range(20):
        clock.now += 100
        one.receive([AppendReply(Term(1), True, Index(1), 0, None)])
        one.tick()
    assert one.core.status().last_index == 2


def test_reads_that_nobody_confirms_gather_in_few_contexts(
    log: HeldLog, clock: StillClock
) -> None:
    one = paired_driver(log, clock)
    one.reads = Reads(asked_max=3)
    lead(one, log, clock)
    answers: list[object] = []
    for _ in range(9):
        one.reads.add(answers.append, 1 << 40)
        one.turn()
    one.receive([AppendReply(Term(1), True, Index(1), 3, None)])
    assert len(answers) == 3
    one.turn()
    one.receive([AppendReply(Term(1), True, Index(1), 4, None)])
    assert answers == [None] * 9


def follow(one: Driver, log: HeldLog, first: int, last: int) -> None:
    """Take entries of the leader, committed at once."""
    entries = tuple(
        Entry(Index(i), Term(1), Subterm(0), EntryKind.COMMANDS, pack([], []))
        for i in range(first, last + 1)
    )
    before = Term(1) if first > 1 else Term(0)
    append = Append(
        Term(1), Index(first - 1), before, entries, Index(last), 0, True, None
    )
    one.receive([append])
    log.sync()


def test_entries_kept_for_the_peer_are_bounded_in_bytes(
    log: HeldLog, clock: StillClock
) -> None:
    one = paired_driver(log, clock)
    checkpointer = Checkpointer(
        one, log, lambda callback: callback(), 1 << 40, 1 << 40, lambda _: None
    )
    checkpointer.backlog = Backlog(bytes_max=100)
    log.on_mark = checkpointer.marked
    for first in range(1, 101, 10):
        follow(one, log, first, first + 9)
        assert checkpointer.start()
    assert one.applied_index == 100
    assert not one.core.holds(Index(70), Term(1))
    assert one.core.holds(Index(95), Term(1))


def test_a_checkpoint_that_failed_is_not_tried_again_at_once(
    log: HeldLog, clock: StillClock
) -> None:
    one = paired_driver(log, clock)
    backend = MemoryBackend(deferred=True)
    one.applier.restore(backend)
    failures: list[Failure] = []
    checkpointer = Checkpointer(
        one, log, lambda callback: callback(), 1, 1 << 40, failures.append
    )
    log.on_mark = checkpointer.marked
    follow(one, log, 1, 5)
    checkpointer.look()
    assert backend.checkpointing
    backend.finish(Failure("the disk is full"))
    assert len(failures) == 1
    checkpointer.look()
    assert not backend.checkpointing
    clock.now += checkpoints.RETRY_MS
    checkpointer.look()
    backend.finish()
    assert checkpointer.index == 5


def test_a_snapshot_empties_the_log_only_if_it_does_not_fit(
    log: HeldLog, clock: StillClock
) -> None:
    ahead = paired_driver(HeldLog(), clock)
    ahead_log = HeldLog()
    ahead.log = ahead_log
    ahead_log.on_tickets = ahead.durable
    follow(ahead, ahead_log, 1, 5)
    ahead.applier.backend.checkpoint(lambda _failure: None)
    for has_tail, reset in ((True, False), (False, True)):
        log = HeldLog()
        one = paired_driver(log, clock)
        if has_tail:
            entries = tuple(
                Entry(Index(i), Term(1), Subterm(0), EntryKind.COMMANDS, pack([], []))
                for i in range(1, 9)
            )
            append = Append(
                Term(1), NO_INDEX, Term(0), entries, NO_INDEX, 0, True, None
            )
            one.receive([append])
            log.sync()
        one.restored(ahead.applier.backend)
        assert log.marks == [(5, (1, 0), reset)]
        assert one.core.status().last_index == (8 if has_tail else 5)


def test_a_peer_that_is_here_keeps_what_came_during_its_snapshot() -> None:
    for here, expected in ((True, 0), (False, 25_000)):
        kept = Backlog().keep_from(Index(30_000), NO_INDEX, 0, here=here)
        assert kept == expected
    backlog = Backlog(bytes_max=10, catching_up_bytes_max=100)
    backlog.note(Index(1_000), 50)
    backlog.note(Index(2_000), 90)
    assert backlog.keep_from(Index(2_000), NO_INDEX, 150, here=True) == 0
    assert backlog.keep_from(Index(2_000), NO_INDEX, 151, here=True) == 1_000
    assert backlog.keep_from(Index(2_000), NO_INDEX, 151, here=False) == 2_000
