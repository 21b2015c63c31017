"""What a request must satisfy before anything looks at the store.

Each check raises ``RequestRefused`` with a name of the error table.

Source: etcd ``server/etcdserver/api/v3rpc/key.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from twofold.etcd.errors import RequestRefused
from twofold.etcd.quota import put_cost
from twofold.proto import rpc_pb2

LEASE_TTL_MAX_S = 9_000_000_000
TXN_OPS_MAX = 128
REQUEST_BYTES_MAX = 1_572_864

_SORT_ORDER_MAX = max(rpc_pb2.RangeRequest.SortOrder.values())
_SORT_TARGET_MAX = max(rpc_pb2.RangeRequest.SortTarget.values())


def check_range(request: rpc_pb2.RangeRequest) -> None:
    """A key and a known order."""
    if not request.key:
        raise RequestRefused("EMPTY_KEY")
    if not (
        0 <= request.sort_order <= _SORT_ORDER_MAX
        and 0 <= request.sort_target <= _SORT_TARGET_MAX
    ):
        raise RequestRefused("INVALID_SORT_OPTION")


def check_put(request: rpc_pb2.PutRequest) -> None:
    """A key, and no value or lease that shall also be ignored."""
    if not request.key:
        raise RequestRefused("EMPTY_KEY")
    if request.ignore_value and request.value:
        raise RequestRefused("VALUE_PROVIDED")
    if request.ignore_lease and request.lease:
        raise RequestRefused("LEASE_PROVIDED")


def check_delete(request: rpc_pb2.DeleteRangeRequest) -> None:
    """A key."""
    if not request.key:
        raise RequestRefused("EMPTY_KEY")


def check_size(body: bytes, bytes_max: int) -> None:
    """What goes into the log has a ceiling."""
    if len(body) > bytes_max:
        raise RequestRefused("REQUEST_TOO_LARGE")


class TxnShape(NamedTuple):
    """What the checks learn of a txn on the way.

    ``read_only``: only ranges in both branches; a nested txn counts as a write.
    ``serializable``: there are ranges, and each asks for local state. A txn of
    compares alone says nothing about it: then freshness is confirmed.
    ``cost_bytes``: of the dearer branch against the quota, 0 if nothing is put.
    """

    read_only: bool
    serializable: bool
    cost_bytes: int


def check_txn(request: rpc_pb2.TxnRequest, ops_max: int = TXN_OPS_MAX) -> TxnShape:
    """Sizes and operations at every level, and keys that are written twice.

    Cost: one pass over the operations; a second where several may clash.
    """
    success, failure = list(request.success), list(request.failure)
    shape = _check_ops(request.compare, success, failure, ops_max)
    for branch in (success, failure):
        if len(branch) > 1 or (branch and branch[0].HasField("request_txn")):
            _check_writes(branch)
    return shape


def _check_ops(
    compares: Sequence[rpc_pb2.Compare],
    success: list[rpc_pb2.RequestOp],
    failure: list[rpc_pb2.RequestOp],
    ops_max: int,
) -> TxnShape:
    count = max(len(compares), len(success), len(failure))
    if count > ops_max:
        raise RequestRefused("TOO_MANY_OPS")
    for compare in compares:
        if not compare.key:
            raise RequestRefused("EMPTY_KEY")
    # A nested txn may only use what its parents have left of the limit.
    reads, local, cost_bytes = _check_branch(success, ops_max - count)
    other_reads, other_local, other_cost_bytes = _check_branch(failure, ops_max - count)
    return TxnShape(
        reads and other_reads,
        local and other_local and bool(success or failure),
        max(cost_bytes, other_cost_bytes),
    )


def _check_branch(ops: list[rpc_pb2.RequestOp], ops_max: int) -> tuple[bool, bool, int]:
    """Check the operations; the parts of a ``TxnShape`` for this branch alone."""
    read_only = serializable = True
    cost_bytes = 0
    for op in ops:
        which = op.WhichOneof("request")
        if which == "request_range":
            ranged = op.request_range
            check_range(ranged)
            serializable = serializable and ranged.serializable
            continue
        read_only = False
        if which == "request_put":
            put = op.request_put
            check_put(put)
            cost_bytes += put_cost(put)
        elif which == "request_delete_range":
            check_delete(op.request_delete_range)
        elif which == "request_txn":
            txn = op.request_txn
            nested = _check_ops(
                txn.compare, list(txn.success), list(txn.failure), ops_max
            )
            cost_bytes += nested.cost_bytes
        else:
            raise RequestRefused("KEY_NOT_FOUND")
    return read_only, serializable, cost_bytes


class _Deletes:
    """Ranges that one list of operations deletes; few, so a list will do."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self._ranges: list[tuple[bytes, bytes]] = []

    def add(self, request: rpc_pb2.DeleteRangeRequest) -> None:
        if request.range_end:
            self._ranges.append((request.key, request.range_end))
        else:
            self._keys.add(request.key)

    def update(self, other: _Deletes) -> None:
        self._keys |= other._keys
        self._ranges += other._ranges

    def holds(self, key: bytes) -> bool:
        # An open end ("\0") is below every key, so such a range holds none: etcd
        # compares here without knowing what it stands for, and lets them pass.
        return key in self._keys or any(
            begin <= key < end for begin, end in self._ranges
        )


def _check_writes(ops: Sequence[rpc_pb2.RequestOp]) -> tuple[set[bytes], _Deletes]:
    """Refuse a key put twice, or put where this list deletes; give both sets.

    Then-branch and else-branch of one nested txn may share keys: only one runs.
    """
    puts: set[bytes] = set()
    deletes = _Deletes()
    kinds = [op.WhichOneof("request") for op in ops]
    for op, kind in zip(ops, kinds, strict=True):
        if kind == "request_delete_range":
            deletes.add(op.request_delete_range)
    for op, kind in zip(ops, kinds, strict=True):
        if kind == "request_txn":
            then_puts, then_deletes = _check_writes(op.request_txn.success)
            else_puts, else_deletes = _check_writes(op.request_txn.failure)
            _refuse_clash(then_puts, puts, deletes)
            _refuse_clash(else_puts, puts, deletes)
            puts |= then_puts | else_puts
            deletes.update(then_deletes)
            deletes.update(else_deletes)
    for op, kind in zip(ops, kinds, strict=True):
        if kind == "request_put":
            _refuse_clash((op.request_put.key,), puts, deletes)
            puts.add(op.request_put.key)
    return puts, deletes


def _refuse_clash(keys: Iterable[bytes], puts: set[bytes], deletes: _Deletes) -> None:
    for key in keys:
        if key in puts or deletes.holds(key):
            raise RequestRefused("DUPLICATE_KEY")
