"""Watch rules."""

from __future__ import annotations

import random

import pytest

from twofold.proto.rpc_pb2 import WatchResponse
from twofold.store.backend.memory import MemoryBackend
from twofold.store.lease.lessor import Lessor
from twofold.store.mvcc.store import MvccStore
from twofold.store.mvcc.watch import Group, Watcher

Seen = tuple[int, str, bytes, bytes | None]


class Recorder:
    """A sink that keeps everything; may stall after so many calls."""

    def __init__(self, store: MvccStore, calls_until_full: int = -1) -> None:
        self.store = store
        self.seen: list[Seen] = []
        self.calls: list[tuple[int, list[int]]] = []
        self.compact_revision = 0
        self.calls_until_full = calls_until_full
        self.refuses = False

    def events(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
        if self.calls_until_full == 0 and self.refuses:
            self.store.hub.stall(watcher, groups[0][0])
            return
        self.calls.append((revision, [main for main, _ in groups]))
        for main, data in groups:
            for event in WatchResponse.FromString(data).events:
                kind = "delete" if event.type else "put"
                assert event.kv.mod_revision == main
                previous = event.prev_kv.value if event.HasField("prev_kv") else None
                self.seen.append((main, kind, event.kv.key, previous))
        self.calls_until_full -= 1
        if self.calls_until_full == 0:
            self.store.hub.stall(watcher)

    def compacted(self, watcher: Watcher, compact_revision: int) -> None:
        self.compact_revision = compact_revision


@pytest.fixture
def store() -> MvccStore:
    backend = MemoryBackend()
    return MvccStore(backend, Lessor(backend))


def catch_up(store: MvccStore, budget: int = 1_000) -> None:
    for _ in range(100):
        if not store.hub.catch_up(budget):
            return
    raise AssertionError("it never ends")


def test_a_watch_from_now_on_gets_what_comes(store: MvccStore) -> None:
    store.put(b"k", b"before")
    sink = Recorder(store)
    watcher = store.hub.watch(sink, 0, b"k")
    store.put(b"other", b"v")
    store.put(b"k", b"1")
    assert sink.seen == []
    store.hub.notify()
    assert sink.seen == [(4, "put", b"k", None)]
    store.delete_range(b"k")
    store.hub.notify()
    assert sink.seen[1:] == [(5, "delete", b"k", None)]
    store.hub.cancel(watcher)
    store.hub.cancel(watcher)
    store.put(b"k", b"2")
    store.hub.notify()
    assert len(sink.seen) == 2
    assert len(store.hub) == 0


def test_what_was_applied_but_not_delivered_is_before_the_watch(
    store: MvccStore,
) -> None:
    store.put(b"k", b"v")
    sink = Recorder(store)
    store.hub.watch(sink, 0, b"k")
    store.hub.notify()
    assert sink.seen == []


def test_ranges_filters_and_previous_values(store: MvccStore) -> None:
    sinks = [Recorder(store) for _ in range(6)]
    watch = store.hub.watch
    watch(sinks[0], 0, b"b", b"d")
    watch(sinks[1], 0, b"b", b"\0")
    watch(sinks[2], 0, b"\0", b"\0", prev_kv=True)
    watch(sinks[3], 0, b"b", b"d", no_put=True)
    watch(sinks[4], 0, b"b", b"d", no_delete=True)
    watch(sinks[5], 0, b"c", prev_kv=True)
    for key in (b"a", b"b", b"c", b"d"):
        store.put(key, b"1")
    store.put(b"c", b"2")
    store.delete_range(b"c")
    store.hub.notify()

    def keys(sink: Recorder) -> bytes:
        return b"".join(key for _, _, key, _ in sink.seen)

    assert [keys(sink) for sink in sinks] == [
        b"bccc",
        b"bcdcc",
        b"abcdcc",
        b"c",
        b"bcc",
        b"ccc",
    ]
    assert [previous for *_, previous in sinks[5].seen] == [None, b"1", b"2"]


def test_one_delivery_holds_whole_revisions_in_order(store: MvccStore) -> None:
    sink = Recorder(store)
    store.hub.watch(sink, 0, b"a", b"z")
    for key in (b"a", b"b", b"c"):
        store.put(key, b"v")
    store.delete_range(b"a", b"z")
    store.hub.notify()
    assert sink.calls == [(5, [2, 3, 4, 5])]
    assert [key for main, _, key, _ in sink.seen if main == 5] == [b"a", b"b", b"c"]


def test_a_watch_from_the_past_catches_up_in_batches(store: MvccStore) -> None:
    for number in range(10):
        store.put(b"k%d" % (number % 2), b"%d" % number)
    sink = Recorder(store)
    watcher = store.hub.watch(sink, 0, b"k0", start_revision=3, prev_kv=True)
    assert not store.hub.synced([watcher])
    assert sink.seen == []
    assert store.hub.catch_up(4)
    assert sink.calls == [(11, [4, 6])]
    store.put(b"k0", b"new")
    catch_up(store, 4)
    assert [main for main, *_ in sink.seen] == [4, 6, 8, 10, 12]
    assert [previous for *_, previous in sink.seen] == [b"0", b"2", b"4", b"6", b"8"]
    assert store.hub.synced([watcher])


def test_a_previous_value_that_is_compacted_is_left_out(store: MvccStore) -> None:
    for number in range(4):
        store.put(b"k", b"%d" % number)
    store.compact(3)
    while store.compact_step(10):
        pass
    sink = Recorder(store)
    store.hub.watch(sink, 0, b"k", start_revision=3, prev_kv=True)
    catch_up(store)
    assert [previous for *_, previous in sink.seen] == [None, b"1", b"2"]


def test_a_waiting_event_keeps_its_previous_value_from_compaction(
    store: MvccStore,
) -> None:
    sink = Recorder(store)
    store.hub.watch(sink, 0, b"k", prev_kv=True)
    store.put(b"k", b"1")
    store.put(b"k", b"2")
    store.compact(3)
    while store.compact_step(10):
        pass
    assert [previous for *_, previous in sink.seen] == [None, b"1"]


def test_a_start_below_the_compact_revision_ends_the_watch(store: MvccStore) -> None:
    for _ in range(4):
        store.put(b"k", b"v")
    store.compact(4)
    late, exact = Recorder(store), Recorder(store)
    store.hub.watch(late, 0, b"k", start_revision=3)
    store.hub.watch(exact, 1, b"k", start_revision=4)
    catch_up(store)
    assert (late.compact_revision, late.seen) == (4, [])
    assert (exact.compact_revision, len(exact.seen)) == (0, 2)
    assert len(store.hub) == 1


def test_a_start_in_the_future_is_silent_until_then(store: MvccStore) -> None:
    sink = Recorder(store)
    watcher = store.hub.watch(sink, 0, b"k", start_revision=4)
    assert not store.hub.synced([watcher])
    for _ in range(4):
        store.put(b"k", b"v")
        store.hub.notify()
    assert [main for main, *_ in sink.seen] == [4, 5]
    assert store.hub.synced([watcher])


def test_progress_is_never_ahead_of_an_event(store: MvccStore) -> None:
    sink = Recorder(store)
    watcher = store.hub.watch(sink, 0, b"k")
    store.put(b"k", b"v")
    assert store.hub.synced([watcher])
    assert len(sink.seen) == 1


def test_a_full_sink_goes_on_where_it_stopped(store: MvccStore) -> None:
    behind: list[bool] = []
    store.hub.on_behind = lambda: behind.append(True)
    sink = Recorder(store, calls_until_full=1)
    watcher = store.hub.watch(sink, 0, b"k")
    for number in range(4):
        store.put(b"k", b"%d" % number)
        store.hub.notify()
    assert [main for main, *_ in sink.seen] == [2]
    assert not store.hub.synced([watcher])
    assert not store.hub.catch_up()
    store.hub.resume(watcher)
    assert behind == [True]
    catch_up(store)
    assert [main for main, *_ in sink.seen] == [2, 3, 4, 5]
    store.put(b"k", b"4")
    store.hub.notify()
    assert [main for main, *_ in sink.seen] == [2, 3, 4, 5, 6]


def test_a_sink_may_refuse_what_it_was_given(store: MvccStore) -> None:
    sink = Recorder(store, calls_until_full=0)
    sink.refuses = True
    watcher = store.hub.watch(sink, 0, b"k")
    store.put(b"k", b"v")
    store.hub.notify()
    assert sink.seen == []
    sink.refuses = False
    store.hub.resume(watcher)
    catch_up(store)
    assert [main for main, *_ in sink.seen] == [2]


def test_a_quiet_watch_that_stalls_needs_no_old_history(store: MvccStore) -> None:
    sink = Recorder(store)
    watcher = store.hub.watch(sink, 0, b"k")
    for _ in range(5):
        store.put(b"other", b"v")
    store.hub.notify()
    store.put(b"k", b"1")
    # Not delivered yet: this it still needs.
    store.hub.stall(watcher)
    store.hub.notify()
    store.compact(6)
    store.hub.resume(watcher)
    catch_up(store)
    assert (sink.seen, sink.compact_revision) == ([(7, "put", b"k", None)], 0)


def test_a_sink_may_stall_another_that_waits_for_the_same(store: MvccStore) -> None:
    watchers: list[Watcher] = []

    class Staller(Recorder):
        def events(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
            super().events(watcher, revision, groups)
            for other in watchers:
                self.store.hub.stall(other)

    sinks = [Staller(store), Staller(store)]
    watchers += [store.hub.watch(sink, 0, b"k") for sink in sinks]
    store.put(b"k", b"v")
    store.hub.notify()
    assert sorted(len(sink.seen) for sink in sinks) == [0, 1]
    for watcher in watchers:
        store.hub.resume(watcher)
    catch_up(store)
    assert [len(sink.seen) for sink in sinks] == [1, 1]


def test_a_sink_may_cancel_another_from_within(store: MvccStore) -> None:
    watchers: list[Watcher] = []

    class Canceller(Recorder):
        def events(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
            super().events(watcher, revision, groups)
            for other in watchers:
                self.store.hub.cancel(other)

    sinks = [Canceller(store), Canceller(store)]
    watchers += [store.hub.watch(sink, 0, b"k") for sink in sinks]
    store.put(b"k", b"v")
    store.hub.notify()
    assert sorted(len(sink.seen) for sink in sinks) == [0, 1]


def test_watchers_with_equal_options_share_one_delivery(store: MvccStore) -> None:
    class Keeper(Recorder):
        def events(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
            self.groups = groups

    sinks = [Keeper(store) for _ in range(3)]
    for sink in sinks:
        store.hub.watch(sink, 0, b"a", b"z")
    store.put(b"k", b"v")
    store.hub.notify()
    assert sinks[0].groups is sinks[1].groups is sinks[2].groups


def test_watchers_go_on_after_a_snapshot(store: MvccStore) -> None:
    sink = Recorder(store)
    watcher = store.hub.watch(sink, 0, b"k")
    store.put(b"k", b"1")
    store.hub.notify()
    other_backend = MemoryBackend()
    other = MvccStore(other_backend, Lessor(other_backend))
    for number in range(1, 4):
        other.put(b"k", b"%d" % number)
    other_backend.checkpoint(lambda _failure: None)
    store.restore(MemoryBackend(other_backend.disk))
    assert not watcher.synced
    catch_up(store)
    assert [main for main, *_ in sink.seen] == [2, 3, 4]


def test_a_quiet_watch_survives_a_compacted_snapshot(store: MvccStore) -> None:
    sink = Recorder(store)
    store.hub.watch(sink, 0, b"k")
    other_backend = MemoryBackend()
    other = MvccStore(other_backend, Lessor(other_backend))
    for either in (store, other):
        for _ in range(5):
            either.put(b"other", b"v")
    store.hub.notify()
    other.put(b"k", b"1")
    other.compact(7)
    other_backend.checkpoint(lambda _failure: None)
    store.restore(MemoryBackend(other_backend.disk))
    catch_up(store)
    assert (sink.seen, sink.compact_revision) == ([(7, "put", b"k", None)], 0)


@pytest.mark.parametrize("seed", range(15))
def test_every_watch_gets_exactly_its_events_however_it_is_served(seed: int) -> None:
    chance = random.Random(seed)
    backend = MemoryBackend()
    store = MvccStore(backend, Lessor(backend))
    log: list[tuple[int, str, bytes]] = []
    watches: list[tuple[Recorder, Watcher, int]] = []
    for _ in range(150):
        dice = chance.random()
        key = b"%d" % chance.randrange(6)
        if dice < 0.45:
            store.put(key, b"v")
            log.append((store.current_revision, "put", key))
        elif dice < 0.6:
            if store.delete_range(key)[1]:
                log.append((store.current_revision, "delete", key))
        elif dice < 0.7:
            start = chance.choice([0, chance.randrange(1, store.current_revision + 3)])
            end = chance.choice([b"", b"\0", b"%d" % chance.randrange(1, 9)])
            sink = Recorder(store, chance.choice([-1, 2]))
            watcher = store.hub.watch(sink, 0, key, end, start)
            watches.append((sink, watcher, start or store.current_revision + 1))
        elif dice < 0.8:
            store.hub.notify()
        elif dice < 0.9:
            store.hub.catch_up(chance.randrange(1, 9))
        elif watches:
            store.hub.resume(chance.choice(watches)[1])
    for sink, watcher, _ in watches:
        sink.calls_until_full = -1
        store.hub.resume(watcher)
    catch_up(store, 7)
    for sink, watcher, first in watches:
        wanted = [
            item
            for item in log
            if item[0] >= first and watcher.selection.covers(item[2])
        ]
        assert [item[:3] for item in sink.seen] == wanted
