"""The checks of requests, by rule."""

import pytest

from twofold.etcd import validate
from twofold.etcd.errors import RequestRefused
from twofold.proto import rpc_pb2

Op = rpc_pb2.RequestOp


def put(key: bytes) -> Op:
    return Op(request_put=rpc_pb2.PutRequest(key=key))


def get(key: bytes, serializable: bool = False) -> Op:
    request = rpc_pb2.RangeRequest(key=key, serializable=serializable)
    return Op(request_range=request)


def delete(key: bytes, range_end: bytes = b"") -> Op:
    request = rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end)
    return Op(request_delete_range=request)


def nest(success: list[Op], failure: list[Op] | None = None) -> Op:
    request = rpc_pb2.TxnRequest(success=success, failure=failure or [])
    return Op(request_txn=request)


def refusal(request: rpc_pb2.TxnRequest, ops_max: int = 128) -> str:
    try:
        validate.check_txn(request, ops_max)
    except RequestRefused as error:
        return error.error
    return ""


def of(*ops: Op) -> rpc_pb2.TxnRequest:
    return rpc_pb2.TxnRequest(success=ops)


def test_range_needs_a_key() -> None:
    with pytest.raises(RequestRefused, match="EMPTY_KEY"):
        validate.check_range(rpc_pb2.RangeRequest(range_end=b"\0"))


@pytest.mark.parametrize("field", [b"\x28\x05", b"\x30\x09"])
def test_range_refuses_an_unknown_order(field: bytes) -> None:
    request = rpc_pb2.RangeRequest.FromString(b"\x0a\x01k" + field)
    with pytest.raises(RequestRefused, match="INVALID_SORT_OPTION"):
        validate.check_range(request)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (rpc_pb2.PutRequest(), "EMPTY_KEY"),
        (
            rpc_pb2.PutRequest(key=b"k", value=b"v", ignore_value=True),
            "VALUE_PROVIDED",
        ),
        (rpc_pb2.PutRequest(key=b"k", lease=1, ignore_lease=True), "LEASE_PROVIDED"),
    ],
)
def test_put_is_refused(request_: rpc_pb2.PutRequest, error: str) -> None:
    with pytest.raises(RequestRefused, match=error):
        validate.check_put(request_)


def test_put_may_ignore_what_it_does_not_give() -> None:
    request = rpc_pb2.PutRequest(key=b"k", ignore_lease=True, ignore_value=True)
    validate.check_put(request)


def test_size_up_to_the_limit_is_allowed() -> None:
    validate.check_size(b"x" * 10, 10)
    with pytest.raises(RequestRefused, match="REQUEST_TOO_LARGE"):
        validate.check_size(b"x" * 11, 10)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (of(put(b"a"), put(b"a")), "DUPLICATE_KEY"),
        (of(put(b"a"), put(b"b")), ""),
        (of(put(b"b"), delete(b"a", b"c")), "DUPLICATE_KEY"),
        (of(put(b"c"), delete(b"a", b"c")), ""),
        (of(put(b"z"), delete(b"a", b"\0")), ""),
        (of(delete(b"a"), delete(b"a", b"c")), ""),
        (of(delete(b"a"), nest([put(b"a")])), "DUPLICATE_KEY"),
        (of(put(b"a"), nest([delete(b"a")])), "DUPLICATE_KEY"),
        (of(put(b"a"), nest([], [put(b"a")])), "DUPLICATE_KEY"),
        (of(nest([put(b"a")], [put(b"a")])), ""),
        (of(nest([put(b"a")]), nest([put(b"a")])), "DUPLICATE_KEY"),
        (of(nest([nest([put(b"a"), put(b"a")])])), "DUPLICATE_KEY"),
        (of(Op()), "KEY_NOT_FOUND"),
        (of(get(b"")), "EMPTY_KEY"),
        (of(put(b"")), "EMPTY_KEY"),
        (of(delete(b"")), "EMPTY_KEY"),
        (rpc_pb2.TxnRequest(compare=[rpc_pb2.Compare()]), "EMPTY_KEY"),
        (rpc_pb2.TxnRequest(failure=[put(b"a"), put(b"a")]), "DUPLICATE_KEY"),
        (rpc_pb2.TxnRequest(success=[put(b"a")], failure=[put(b"a")]), ""),
    ],
)
def test_txn_check(request_: rpc_pb2.TxnRequest, error: str) -> None:
    assert refusal(request_) == error


def test_a_list_may_be_as_long_as_the_limit() -> None:
    ops = [get(b"k")] * 3
    assert refusal(rpc_pb2.TxnRequest(success=ops), 3) == ""
    assert refusal(rpc_pb2.TxnRequest(failure=[*ops, get(b"k")]), 3) == "TOO_MANY_OPS"


def test_a_nested_txn_gets_what_its_parent_left() -> None:
    inner = [get(b"k")] * 2
    assert refusal(of(nest(inner)), 3) == ""
    assert refusal(of(nest(inner), get(b"k")), 3) == "TOO_MANY_OPS"


def test_a_nested_txn_counts_as_a_write() -> None:
    assert validate.check_txn(of(get(b"k"))).read_only
    assert not validate.check_txn(of(nest([get(b"k")]))).read_only
    assert not validate.check_txn(rpc_pb2.TxnRequest(failure=[put(b"k")])).read_only


def test_a_txn_is_serializable_only_if_every_range_is() -> None:
    local, fresh = get(b"k", True), get(b"k")
    assert validate.check_txn(of(local)).serializable
    assert not validate.check_txn(of(local, fresh)).serializable
    both = rpc_pb2.TxnRequest(success=[local], failure=[fresh])
    assert not validate.check_txn(both).serializable
    assert not validate.check_txn(rpc_pb2.TxnRequest()).serializable


def test_a_txn_costs_its_dearer_branch() -> None:
    request = rpc_pb2.TxnRequest(success=[put(b"a")], failure=[put(b"a"), put(b"b")])
    assert validate.check_txn(request).cost_bytes == 2 * 257


def test_a_nested_txn_costs_too() -> None:
    assert validate.check_txn(of(nest([put(b"a")]), put(b"b"))).cost_bytes == 2 * 257


def test_deleting_and_reading_cost_nothing() -> None:
    assert validate.check_txn(of(delete(b"a"), get(b"b"))).cost_bytes == 0
