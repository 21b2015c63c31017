"""Transaction rules."""

from __future__ import annotations

import pytest

from twofold.proto.kv_pb2 import KeyValue
from twofold.proto.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from twofold.store.backend.memory import MemoryBackend
from twofold.store.errors import ApplyRefused
from twofold.store.lease.lessor import Lessor
from twofold.store.mvcc.store import MvccStore
from twofold.store.mvcc.txn import puts_anything


@pytest.fixture
def store() -> MvccStore:
    backend = MemoryBackend()
    return MvccStore(backend, Lessor(backend))


def put(key: bytes, value: bytes = b"v", **options: object) -> RequestOp:
    return RequestOp(request_put=PutRequest(key=key, value=value, **options))  # type: ignore[arg-type]


def read(key: bytes, end: bytes = b"", revision: int = 0) -> RequestOp:
    return RequestOp(
        request_range=RangeRequest(key=key, range_end=end, revision=revision)
    )


def delete(key: bytes, end: bytes = b"", prev_kv: bool = False) -> RequestOp:
    return RequestOp(
        request_delete_range=DeleteRangeRequest(key=key, range_end=end, prev_kv=prev_kv)
    )


def nested(request: TxnRequest) -> RequestOp:
    return RequestOp(request_txn=request)


def run(store: MvccStore, request: TxnRequest) -> tuple[int, TxnResponse]:
    result = store.txn(request)
    response = TxnResponse.FromString(result.responses)
    # What was written by hand is what protobuf itself would write.
    assert response.SerializeToString() == result.responses
    response.succeeded = result.succeeded
    return result.revision, response


def holds(store: MvccStore, **compare: object) -> bool:
    return store.txn(TxnRequest(compare=[Compare(**compare)])).succeeded  # type: ignore[arg-type]


def test_without_compares_it_succeeds_and_changes_nothing(store: MvccStore) -> None:
    assert store.txn(TxnRequest()) == (1, True, b"")
    assert store.current_revision == 1


def test_all_changes_share_a_revision_in_order(store: MvccStore) -> None:
    revision, response = run(store, TxnRequest(success=[put(b"a"), put(b"b")]))
    assert (revision, store.current_revision) == (2, 2)
    assert [op.response_put.header.revision for op in response.responses] == [2, 2]
    subs = [key[16] for key, _ in store.backend.scan(b"", None)]
    assert subs == [0, 1]


def test_a_branch_that_changes_nothing_takes_no_revision(store: MvccStore) -> None:
    revision, _ = run(store, TxnRequest(success=[delete(b"a"), read(b"a")]))
    assert (revision, store.current_revision) == (1, 1)


def test_inner_headers_count_up_once_something_has_changed(store: MvccStore) -> None:
    store.put(b"k", b"v")
    ops = [read(b"k"), delete(b"none"), put(b"x"), read(b"k"), delete(b"none")]
    revision, response = run(store, TxnRequest(success=ops))
    assert revision == 3
    headers = [
        getattr(op, op.WhichOneof("response") or "").header.revision
        for op in response.responses
    ]
    assert headers == [2, 2, 3, 3, 3]


def test_reads_see_earlier_writes_of_the_transaction(store: MvccStore) -> None:
    store.put(b"k", b"old")
    ops = [
        put(b"k", b"new"),
        read(b"k"),
        read(b"k", revision=2),
        delete(b"k", prev_kv=True),
        read(b"\0", b"\0"),
        read(b"\0", b"\0", revision=2),
    ]
    _, response = run(store, TxnRequest(success=ops))
    answers = response.responses
    assert answers[1].response_range.kvs[0].value == b"new"
    assert answers[2].response_range.kvs[0].value == b"old"
    assert answers[3].response_delete_range.deleted == 1
    assert answers[3].response_delete_range.prev_kvs[0].value == b"new"
    assert answers[4].response_range.count == 0
    assert answers[5].response_range.count == 1
    assert store.range(b"k").count == 0


def test_the_previous_value_of_a_put(store: MvccStore) -> None:
    store.put(b"k", b"old")
    ops = [put(b"k", b"new", prev_kv=True), put(b"x", prev_kv=True)]
    _, response = run(store, TxnRequest(success=ops))
    assert response.responses[0].response_put.prev_kv.value == b"old"
    assert not response.responses[1].response_put.HasField("prev_kv")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Compare.EQUAL, (False, True, False)),
        (Compare.NOT_EQUAL, (True, False, True)),
        (Compare.GREATER, (True, False, False)),
        (Compare.LESS, (False, False, True)),
    ],
)
def test_compare_results(
    store: MvccStore, result: Compare.CompareResult.ValueType, expected: list[bool]
) -> None:
    store.put(b"k", b"1")
    store.put(b"k", b"5")
    for other, wanted in zip((1, 2, 3), expected, strict=True):
        found = holds(
            store, key=b"k", target=Compare.VERSION, result=result, version=other
        )
        assert found is wanted
    for value, wanted in zip((b"4", b"5", b"6"), expected, strict=True):
        found = holds(store, key=b"k", target=Compare.VALUE, result=result, value=value)
        assert found is wanted


def test_compare_targets(store: MvccStore) -> None:
    store._leases.grant(9, 60)  # type: ignore[attr-defined]
    store.put(b"k", b"v")
    store.put(b"k", b"w", 9)
    assert holds(store, key=b"k", target=Compare.CREATE, create_revision=2)
    assert holds(store, key=b"k", target=Compare.MOD, mod_revision=3)
    assert holds(store, key=b"k", target=Compare.VERSION, version=2)
    assert holds(store, key=b"k", target=Compare.LEASE, lease=9)
    assert holds(store, key=b"k", target=Compare.VALUE, value=b"w")


def test_a_missing_key_is_all_zero_but_has_no_value(store: MvccStore) -> None:
    for target in (Compare.CREATE, Compare.MOD, Compare.VERSION, Compare.LEASE):
        assert holds(store, key=b"k", target=target)
        assert not holds(
            store, key=b"k", target=target, result=Compare.GREATER, version=0
        )
    for result in (Compare.EQUAL, Compare.NOT_EQUAL, Compare.LESS, Compare.GREATER):
        assert not holds(store, key=b"k", target=Compare.VALUE, result=result)
    store.put(b"k", b"v")
    store.delete_range(b"k")
    assert holds(store, key=b"k", target=Compare.CREATE)


def test_a_compare_must_hold_for_the_whole_range(store: MvccStore) -> None:
    store.put(b"a", b"v")
    store.put(b"b", b"v")
    options = {"key": b"a", "target": Compare.VERSION, "version": 1}
    assert holds(store, range_end=b"c", **options)
    store.put(b"b", b"v")
    assert not holds(store, range_end=b"c", **options)
    assert holds(store, range_end=b"b", **options)
    # An empty range is like a missing key.
    assert holds(store, key=b"x", range_end=b"z", target=Compare.VERSION)
    assert not holds(store, key=b"x", range_end=b"z", target=Compare.VALUE)
    assert holds(store, key=b"b", range_end=b"a", target=Compare.VERSION)


def test_nested_compares_see_the_state_before_everything(store: MvccStore) -> None:
    inner = TxnRequest(
        compare=[Compare(key=b"k", target=Compare.VERSION, version=0)],
        success=[put(b"inner", b"yes")],
        failure=[put(b"inner", b"no")],
    )
    revision, response = run(store, TxnRequest(success=[put(b"k"), nested(inner)]))
    assert revision == 2
    inner_response = response.responses[1].response_txn
    assert inner_response.succeeded
    assert inner_response.HasField("header")
    assert inner_response.header.revision == 0
    assert inner_response.responses[0].response_put.header.revision == 2
    assert KeyValue.FromString(store.range(b"inner").kvs[0]).value == b"yes"


def test_nested_paths_stay_with_their_transaction(store: MvccStore) -> None:
    store.put(b"k", b"v")
    missing = [Compare(key=b"none", target=Compare.VERSION, version=1)]
    first = TxnRequest(compare=missing, failure=[put(b"a", b"failure")])
    deeper = TxnRequest(compare=missing, success=[put(b"x")], failure=[])
    second = TxnRequest(success=[nested(deeper), put(b"b", b"success")])
    _, response = run(
        store, TxnRequest(success=[nested(first), read(b"k"), nested(second)])
    )
    answers = response.responses
    assert not answers[0].response_txn.succeeded
    assert answers[1].response_range.count == 1
    assert answers[2].response_txn.succeeded
    assert not answers[2].response_txn.responses[0].response_txn.succeeded
    assert store.range(b"x").count == 0


@pytest.mark.parametrize(
    ("op", "error"),
    [
        (read(b"k", revision=99), "FUTURE_REVISION"),
        (read(b"k", revision=2), "COMPACTED"),
        (read(b"k", revision=-1), "COMPACTED"),
        (put(b"k", lease=5), "LEASE_NOT_FOUND"),
        (put(b"none", ignore_value=True), "KEY_NOT_FOUND"),
        (put(b"none", ignore_lease=True), "KEY_NOT_FOUND"),
    ],
)
def test_nothing_is_half_applied(store: MvccStore, op: RequestOp, error: str) -> None:
    store.put(b"k", b"v")
    store.put(b"k", b"v")
    store.compact(3)
    for ops in ([put(b"a"), op], [put(b"a"), nested(TxnRequest(success=[op]))]):
        with pytest.raises(ApplyRefused) as caught:
            store.txn(TxnRequest(success=ops))
        assert caught.value.error == error
        assert store.current_revision == 3
        assert store.range(b"a").count == 0
    # The branch that is not taken is not checked.
    assert store.txn(TxnRequest(success=[put(b"a")], failure=[op])).revision == 4


def test_a_read_of_a_negative_revision_is_held_against_the_compaction(
    store: MvccStore,
) -> None:
    # Nothing is compacted: that counts as -1.
    assert store.txn(TxnRequest(success=[read(b"k", revision=-1)])).succeeded
    with pytest.raises(ApplyRefused):
        store.txn(TxnRequest(success=[read(b"k", revision=-2)]))
    assert store.range(b"k", revision=-2).count == 0


def test_of_two_errors_the_first_is_told(store: MvccStore) -> None:
    inner = nested(TxnRequest(success=[put(b"none", ignore_value=True)]))
    for ops, error in (
        ([inner, put(b"k", lease=5)], "KEY_NOT_FOUND"),
        ([put(b"k", lease=5), inner], "LEASE_NOT_FOUND"),
    ):
        with pytest.raises(ApplyRefused) as caught:
            store.txn(TxnRequest(success=ops))
        assert caught.value.error == error


def test_deletes_may_overlap(store: MvccStore) -> None:
    store.put(b"a", b"v")
    store.put(b"b", b"v")
    _, response = run(store, TxnRequest(success=[delete(b"a"), delete(b"a", b"z")]))
    counts = [op.response_delete_range.deleted for op in response.responses]
    assert counts == [1, 1]


def test_a_put_in_either_branch_needs_space() -> None:
    assert not puts_anything(TxnRequest(success=[delete(b"a"), read(b"a")]))
    assert puts_anything(TxnRequest(failure=[put(b"a")]))
    inner = TxnRequest(failure=[put(b"a")])
    assert puts_anything(TxnRequest(success=[nested(inner)]))
