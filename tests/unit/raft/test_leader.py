from collections.abc import Callable
from typing import Any

from twofold.base.ids import Index, Term
from twofold.raft.types import (
    Append,
    AppendReply,
    Applied,
    Compacted,
    Entry,
    EntryKind,
    PeerConnected,
    PeerDisconnected,
    Propose,
    ReadIndex,
    ReadIndexReply,
    ReadRequested,
    Role,
    SnapshotInstalled,
    SnapshotSent,
)

Make = Callable[..., Any]
MakeEntry = Callable[..., Entry]


def test_a_term_opens_with_an_empty_entry(make: Make) -> None:
    bench = make().elect()
    append = bench.last(Append)
    assert [(e.index, e.term, e.subterm, e.kind) for e in append.entries] == [
        (1, 1, 0, EntryKind.EMPTY)
    ]


def test_a_pair_commits_with_both_disks(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    bench.sync = False
    out = bench.step(Propose(bench.now_ms, (b"a",)))
    assert len(out.appends) == 1, "leaves before our own disk is done"
    bench.reply(2)
    assert bench.core.status().commit_index == 1
    bench.persisted(out.entries[0])
    assert [e.index for e in bench.committed] == [1, 2]
    bench.step(Propose(bench.now_ms, (b"b",)))
    assert bench.core.status().commit_index == 2


def test_an_older_term_commits_only_with_an_entry_of_ours(
    make: Make, entry: MakeEntry
) -> None:
    bench = make(entry(1, 0, 1), entry(1, 0, 2)).elect()
    bench.reply(2)
    assert bench.core.status().commit_index == 0
    bench.reply(3)
    assert bench.core.status().commit_index == 3


def test_each_entry_is_handed_out_once(make: Make) -> None:
    bench = make().elect()
    for index in (1, 1, 2):
        if index == 2:
            bench.step(Propose(bench.now_ms, (b"a",)))
        bench.reply(index)
        bench.reply(index)
    assert [e.index for e in bench.committed] == [1, 2]


def test_the_peer_hears_of_a_commit_when_nothing_else_is_on_the_way(
    make: Make,
) -> None:
    bench = make().elect()
    bench.reply(1)
    assert bench.last(Append).commit == 1


def test_a_read_waits_for_a_round_begun_after_it(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    bench.step(ReadRequested(bench.now_ms, 5))
    round_ = bench.last(Append).round
    bench.reply(1, round_ - 1)
    assert not bench.reads
    bench.step(ReadRequested(bench.now_ms, 6))
    bench.reply(1, round_)
    assert bench.reads == [(5, 1)]
    bench.reply(1, round_ + 1, ok=False)
    assert bench.reads == [(5, 1), (6, 1)], "a rejection proves as much"


def test_a_read_waits_for_the_first_commit_of_the_term(make: Make) -> None:
    bench = make().elect()
    bench.step(ReadRequested(bench.now_ms, 5))
    bench.reply(1)
    round_ = bench.last(Append).round
    assert not bench.reads
    bench.reply(1, round_)
    assert bench.reads == [(5, 1)]


def test_the_peers_question_confirms_by_itself(make: Make) -> None:
    bench = make().elect()
    bench.receive(ReadIndex(Term(1), 9))
    assert not bench.sent, "nothing of the term is committed yet"
    bench.reply(1)
    assert bench.last(ReadIndexReply) == ReadIndexReply(Term(1), 9, Index(1))
    bench.receive(ReadIndex(Term(1), 10))
    assert bench.last(ReadIndexReply).index == 1
    bench.receive(ReadIndex(Term(0), 11))
    assert bench.last(ReadIndexReply).index == 0


def test_reads_lapse_when_the_term_is_over(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    bench.step(ReadRequested(bench.now_ms, 5))
    bench.receive(AppendReply(Term(4), False, Index(0), 0, None))
    assert bench.reads == [(5, 0)]
    assert bench.core.status().role is Role.FOLLOWER


def test_a_rejection_moves_back_to_the_hint(make: Make, entry: MakeEntry) -> None:
    bench = make(*(entry(1, 0, i) for i in range(1, 6))).elect()
    bench.reply(2, ok=False)
    probe = bench.last(Append)
    assert (probe.prev_index, probe.entries) == (2, ())
    bench.reply(2, ok=False)
    assert not bench.sent, "the same news twice"
    bench.reply(2)
    assert [e.index for e in bench.last(Append).entries] == [3, 4, 5, 6]


def test_a_lost_append_is_found_by_the_heartbeat(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    bench.step(Propose(bench.now_ms, (b"a",)))
    bench.wait(55)
    assert bench.last(Append).prev_index == 2
    bench.reply(1, ok=False)
    bench.reply(1)
    assert [e.index for e in bench.last(Append).entries] == [2]


def test_a_new_link_starts_with_a_probe(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    bench.step(PeerDisconnected(bench.now_ms, dead=False))
    bench.step(Propose(bench.now_ms, (b"a",)))
    bench.sent.clear()
    bench.step(PeerConnected(bench.now_ms))
    assert bench.last(Append).prev_index == 1
    bench.reply(1)
    assert [e.index for e in bench.last(Append).entries] == [2]


def test_a_snapshot_is_asked_for_once(make: Make, entry: MakeEntry) -> None:
    bench = make(*(entry(1, 0, i) for i in range(1, 6))).elect()
    bench.reply(6)
    bench.step(Applied(bench.now_ms, Index(5)))
    bench.step(Compacted(bench.now_ms, Index(4)))
    bench.core._state.progress.match = 0  # As a new leader sees it.
    assert bench.reply(1, ok=False).send_snapshot
    assert not bench.reply(1, ok=False).send_snapshot
    bench.step(SnapshotSent(bench.now_ms, ok=False))
    assert not bench.reply(1, ok=False).send_snapshot, "not at once again"
    bench.wait(60)
    assert bench.reply(1, ok=False).send_snapshot
    bench.step(SnapshotSent(bench.now_ms, ok=True))
    bench.receive(SnapshotInstalled(bench.core.status().term, Index(5)))
    assert bench.last(Append).prev_index == 5
    bench.reply(5)
    assert [e.index for e in bench.last(Append).entries] == [6]


def test_large_backlogs_leave_in_batches(make: Make) -> None:
    bench = make().elect()
    bench.reply(1)
    out = bench.step(Propose(bench.now_ms, tuple(b"x" * 600_000 for _ in range(4))))
    assert [len(m.entries) for m in out.appends] == [1, 1, 1, 1]
