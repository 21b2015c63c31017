"""The KV service, by rule."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.etcd.errors import TABLE
from twofold.member.facade import ReadTimedOut, RequestTimedOut, Stopping
from twofold.proto import rpc_pb2

KV = "/etcdserverpb.KV/"
RANGE, PUT, DELETE = KV + "Range", KV + "Put", KV + "DeleteRange"
TXN, COMPACT = KV + "Txn", KV + "Compact"
Wire = Any


def ranged(wire: Wire, key: bytes, **fields: Any) -> rpc_pb2.RangeResponse:
    request = rpc_pb2.RangeRequest(key=key, **fields)
    reply: rpc_pb2.RangeResponse = wire.ask(RANGE, request, rpc_pb2.RangeResponse)
    return reply


def txn(wire: Wire, request: rpc_pb2.TxnRequest) -> rpc_pb2.TxnResponse:
    reply: rpc_pb2.TxnResponse = wire.ask(TXN, request, rpc_pb2.TxnResponse)
    return reply


def op_put(key: bytes, value: bytes = b"v") -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value))


def op_get(key: bytes, serializable: bool = False) -> rpc_pb2.RequestOp:
    request = rpc_pb2.RangeRequest(key=key, serializable=serializable)
    return rpc_pb2.RequestOp(request_range=request)


# ---- headers


def test_header_names_cluster_member_revision_and_term(wire: Wire) -> None:
    header = ranged(wire, b"k").header
    assert header.cluster_id == wire.facade.cluster_id
    assert header.member_id == wire.facade.member_id
    assert (header.revision, header.raft_term) == (1, wire.facade.term())


def test_range_header_is_the_current_revision_even_for_an_old_one(wire: Wire) -> None:
    wire.put(b"k", b"1")
    wire.put(b"k", b"2")
    reply = ranged(wire, b"k", revision=2)
    assert reply.header.revision == 3
    assert reply.kvs[0].value == b"1"


# ---- range


def test_range_gives_the_stored_key_value(wire: Wire) -> None:
    wire.put(b"k", b"1")
    wire.put(b"k", b"2")
    (kv,) = ranged(wire, b"k").kvs
    assert (kv.key, kv.value) == (b"k", b"2")
    assert (kv.create_revision, kv.mod_revision, kv.version) == (2, 3, 2)


def test_count_is_not_reduced_by_the_limit(wire: Wire) -> None:
    for key in (b"a", b"b", b"c"):
        wire.put(key)
    reply = ranged(wire, b"a", range_end=b"\0", limit=2)
    assert [kv.key for kv in reply.kvs] == [b"a", b"b"]
    assert (reply.count, reply.more) == (3, True)
    reply = ranged(wire, b"a", range_end=b"\0", count_only=True)
    assert (list(reply.kvs), reply.count, reply.more) == ([], 3, False)


def test_sorting_filters_and_keys_only_reach_the_store(wire: Wire) -> None:
    for key in (b"a", b"b", b"c"):
        wire.put(key)
    reply = ranged(
        wire,
        b"\0",
        range_end=b"\0",
        sort_order=rpc_pb2.RangeRequest.DESCEND,
        min_mod_revision=3,
        keys_only=True,
    )
    assert [(kv.key, kv.value) for kv in reply.kvs] == [(b"c", b""), (b"b", b"")]
    assert reply.count == 3


def test_a_missing_key_is_an_empty_reply(wire: Wire) -> None:
    reply = ranged(wire, b"k")
    assert (list(reply.kvs), reply.count, reply.more) == ([], 0, False)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (rpc_pb2.RangeRequest(), "EMPTY_KEY"),
        (rpc_pb2.RangeRequest(key=b"k", revision=99), "FUTURE_REVISION"),
        (rpc_pb2.RangeRequest(key=b"k", revision=2), "COMPACTED"),
    ],
)
def test_range_refusals(wire: Wire, request_: rpc_pb2.RangeRequest, error: str) -> None:
    for _ in range(3):
        wire.put(b"k")
    wire.compact(3)
    assert wire.error(RANGE, request_) == TABLE[error]


def test_the_compact_revision_itself_can_be_read(wire: Wire) -> None:
    for _ in range(3):
        wire.put(b"k")
    wire.compact(3)
    assert ranged(wire, b"k", revision=3).kvs[0].mod_revision == 3


def test_only_a_serializable_range_skips_the_confirmation(wire: Wire) -> None:
    wire.put(b"k")
    ranged(wire, b"k", serializable=True)
    assert wire.facade.confirmed == []
    ranged(wire, b"k")
    assert len(wire.facade.confirmed) == 1


def test_a_confirmed_read_sees_what_was_written_meanwhile(wire: Wire) -> None:
    wire.facade.held = True
    call = wire.call(RANGE, rpc_pb2.RangeRequest(key=b"k"))
    assert call.alive
    wire.facade.held = False
    wire.put(b"k", b"new")
    wire.facade.release()
    assert rpc_pb2.RangeResponse.FromString(call.answer).kvs[0].value == b"new"


def test_an_unconfirmed_read_fails_and_a_serializable_one_does_not(wire: Wire) -> None:
    wire.put(b"k")
    wire.facade.error = ReadTimedOut("no quorum")
    assert wire.error(RANGE, rpc_pb2.RangeRequest(key=b"k")) == TABLE["TIMEOUT"]
    assert ranged(wire, b"k", serializable=True).count == 1


def test_a_member_that_knows_nothing_does_not_say_there_is_nothing(
    wire: Wire,
) -> None:
    wire.facade.error = ReadTimedOut("no quorum")
    request = rpc_pb2.RangeRequest(key=b"k", serializable=True)
    assert wire.error(RANGE, request) == TABLE["TIMEOUT"]


# ---- put


def test_put_gives_the_new_revision_and_the_previous_value(wire: Wire) -> None:
    wire.put(b"k", b"1")
    request = rpc_pb2.PutRequest(key=b"k", value=b"2", prev_kv=True)
    reply = wire.ask(PUT, request, rpc_pb2.PutResponse)
    assert (reply.header.revision, reply.prev_kv.value) == (3, b"1")


def test_put_ignoring_a_missing_value_is_refused(wire: Wire) -> None:
    request = rpc_pb2.PutRequest(key=b"k", ignore_value=True)
    assert wire.error(PUT, request) == TABLE["KEY_NOT_FOUND"]


def test_put_with_an_unknown_lease_is_refused(wire: Wire) -> None:
    request = rpc_pb2.PutRequest(key=b"k", lease=5)
    assert wire.error(PUT, request) == TABLE["LEASE_NOT_FOUND"]


def test_put_over_quota_is_refused_before_it_is_proposed(wire: Wire) -> None:
    wire.facade.full = True
    assert wire.error(PUT, rpc_pb2.PutRequest(key=b"k")) == TABLE["NO_SPACE"]
    assert wire.facade.proposed == []


def test_a_request_over_the_limit_is_refused(wire: Wire) -> None:
    request = rpc_pb2.PutRequest(key=b"k", value=b"x" * 1_572_864)
    assert wire.error(PUT, request) == TABLE["REQUEST_TOO_LARGE"]


@pytest.mark.parametrize("path", [RANGE, PUT, DELETE, TXN, COMPACT])
def test_what_is_no_message_is_refused(wire: Wire, path: str) -> None:
    code, _ = wire.error(path, b"\xff\xff\xff")
    assert code == 13


@pytest.mark.parametrize(
    ("error", "name"),
    [(RequestTimedOut("late"), "TIMEOUT"), (Stopping("bye"), "STOPPED")],
)
def test_a_failed_proposal_is_told_by_etcds_text(
    wire: Wire, error: Exception, name: str
) -> None:
    wire.facade.error = error
    assert wire.error(PUT, rpc_pb2.PutRequest(key=b"k")) == TABLE[name]


# ---- delete


def test_delete_counts_and_gives_previous_values(wire: Wire) -> None:
    wire.put(b"a")
    wire.put(b"b")
    request = rpc_pb2.DeleteRangeRequest(key=b"a", range_end=b"\0", prev_kv=True)
    reply = wire.ask(DELETE, request, rpc_pb2.DeleteRangeResponse)
    assert (reply.deleted, reply.header.revision) == (2, 4)
    assert [kv.key for kv in reply.prev_kvs] == [b"a", b"b"]


def test_deleting_nothing_succeeds_and_keeps_the_revision(wire: Wire) -> None:
    request = rpc_pb2.DeleteRangeRequest(key=b"a")
    reply = wire.ask(DELETE, request, rpc_pb2.DeleteRangeResponse)
    assert (reply.deleted, reply.header.revision) == (0, 1)


def test_a_full_store_still_deletes(wire: Wire) -> None:
    wire.put(b"a")
    wire.facade.full = True
    wire.delete(b"a")
    request = rpc_pb2.RequestOp(
        request_delete_range=rpc_pb2.DeleteRangeRequest(key=b"a")
    )
    txn(wire, rpc_pb2.TxnRequest(success=[request]))


# ---- compact


def test_compact_refusals(wire: Wire) -> None:
    wire.put(b"k")
    wire.compact(2)
    again = rpc_pb2.CompactionRequest(revision=2)
    assert wire.error(COMPACT, again) == TABLE["COMPACTED"]
    future = rpc_pb2.CompactionRequest(revision=9)
    assert wire.error(COMPACT, future) == TABLE["FUTURE_REVISION"]


def test_a_physical_compaction_waits_for_the_removal(wire: Wire) -> None:
    wire.put(b"k")
    wire.put(b"k")
    request = rpc_pb2.CompactionRequest(revision=3, physical=True)
    call = wire.call(COMPACT, request)
    wire.timers.advance(1_000)
    assert call.alive
    wire.facade.store.compact_step(1_000)
    wire.timers.advance(100)
    assert rpc_pb2.CompactionResponse.FromString(call.answer).header.revision == 3


def test_a_physical_compaction_waits_as_long_as_the_client(wire: Wire) -> None:
    wire.put(b"k")
    request = rpc_pb2.CompactionRequest(revision=2, physical=True)
    call = wire.call(COMPACT, request, timeout_ms=100)
    wire.timers.advance(200)
    assert call.status == TABLE["TIMEOUT"]


# ---- txn


def test_txn_takes_the_branch_its_compares_choose(wire: Wire) -> None:
    compare = rpc_pb2.Compare(
        key=b"k", target=rpc_pb2.Compare.MOD, result=rpc_pb2.Compare.EQUAL
    )
    request = rpc_pb2.TxnRequest(
        compare=[compare], success=[op_put(b"k")], failure=[op_get(b"k")]
    )
    created = txn(wire, request)
    assert (created.succeeded, created.header.revision) == (True, 2)
    assert created.responses[0].response_put.header.revision == 2
    lost = txn(wire, request)
    assert (lost.succeeded, lost.header.revision) == (False, 2)
    assert lost.responses[0].response_range.kvs[0].key == b"k"


def test_a_read_only_txn_is_not_proposed(wire: Wire) -> None:
    wire.put(b"k")
    proposed = len(wire.facade.proposed)
    reply = txn(wire, rpc_pb2.TxnRequest(success=[op_get(b"k")]))
    assert reply.responses[0].response_range.count == 1
    assert reply.header.revision == 2
    assert len(wire.facade.proposed) == proposed
    assert len(wire.facade.confirmed) == 1


def test_a_serializable_txn_needs_no_confirmation(wire: Wire) -> None:
    wire.put(b"k")
    txn(wire, rpc_pb2.TxnRequest(success=[op_get(b"k", serializable=True)]))
    assert wire.facade.confirmed == []


def test_a_txn_of_compares_alone_is_confirmed(wire: Wire) -> None:
    reply = txn(wire, rpc_pb2.TxnRequest())
    assert reply.succeeded
    assert len(wire.facade.confirmed) == 1
    assert wire.facade.proposed == []


def test_a_failing_read_only_txn_names_its_error(wire: Wire) -> None:
    request = rpc_pb2.TxnRequest(success=[op_get(b"k")])
    request.success[0].request_range.revision = 99
    assert wire.error(TXN, request) == TABLE["FUTURE_REVISION"]


def test_a_txn_with_a_duplicate_key_is_not_proposed(wire: Wire) -> None:
    request = rpc_pb2.TxnRequest(success=[op_put(b"k"), op_put(b"k")])
    assert wire.error(TXN, request) == TABLE["DUPLICATE_KEY"]
    assert wire.facade.proposed == []


def test_a_txn_that_puts_is_refused_over_quota(wire: Wire) -> None:
    wire.facade.full = True
    request = rpc_pb2.TxnRequest(success=[op_put(b"k")])
    assert wire.error(TXN, request) == TABLE["NO_SPACE"]


# ---- counting and metadata


def test_calls_are_counted_with_their_codes(wire: Wire) -> None:
    wire.put(b"k")
    wire.call(PUT, rpc_pb2.PutRequest())
    counts = wire.services.context.unary(PUT)
    assert (counts.started, counts.succeeded, counts.failed) == (2, 1, {3: 1})
