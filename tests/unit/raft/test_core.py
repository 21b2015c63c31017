from collections.abc import Callable
from typing import Any

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Index
from twofold.raft.types import (
    Applied,
    Compacted,
    Entry,
    EntryKind,
    Mode,
    Propose,
    ReadRequested,
    RecordSeen,
    Role,
    TimedOut,
)

Make = Callable[..., Any]
MakeEntry = Callable[..., Entry]


def test_clock_never_runs_backwards(make: Make) -> None:
    bench = make()
    bench.step(TimedOut(5))
    with pytest.raises(InvariantError):
        bench.step(TimedOut(4))


def test_single_member_leads_at_once_and_reads_locally(
    make: Make, entry: MakeEntry
) -> None:
    bench = make(entry(3, 0, 1), peer=0)
    assert bench.core.deadline_ms == 0
    bench.sync = False
    out = bench.step(TimedOut(0))
    assert out.hard_state == (4, 1)
    assert [e.kind for e in out.entries] == [EntryKind.EMPTY]
    assert not bench.committed, "nothing before our disk has it"
    bench.step(ReadRequested(0, 1))
    bench.persisted(out.entries[0])
    assert [e.index for e in bench.committed] == [1, 2]
    assert bench.reads == [(1, 2)]
    assert bench.core.status().mode is Mode.SINGLE
    assert bench.core.deadline_ms > 1_000
    out = bench.step(Propose(0, (b"a", b"b")))
    assert not bench.sent
    bench.persisted(out.entries[-1])
    assert [e.data for e in bench.committed[2:]] == [b"a", b"b"]


def test_a_member_that_does_not_lead_drops_proposals(make: Make) -> None:
    out = make().step(Propose(0, (b"a",)))
    assert out.dropped
    assert not out.entries


def test_reads_without_a_leader_ask_again(make: Make) -> None:
    bench = make()
    bench.step(ReadRequested(0, 7))
    assert bench.reads == [(7, 0)]


def test_the_driver_must_not_apply_or_compact_ahead(make: Make) -> None:
    with pytest.raises(InvariantError):
        make().step(Applied(0, Index(1)))
    with pytest.raises(InvariantError):
        make().step(Compacted(0, Index(1)))


def test_compaction_keeps_serving(make: Make) -> None:
    bench = make(peer=0)
    bench.step(TimedOut(0))
    bench.step(Propose(0, (b"a", b"b")))
    bench.step(Applied(0, Index(3)))
    bench.step(Compacted(0, Index(3)))
    out = bench.step(Propose(0, (b"c",)))
    assert [e.index for e in out.entries] == [4]
    status = bench.core.status()
    assert (status.applied_index, status.commit_index) == (3, 4)


def test_the_newest_record_is_kept(make: Make, record: Make) -> None:
    bench = make()
    bench.step(RecordSeen(0, record(5, 2, 0, 2)))
    bench.step(RecordSeen(0, record(4, 1, 0, 1)))
    assert bench.core.status().record.version == 5


def test_a_record_of_a_higher_term_ends_leadership(make: Make, record: Make) -> None:
    bench = make().elect()
    bench.step(RecordSeen(bench.now_ms, record(5, 9, 0, 2)))
    status = bench.core.status()
    assert (status.role, status.term) == (Role.FOLLOWER, 9)
    assert bench.hard_state == (9, 0)


def test_a_stalled_process_does_not_blame_its_peer(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    bench.now_ms += 5_000
    bench.step(TimedOut(bench.now_ms))
    assert not bench.claims, "first see what waits in the socket"
    bench.wait(200)
    assert len(bench.claims) == 1


def test_same_seed_same_steps(make: Make) -> None:
    one, two = make(), make()
    for bench in (one, two):
        bench.wait(3_000)
    assert one.sent == two.sent
    assert one.core.deadline_ms == two.core.deadline_ms
