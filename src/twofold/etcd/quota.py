"""What a write costs against the quota, before it is proposed.

Source: etcd ``server/storage/quota.go``.
"""

from __future__ import annotations

from twofold.proto import rpc_pb2

KEY_OVERHEAD_BYTES = 256
LEASE_OVERHEAD_BYTES = 64


def put_cost(request: rpc_pb2.PutRequest) -> int:
    """Bytes a put may add."""
    return KEY_OVERHEAD_BYTES + len(request.key) + len(request.value)


def txn_cost(request: rpc_pb2.TxnRequest) -> int:
    """Bytes the dearer branch may add; 0 if neither puts anything."""
    success = sum(map(_op_cost, request.success))
    failure = sum(map(_op_cost, request.failure))
    return max(success, failure)


def _op_cost(op: rpc_pb2.RequestOp) -> int:
    which = op.WhichOneof("request")
    if which == "request_put":
        return put_cost(op.request_put)
    if which == "request_txn":
        return txn_cost(op.request_txn)
    return 0
