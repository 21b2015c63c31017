"""What a write costs against the quota, before it is proposed.

A txn's cost is summed while it is checked, see ``validate.TxnShape``.

Source: etcd ``server/storage/quota.go``.
"""

from __future__ import annotations

from twofold.proto import rpc_pb2

KEY_OVERHEAD_BYTES = 256
LEASE_OVERHEAD_BYTES = 64


def put_cost(request: rpc_pb2.PutRequest) -> int:
    """Bytes a put may add."""
    return KEY_OVERHEAD_BYTES + len(request.key) + len(request.value)
