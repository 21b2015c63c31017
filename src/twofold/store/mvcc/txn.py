"""Transactions: compare, check everything, then change, then answer.

All compares, nested ones too, see the state before the outer transaction, and
whatever could refuse is checked on the taken path before the first change.
Source: etcd, server/etcdserver/txn/txn.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from twofold.proto.kv_pb2 import KeyValue
from twofold.proto.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from twofold.store.errors import ApplyRefused
from twofold.store.mvcc.encoding import field, inner_header, range_body, varint
from twofold.store.mvcc.revision import main_of

if TYPE_CHECKING:
    from twofold.store.mvcc.store import MvccStore
    from twofold.store.mvcc.writer import Leases, Writer

_RESPONSE = b"\x1a"
"""TxnResponse.responses."""
_RANGE, _PUT, _DELETE, _TXN = b"\x0a", b"\x12", b"\x1a", b"\x22"
"""ResponseOp's fields."""
_EMPTY_HEADER = b"\x0a\x00"
_SUCCEEDED = b"\x10\x01"
_PUT_PREVIOUS = b"\x12"
_DELETED = b"\x10"
_DELETE_PREVIOUS = b"\x1a"


class TxnResult(NamedTuple):
    """``responses``: the encoded repeated field of TxnResponse."""

    revision: int
    succeeded: bool
    responses: bytes


class _Path(NamedTuple):
    """The branch a transaction takes, and those of its nested ones, in order."""

    succeeded: bool
    ops: Sequence[tuple[str | None, RequestOp]]
    nested: list[_Path]


def run(
    store: MvccStore, writer: Writer, leases: Leases, request: TxnRequest
) -> TxnResult:
    """Run a transaction with ``writer`` ready for the next revision.

    Raises:
        ApplyRefused: a check failed; nothing has changed.
    """
    path = _choose(store, leases, request)
    _precheck(store, leases, path)
    responses = _Execution(store, writer).responses(path)
    revision = store.current_revision + (1 if writer.changes else 0)
    return TxnResult(revision, path.succeeded, responses)


def puts_anything(request: TxnRequest) -> bool:
    """Whether either branch holds a put, at any depth: such needs space."""
    for branch in (request.success, request.failure):
        for op in branch:
            kind = op.WhichOneof("request")
            if kind == "request_put" or (
                kind == "request_txn" and puts_anything(op.request_txn)
            ):
                return True
    return False


# ---- before any change


def _choose(store: MvccStore, leases: Leases, request: TxnRequest) -> _Path:
    succeeded = all(_holds(store, leases, compare) for compare in request.compare)
    taken = request.success if succeeded else request.failure
    ops = [(op.WhichOneof("request"), op) for op in taken]
    nested = [
        _choose(store, leases, op.request_txn)
        for kind, op in ops
        if kind == "request_txn"
    ]
    return _Path(succeeded, ops, nested)


def _precheck(store: MvccStore, leases: Leases, path: _Path) -> None:
    # In the order of the request: of two errors, the first is told.
    nested = iter(path.nested)
    for kind, op in path.ops:
        if kind == "request_range":
            _check_read(store, op.request_range.revision)
        elif kind == "request_put":
            put = op.request_put
            if put.lease and not leases.exists(put.lease):
                raise ApplyRefused("LEASE_NOT_FOUND")
            if (put.ignore_value or put.ignore_lease) and not store.live_keys(
                put.key, b""
            ):
                raise ApplyRefused("KEY_NOT_FOUND")
        elif kind == "request_txn":
            _precheck(store, leases, next(nested))


def _check_read(store: MvccStore, revision: int) -> None:
    store.check_revision(revision)
    # A negative one means the newest in a range of its own, but not in here.
    if revision < 0 and revision < store.compact_revision:
        raise ApplyRefused("COMPACTED")


def _holds(store: MvccStore, leases: Leases, compare: Compare) -> bool:
    if compare.range_end:
        keys = store.live_keys(compare.key, compare.range_end)
        if keys:
            return all(_holds_for(store, leases, compare, key) for key in keys)
        # Like a missing key, even if the key itself lives: the range may be
        # empty because its end comes first.
        return _holds_for(store, leases, compare, None)
    return _holds_for(store, leases, compare, compare.key)


def _holds_for(
    store: MvccStore, leases: Leases, compare: Compare, key: bytes | None
) -> bool:
    target = compare.target
    state = None if key is None else store.index.state(key)
    # An unset value of the union reads as zero or empty, as it should.
    if target == Compare.MOD:
        mod = 0 if state is None else main_of(state.rev_key)
        return _judge(compare.result, mod, compare.mod_revision)
    if target == Compare.VERSION:
        version = 0 if state is None else state.version
        return _judge(compare.result, version, compare.version)
    if target == Compare.CREATE:
        created = 0 if state is None else state.created
        return _judge(compare.result, created, compare.create_revision)
    if target == Compare.LEASE:
        # The stored lease, which outlives the lease itself in a KeyValue only
        # until the revoke that deletes the key: the table says the same.
        lease_id = 0 if key is None else leases.lease_of(key)
        return _judge(compare.result, lease_id, compare.lease)
    if state is None:
        return False  # There is no value to compare with.
    data = store.backend.get_many([state.rev_key])[0]
    value = KeyValue.FromString(data).value
    if compare.result == Compare.EQUAL:
        return value == compare.value
    if compare.result == Compare.NOT_EQUAL:
        return value != compare.value
    if compare.result == Compare.GREATER:
        return value > compare.value
    return value < compare.value


def _judge(result: int, ours: int, theirs: int) -> bool:
    if result == Compare.EQUAL:
        return ours == theirs
    if result == Compare.NOT_EQUAL:
        return ours != theirs
    if result == Compare.GREATER:
        return ours > theirs
    if result == Compare.LESS:
        return ours < theirs
    return True


# ---- the changes


class _Execution:
    """Runs a path and encodes its answers."""

    def __init__(self, store: MvccStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def responses(self, path: _Path) -> bytes:
        """Carry out one level, in order."""
        nested = iter(path.nested)
        parts = []
        for kind, op in path.ops:
            if kind == "request_range":
                response = field(_RANGE, self._range(op.request_range))
            elif kind == "request_put":
                response = field(_PUT, self._put(op.request_put))
            elif kind == "request_delete_range":
                response = field(_DELETE, self._delete(op.request_delete_range))
            elif kind == "request_txn":
                response = field(_TXN, self._txn(next(nested)))
            else:
                response = b""
            parts.append(field(_RESPONSE, response))
        return b"".join(parts)

    def _header(self) -> bytes:
        changed = 1 if self._writer.changes else 0
        return inner_header(self._store.current_revision + changed)

    def _range(self, request: RangeRequest) -> bytes:
        result = self._store.range(
            request.key,
            request.range_end,
            revision=request.revision,
            limit=request.limit,
            count_only=request.count_only,
            keys_only=request.keys_only,
            sort_target=request.sort_target,
            sort_order=request.sort_order,
            min_mod_revision=request.min_mod_revision,
            max_mod_revision=request.max_mod_revision,
            min_create_revision=request.min_create_revision,
            max_create_revision=request.max_create_revision,
        )
        return self._header() + range_body(*result)

    def _put(self, request: PutRequest) -> bytes:
        key, value, lease_id = request.key, request.value, request.lease
        if request.ignore_value or request.ignore_lease:
            value, lease_id = self._store.kept(
                key, value, lease_id, request.ignore_value, request.ignore_lease
            )
        former = self._writer.put(key, value, lease_id)
        out = self._header()
        if request.prev_kv and former:
            out += field(_PUT_PREVIOUS, self._store.backend.get_many([former])[0])
        return out

    def _delete(self, request: DeleteRangeRequest) -> bytes:
        keys = self._store.live_keys(request.key, request.range_end)
        former = self._writer.delete(keys)
        out = self._header()
        if former:
            out += _DELETED + varint(len(former))
            if request.prev_kv:
                kvs = self._store.backend.get_many(former)
                out += b"".join(field(_DELETE_PREVIOUS, data) for data in kvs)
        return out

    def _txn(self, path: _Path) -> bytes:
        responses = self.responses(path)
        succeeded = _SUCCEEDED if path.succeeded else b""
        # Only the outermost header carries a revision, as in etcd.
        return _EMPTY_HEADER + succeeded + responses
