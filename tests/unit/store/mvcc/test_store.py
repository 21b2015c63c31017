"""Revision, range, compaction and hash rules, against a plain model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from twofold.proto.kv_pb2 import KeyValue
from twofold.proto.rpc_pb2 import RangeRequest
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.backend.memory import MemoryBackend
from twofold.store.errors import ApplyRefused
from twofold.store.lease.lessor import Lessor
from twofold.store.mvcc.store import ALL, MvccStore, RangeResult


def make(backend: MemoryBackend | LmdbBackend | None = None) -> MvccStore:
    backend = backend or MemoryBackend()
    return MvccStore(backend, Lessor(backend))


@pytest.fixture
def store() -> MvccStore:
    return make()


def reopened(store: MvccStore) -> MvccStore:
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    backend.checkpoint(lambda _failure: None)
    return make(MemoryBackend(backend.disk))


def decoded(result: RangeResult) -> list[tuple[bytes, bytes]]:
    kvs = map(KeyValue.FromString, result.kvs)
    return [(kv.key, kv.value) for kv in kvs]


def one(store: MvccStore, key: bytes, revision: int = 0) -> KeyValue | None:
    kvs = store.range(key, revision=revision).kvs
    return KeyValue.FromString(kvs[0]) if kvs else None


def refusal(call: object, *args: object, **options: object) -> str:
    assert callable(call)
    with pytest.raises(ApplyRefused) as caught:
        call(*args, **options)
    return caught.value.error


def settle(store: MvccStore) -> None:
    while store.compact_step(3):
        pass


# ---- revisions


def test_an_empty_store_is_at_revision_1(store: MvccStore) -> None:
    assert (store.current_revision, store.compact_revision) == (1, -1)
    assert store.put(b"k", b"v") == (2, None)


def test_a_put_of_the_same_value_takes_a_revision(store: MvccStore) -> None:
    store.put(b"k", b"v")
    store.put(b"k", b"v")
    kv = one(store, b"k")
    assert kv == KeyValue(
        key=b"k", value=b"v", create_revision=2, mod_revision=3, version=2
    )


def test_deleting_nothing_takes_no_revision(store: MvccStore) -> None:
    assert store.delete_range(b"k") == (1, 0, ())
    assert store.delete_range(b"a", b"z") == (1, 0, ())


def test_a_range_is_deleted_in_one_revision(store: MvccStore) -> None:
    for key in (b"a", b"b", b"c"):
        store.put(key, b"v" + key)
    revision, deleted, previous = store.delete_range(b"a", b"c", want_previous=True)
    assert (revision, deleted) == (5, 2)
    assert [KeyValue.FromString(data).value for data in previous] == [b"va", b"vb"]
    assert decoded(store.range(b"", ALL)) == [(b"c", b"vc")]


def test_a_key_made_again_starts_over(store: MvccStore) -> None:
    store.put(b"k", b"1")
    store.put(b"k", b"2")
    store.delete_range(b"k")
    assert one(store, b"k") is None
    store.put(b"k", b"3")
    kv = one(store, b"k")
    assert kv is not None
    assert (kv.create_revision, kv.mod_revision, kv.version) == (5, 5, 1)
    store.put(b"k", b"4")
    kv = one(store, b"k")
    assert kv is not None
    assert (kv.create_revision, kv.mod_revision, kv.version) == (5, 6, 2)


def test_the_previous_value_only_of_a_living_key(store: MvccStore) -> None:
    assert store.put(b"k", b"1", want_previous=True)[1] is None
    data = store.put(b"k", b"2", want_previous=True)[1]
    assert data is not None
    assert KeyValue.FromString(data).value == b"1"
    store.delete_range(b"k")
    assert store.put(b"k", b"3", want_previous=True)[1] is None


def test_the_revision_never_goes_back_over_a_restart(store: MvccStore) -> None:
    store.put(b"k", b"v")
    store.delete_range(b"k")
    store.put(b"x", b"v")
    store.delete_range(b"x")
    store.compact(5)
    settle(store)
    again = reopened(store)
    assert (again.current_revision, again.compact_revision) == (5, 5)
    store.put(b"y", b"v")
    again.put(b"y", b"v")
    assert again.current_revision == 6


# ---- puts with conditions


def test_a_put_may_keep_value_or_lease(store: MvccStore) -> None:
    assert refusal(store.put, b"k", b"", ignore_value=True) == "KEY_NOT_FOUND"
    assert refusal(store.put, b"k", b"", 9) == "LEASE_NOT_FOUND"
    assert store.current_revision == 1
    store._leases.grant(9, 60)  # type: ignore[attr-defined]
    store.put(b"k", b"v", 9)
    store.put(b"k", b"w", ignore_lease=True)
    kv = one(store, b"k")
    assert kv is not None
    assert (kv.value, kv.lease) == (b"w", 9)
    store.put(b"k", b"", ignore_value=True)
    kv = one(store, b"k")
    assert kv is not None
    assert (kv.value, kv.lease) == (b"w", 0)
    assert store._leases.lease_of(b"k") == 0


# ---- ranges


def fill(store: MvccStore, count: int) -> None:
    for number in range(count):
        store.put(b"k%02d" % number, b"v%02d" % number)


def test_a_range_is_half_open(store: MvccStore) -> None:
    fill(store, 5)
    keys = [key for key, _ in decoded(store.range(b"k01", b"k03"))]
    assert keys == [b"k01", b"k02"]
    assert decoded(store.range(b"k03", ALL))[0][0] == b"k03"
    assert store.range(b"\0", ALL).count == 5
    assert store.range(b"k03", b"k01") == RangeResult([], 0, False)
    assert store.range(b"k02").count == 1
    assert store.range(b"none") == RangeResult([], 0, False)


def test_an_empty_range_stays_empty_among_the_dead(store: MvccStore) -> None:
    fill(store, 5)
    store.delete_range(b"k02")
    assert store.range(b"k04", b"k01") == RangeResult([], 0, False)


def test_the_count_is_not_limited(store: MvccStore) -> None:
    fill(store, 10)
    store.delete_range(b"k05")
    result = store.range(b"k00", ALL, limit=3)
    assert [key for key, _ in decoded(result)] == [b"k00", b"k01", b"k02"]
    assert (result.count, result.more) == (9, True)
    assert store.range(b"k00", ALL, limit=9).more is False
    assert store.range(b"k06", ALL, limit=2).count == 4
    assert store.range(b"k00", ALL, count_only=True) == RangeResult([], 9, False)
    old = store.range(b"k00", ALL, limit=2, revision=11)
    assert (len(old.kvs), old.count, old.more) == (2, 10, True)


def test_a_revision_that_is_not_there_is_refused(store: MvccStore) -> None:
    fill(store, 5)
    assert refusal(store.range, b"k", ALL, revision=7) == "FUTURE_REVISION"
    store.compact(4)
    assert refusal(store.range, b"k", ALL, revision=3) == "COMPACTED"
    assert store.range(b"k", ALL, revision=4).count == 3
    assert store.range(b"k", ALL, revision=-1).count == 5


def test_keys_only_leaves_out_values(store: MvccStore) -> None:
    fill(store, 2)
    assert decoded(store.range(b"k", ALL, keys_only=True)) == [
        (b"k00", b""),
        (b"k01", b""),
    ]


def test_sorting_by_every_target(store: MvccStore) -> None:
    store.put(b"a", b"3")
    store.put(b"b", b"2")
    store.put(b"c", b"1")
    store.put(b"a", b"3")

    def order(target: int, direction: int, limit: int = 0) -> bytes:
        result = store.range(
            b"a", ALL, sort_target=target, sort_order=direction, limit=limit
        )
        return b"".join(key for key, _ in decoded(result))

    ascend, descend = RangeRequest.ASCEND, RangeRequest.DESCEND
    assert order(RangeRequest.KEY, RangeRequest.NONE) == b"abc"
    assert order(RangeRequest.KEY, ascend) == b"abc"
    assert order(RangeRequest.KEY, descend) == b"cba"
    assert order(RangeRequest.KEY, descend, 2) == b"cb"
    assert order(RangeRequest.VALUE, ascend) == b"cba"
    assert order(RangeRequest.MOD, ascend) == b"bca"
    assert order(RangeRequest.CREATE, descend) == b"cba"
    assert order(RangeRequest.VERSION, descend)[:1] == b"a"
    assert order(RangeRequest.MOD, ascend, 1) == b"b"
    # etcd's odd case: without an order the limit cuts before the sort.
    assert order(RangeRequest.VALUE, RangeRequest.NONE) == b"cba"
    assert order(RangeRequest.VALUE, RangeRequest.NONE, 1) == b"b"


def test_filters_are_inclusive_and_leave_the_count(store: MvccStore) -> None:
    fill(store, 6)
    result = store.range(b"k", ALL, min_mod_revision=4, max_mod_revision=6, limit=2)
    assert [key for key, _ in decoded(result)] == [b"k02", b"k03"]
    assert (result.count, result.more) == (6, True)
    result = store.range(b"k", ALL, min_create_revision=6, max_create_revision=6)
    assert [key for key, _ in decoded(result)] == [b"k04"]


# ---- against a model


def history(seed: int, store: MvccStore, steps: int) -> list[dict[bytes, bytes]]:
    """Random changes; gives the state at every revision, by its number."""
    chance = random.Random(seed)
    states: list[dict[bytes, bytes]] = [{}, {}]
    for step in range(steps):
        state = dict(states[-1])
        key = b"%d" % chance.randrange(8)
        if chance.random() < 0.65:
            state[key] = b"%d" % step
            store.put(key, state[key])
        else:
            end = b"%d" % chance.randrange(9) if chance.random() < 0.3 else b""
            gone = [k for k in state if k == key or (end and key <= k < end)]
            if end and end <= key:
                gone = []
            for k in gone:
                del state[k]
            assert store.delete_range(key, end)[1] == len(gone)
            if not gone:
                continue
        states.append(state)
        assert store.current_revision == len(states) - 1
        if chance.random() < 0.02:
            store.backend.checkpoint(lambda _failure: None)
    return states


@pytest.mark.parametrize("seed", range(10))
def test_every_revision_can_be_read_until_it_is_compacted(seed: int) -> None:
    store = make()
    states = history(seed, store, 120)

    def agree(store: MvccStore, first: int) -> None:
        for revision in range(first, len(states)):
            found = decoded(store.range(b"\0", ALL, revision=revision))
            assert found == sorted(states[revision].items())
            counted = store.range(b"3", b"6", revision=revision, count_only=True)
            assert counted.count == sum(b"3" <= k < b"6" for k in states[revision])

    agree(store, 1)
    agree(reopened(store), 1)
    for revision in (len(states) // 3, len(states) // 2, len(states) - 1):
        store.compact(revision)
        agree(store, revision)
        store.compact_step(2)
        agree(store, revision)
        half_way = reopened(store)
        agree(half_way, revision)
        settle(store)
        agree(store, revision)
        settle(half_way)
        agree(half_way, revision)
        assert half_way.hash_kv() == store.hash_kv()
        agree(reopened(store), revision)


# ---- compaction


def test_compaction_keeps_one_version_of_a_living_key(store: MvccStore) -> None:
    for number in range(4):
        store.put(b"k", b"%d" % number)
    store.compact(4)
    settle(store)
    assert [key for key, _ in store.backend.scan(b"", None)] == [
        b"\0\0\0\0\0\0\0\4_" + bytes(8),
        b"\0\0\0\0\0\0\0\5_" + bytes(8),
    ]


def test_a_tombstone_stays_only_at_the_compact_revision(store: MvccStore) -> None:
    store.put(b"k", b"v")
    store.delete_range(b"k")
    store.put(b"x", b"v")
    store.compact(3)
    settle(store)
    assert [key[7:8] + key[17:] for key, _ in store.backend.scan(b"", None)] == [
        b"\3t",
        b"\4",
    ]
    store.compact(4)
    settle(store)
    assert len(list(store.backend.scan(b"", None))) == 1
    assert len(store.index) == 1


def test_compaction_refuses_what_is_done_and_what_is_not_there(
    store: MvccStore,
) -> None:
    fill(store, 3)
    assert refusal(store.compact, 5) == "FUTURE_REVISION"
    store.compact(3)
    assert refusal(store.compact, 3) == "COMPACTED"
    finished: list[int] = []
    store.on_compaction_finished = finished.append
    settle(store)
    assert finished == [3]
    assert store.finished_compact_revision == 3


def test_a_compaction_cut_short_goes_on_after_a_restart(store: MvccStore) -> None:
    for number in range(20):
        store.put(b"k%d" % (number % 4), b"v")
    store.compact(21)
    assert store.compact_step(2)
    again = reopened(store)
    assert again.compact_revision == 21
    assert again.finished_compact_revision == -1
    settle(again)
    assert again.finished_compact_revision == 21
    assert len(list(again.backend.scan(b"", None))) == 4


# ---- hashes


def test_hash_kv_does_not_depend_on_how_far_removal_has_come() -> None:
    stores = [make(), make()]
    for store in stores:
        history(5, store, 80)
        store.compact(40)
    assert stores[0].hash_kv(45) == stores[1].hash_kv(45)
    settle(stores[0])
    for revision in range(40, stores[0].current_revision + 1):
        assert stores[0].hash_kv(revision) == stores[1].hash_kv(revision)
    assert refusal(stores[0].hash_kv, 39) == "COMPACTED"
    assert refusal(stores[0].hash_kv, 1_000) == "FUTURE_REVISION"


def test_hash_kv_of_a_negative_revision_is_that_of_nothing() -> None:
    empty, store = make(), make()
    history(7, store, 60)
    store.compact(20)
    value, compact_revision, revision = store.hash_kv(-3)
    assert (compact_revision, revision) == (20, -3)
    assert value == empty.hash_kv()[0]


def test_hash_kv_is_the_same_in_both_backends(tmp_path: Path) -> None:
    memory, disk = make(), make(LmdbBackend(tmp_path / "state"))
    for store in (memory, disk):
        history(7, store, 60)
    value = memory.hash_kv()
    assert disk.hash_kv() == value
    assert value[1:] == (-1, memory.current_revision)
    assert memory.hash() != 0
    assert isinstance(disk.backend, LmdbBackend)
    disk.backend.close()
