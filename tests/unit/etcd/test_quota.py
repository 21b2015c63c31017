"""What writes cost."""

from twofold.etcd import quota
from twofold.proto import rpc_pb2

PUT = rpc_pb2.PutRequest(key=b"12345", value=b"12345")


def op_put() -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=PUT)


def test_a_put_costs_its_bytes_and_an_overhead() -> None:
    assert quota.put_cost(PUT) == 266


def test_a_txn_costs_its_dearer_branch() -> None:
    request = rpc_pb2.TxnRequest(success=[op_put()], failure=[op_put(), op_put()])
    assert quota.txn_cost(request) == 532


def test_a_nested_txn_is_counted() -> None:
    inner = rpc_pb2.TxnRequest(success=[op_put()])
    request = rpc_pb2.TxnRequest(success=[rpc_pb2.RequestOp(request_txn=inner)])
    assert quota.txn_cost(request) == 266


def test_deleting_and_reading_cost_nothing() -> None:
    ops = [
        rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=b"k")),
        rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"k")),
    ]
    assert quota.txn_cost(rpc_pb2.TxnRequest(success=ops)) == 0
