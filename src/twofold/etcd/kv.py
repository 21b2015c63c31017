"""The KV service.

The hot path: parse once, check, hand the client's own bytes to consensus, and
join the reply from what comes back.
"""

from __future__ import annotations

from functools import partial

from google.protobuf.message import DecodeError

from twofold.base.errors import TwofoldError
from twofold.etcd.codec import delete_reply, put_reply, range_reply, txn_reply
from twofold.etcd.context import Context, fail, refuse, succeed
from twofold.etcd.errors import BAD_REQUEST, TABLE, Code, RequestRefused
from twofold.etcd.front.port import Call
from twofold.etcd.quota import put_cost
from twofold.etcd.validate import (
    check_delete,
    check_put,
    check_range,
    check_size,
    check_txn,
)
from twofold.proto import rpc_pb2
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import (
    ApplyRefused,
    CompactOutcome,
    DeleteOutcome,
    Outcome,
    PutOutcome,
    TxnOutcome,
)

PATH = "/etcdserverpb.KV/"
_REMOVAL_POLL_MS = 20
_REMOVAL_PATIENCE_MS = 60_000


class KvService:
    """Reads and writes of keys."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ranges = context.unary(PATH + "Range")
        self._puts = context.unary(PATH + "Put")
        self._deletes = context.unary(PATH + "DeleteRange")
        self._txns = context.unary(PATH + "Txn")
        self._compactions = context.unary(PATH + "Compact")

    # ---- reads

    def range(self, call: Call, body: bytes) -> None:
        """Range: at once if serializable, else when the state is known fresh."""
        counts = self._ranges
        counts.started += 1
        try:
            request = rpc_pb2.RangeRequest.FromString(body)
            check_range(request)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        except RequestRefused as error:
            refuse(call, counts, error)
            return
        if request.serializable and self._has_content():
            self._read_range(call, request, None)
        else:
            context = self._context
            done = partial(self._read_range, call, request)
            context.facade.confirm_read(done, context.timeout_ms(call))

    def _has_content(self) -> bool:
        """Whether the local state says anything.

        A member with a new disk knows nothing yet: that is no "nothing there".
        """
        return self._context.facade.store.current_revision > 1

    def _read_range(
        self, call: Call, request: rpc_pb2.RangeRequest, error: TwofoldError | None
    ) -> None:
        counts = self._ranges
        if error is not None:
            self._context.refuse_read(call, counts, error)
            return
        if not call.alive:
            # Nobody waits: a large list need not be read.
            counts.fail(Code.CANCELED)
            return
        context = self._context
        store = context.facade.store
        context.meter.ranges += 1
        try:
            result = store.range(
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
        except ApplyRefused as refusal:
            refuse(call, counts, refusal)
            return
        header = context.header(store.current_revision)
        reply = range_reply(header, result.kvs, result.more, result.count)
        succeed(call, counts, reply)

    # ---- writes

    def put(self, call: Call, body: bytes) -> None:
        """Put."""
        counts = self._puts
        counts.started += 1
        context = self._context
        try:
            request = rpc_pb2.PutRequest.FromString(body)
            check_put(request)
            check_size(body, context.options.request_bytes_max)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        except RequestRefused as error:
            refuse(call, counts, error)
            return
        facade = context.facade
        if facade.quota_exceeded(put_cost(request)):
            fail(call, counts, TABLE["NO_SPACE"])
            return
        done = partial(self._put_done, call)
        facade.propose(CommandKind.PUT, body, done, context.timeout_ms(call))

    def _put_done(self, call: Call, outcome: Outcome | TwofoldError) -> None:
        if isinstance(outcome, PutOutcome):
            context = self._context
            context.meter.puts += 1
            header = context.header(outcome.revision)
            succeed(call, self._puts, put_reply(header, outcome.previous))
        elif isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._puts, outcome)

    def delete_range(self, call: Call, body: bytes) -> None:
        """DeleteRange; costs nothing against the quota."""
        counts = self._deletes
        counts.started += 1
        context = self._context
        try:
            check_delete(rpc_pb2.DeleteRangeRequest.FromString(body))
            check_size(body, context.options.request_bytes_max)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        except RequestRefused as error:
            refuse(call, counts, error)
            return
        done = partial(self._delete_done, call)
        kind = CommandKind.DELETE_RANGE
        context.facade.propose(kind, body, done, context.timeout_ms(call))

    def _delete_done(self, call: Call, outcome: Outcome | TwofoldError) -> None:
        if isinstance(outcome, DeleteOutcome):
            context = self._context
            context.meter.deletes += 1
            header = context.header(outcome.revision)
            reply = delete_reply(header, outcome.deleted, outcome.previous)
            succeed(call, self._deletes, reply)
        elif isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._deletes, outcome)

    def compact(self, call: Call, body: bytes) -> None:
        """Compact: answered once decided, or, if ``physical``, once removed."""
        counts = self._compactions
        counts.started += 1
        context = self._context
        try:
            request = rpc_pb2.CompactionRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        done = partial(self._compact_done, call, request)
        kind = CommandKind.COMPACT
        context.facade.propose(kind, body, done, context.timeout_ms(call))

    def _compact_done(
        self,
        call: Call,
        request: rpc_pb2.CompactionRequest,
        outcome: Outcome | TwofoldError,
    ) -> None:
        if isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._compactions, outcome)
        elif isinstance(outcome, CompactOutcome):
            header = self._context.header(outcome.revision)
            if request.physical:
                patience_ms = call.timeout_ms or _REMOVAL_PATIENCE_MS
                self._await_removal(call, request.revision, header, patience_ms)
            else:
                succeed(call, self._compactions, header)

    def _await_removal(
        self, call: Call, revision: int, header: bytes, patience_ms: int
    ) -> None:
        if self._context.facade.store.finished_compact_revision >= revision:
            succeed(call, self._compactions, header)
        elif patience_ms <= 0:
            fail(call, self._compactions, TABLE["TIMEOUT"])
        elif call.alive:
            patience_ms -= _REMOVAL_POLL_MS
            again = partial(self._await_removal, call, revision, header, patience_ms)
            self._context.later(_REMOVAL_POLL_MS, again)

    # ---- transactions

    def txn(self, call: Call, body: bytes) -> None:
        """Txn: proposed, unless both branches only read."""
        counts = self._txns
        counts.started += 1
        context = self._context
        try:
            request = rpc_pb2.TxnRequest.FromString(body)
            shape = check_txn(request, context.options.txn_ops_max)
            check_size(body, context.options.request_bytes_max)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        except RequestRefused as error:
            refuse(call, counts, error)
            return
        facade = context.facade
        timeout_ms = context.timeout_ms(call)
        if not shape.read_only:
            if shape.cost_bytes and facade.quota_exceeded(shape.cost_bytes):
                fail(call, counts, TABLE["NO_SPACE"])
                return
            done = partial(self._txn_done, call)
            facade.propose(CommandKind.TXN, body, done, timeout_ms)
        elif shape.serializable and self._has_content():
            self._read_txn(call, request, None)
        else:
            facade.confirm_read(partial(self._read_txn, call, request), timeout_ms)

    def _read_txn(
        self, call: Call, request: rpc_pb2.TxnRequest, error: TwofoldError | None
    ) -> None:
        if error is not None:
            self._context.refuse_read(call, self._txns, error)
            return
        store = self._context.facade.store
        try:
            result = store.txn(request)
        except ApplyRefused as refusal:
            refuse(call, self._txns, refusal)
            return
        outcome = TxnOutcome(store.current_revision, result.succeeded, result.responses)
        self._txn_done(call, outcome)

    def _txn_done(self, call: Call, outcome: Outcome | TwofoldError) -> None:
        if isinstance(outcome, TxnOutcome):
            context = self._context
            context.meter.txns += 1
            header = context.header(outcome.revision)
            reply = txn_reply(header, outcome.succeeded, outcome.responses)
            succeed(call, self._txns, reply)
        elif isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._txns, outcome)
