"""Named cases of KV, Lease and Maintenance, on twofold and on etcd."""

from __future__ import annotations

import pytest

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.differential import Pair, Refused
from twofold.testing.named_cases import Case, Cases, Run, run_case

CASES = Cases()
_ETCD = "etcdserver: "
_COMPACTED = _ETCD + "mvcc: required revision has been compacted"
_FUTURE = _ETCD + "mvcc: required revision is a future revision"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(both: Pair, case: Case) -> None:
    run_case(case, both)


def put_op(key: bytes, value: bytes = b"v", **options: int) -> rpc.RequestOp:
    put = rpc.PutRequest(key=key, value=value, lease=options.get("lease", 0))
    return rpc.RequestOp(request_put=put)


def range_op(key: bytes, **options: int) -> rpc.RequestOp:
    revision = options.get("revision", 0)
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key, revision=revision))


def delete_op(key: bytes, range_end: bytes = b"") -> rpc.RequestOp:
    delete = rpc.DeleteRangeRequest(key=key, range_end=range_end)
    return rpc.RequestOp(request_delete_range=delete)


def do_put(run: Run, key: bytes, value: bytes = b"v", lease: int = 0) -> int:
    request = rpc.PutRequest(key=key, value=value, lease=lease)
    return run.get(request, rpc.PutResponse).header.revision


# ---- revisions


@CASES.required("1.3 one revision for each change that changed something")
def revisions_count_changes(run: Run) -> None:
    first = do_put(run, run.key("a"))
    assert do_put(run, run.key("a")) == first + 1  # An equal value counts.
    gone = rpc.DeleteRangeRequest(key=run.key("none"))
    assert run.get(gone, rpc.DeleteRangeResponse).header.revision == first + 1
    reads = rpc.TxnRequest(success=[range_op(run.key("a"))])
    assert run.get(reads, rpc.TxnResponse).header.revision == first + 1
    empty = rpc.TxnRequest()
    assert run.get(empty, rpc.TxnResponse).header.revision == first + 1
    nothing = rpc.TxnRequest(success=[delete_op(run.key("none"))])
    assert run.get(nothing, rpc.TxnResponse).header.revision == first + 1


@CASES.required("1.3 create_revision and version after delete and recreate")
def recreating_starts_over(run: Run) -> None:
    do_put(run, run.key("a"))
    do_put(run, run.key("a"))
    run.get(rpc.DeleteRangeRequest(key=run.key("a")), rpc.DeleteRangeResponse)
    revision = do_put(run, run.key("a"))
    kv = run.get(rpc.RangeRequest(key=run.key("a")), rpc.RangeResponse).kvs[0]
    assert (kv.create_revision, kv.mod_revision, kv.version) == (revision, revision, 1)


@CASES.required("1.3 headers within a txn")
def inner_headers_tell_the_revision_so_far(run: Run) -> None:
    before = do_put(run, run.key("a"))
    ops = [range_op(run.key("a")), put_op(run.key("b")), range_op(run.key("b"))]
    reply = run.get(rpc.TxnRequest(success=ops), rpc.TxnResponse)
    assert reply.header.revision == before + 1
    assert reply.responses[0].response_range.header.revision == before
    assert reply.responses[1].response_put.header.revision == before + 1
    assert reply.responses[2].response_range.kvs[0].mod_revision == before + 1


# ---- range


@CASES.required("1.4 empty key")
def a_key_is_needed(run: Run) -> None:
    text = _ETCD + "key is not provided"
    for request in (
        rpc.RangeRequest(),
        rpc.PutRequest(value=b"v"),
        rpc.DeleteRangeRequest(),
        rpc.TxnRequest(success=[put_op(b"")]),
        rpc.TxnRequest(compare=[rpc.Compare()]),
    ):
        run.refused(request, "INVALID_ARGUMENT", text)


@CASES.required("1.4 revision: future, compacted, and the compact revision itself")
def a_revision_has_bounds(run: Run) -> None:
    revision = do_put(run, run.key("a"), b"1")
    do_put(run, run.key("a"), b"2")
    late = rpc.RangeRequest(key=run.key("a"), revision=revision + 2)
    run.refused(late, "OUT_OF_RANGE", _FUTURE)
    compaction = rpc.CompactionRequest(revision=revision, physical=True)
    run.get(compaction, rpc.CompactionResponse)
    gone = rpc.RangeRequest(key=run.key("a"), revision=revision - 1)
    run.refused(gone, "OUT_OF_RANGE", _COMPACTED)
    kept = rpc.RangeRequest(key=run.key("a"), revision=revision)
    found = run.get(kept, rpc.RangeResponse)
    assert found.kvs[0].value == b"1"
    assert found.header.revision == revision + 1


@CASES.required("1.4 and 2.2: count is exact whatever the limit, also at a revision")
def count_ignores_the_limit(run: Run) -> None:
    revision = [do_put(run, run.key(name)) for name in "abcde"][-1]
    do_put(run, run.key("f"))
    page = rpc.RangeRequest(
        key=run.key("b"), range_end=run.key("z"), limit=2, revision=revision
    )
    found = run.get(page, rpc.RangeResponse)
    assert (len(found.kvs), found.more, found.count) == (2, True, 4)
    page.max_mod_revision = revision - 1
    found = run.get(page, rpc.RangeResponse)
    assert found.count == 4


@CASES.required("1.4 range_end of one zero byte")
def an_open_end_reads_on(run: Run) -> None:
    do_put(run, run.key("a"))
    everything = run.get(
        rpc.RangeRequest(key=b"\0", range_end=b"\0", count_only=True),
        rpc.RangeResponse,
    )
    from_here = rpc.RangeRequest(key=run.key(""), range_end=b"\0", count_only=True)
    assert 0 < run.get(from_here, rpc.RangeResponse).count <= everything.count
    assert everything.kvs == []


@CASES.required("1.4 unknown sort option")
def sort_options_are_checked(run: Run) -> None:
    order = rpc.RangeRequest.SortOrder.ValueType(3)
    request = rpc.RangeRequest(key=run.key("a"), sort_order=order)
    run.refused(request, "INVALID_ARGUMENT", _ETCD + "invalid sort option")


@CASES.optional("1.4 order NONE with a target sorts what the limit let through")
def a_limit_without_order_comes_before_the_sort(run: Run) -> None:
    for name, value in (("a", b"3"), ("b", b"2"), ("c", b"1")):
        do_put(run, run.key(name), value)
    request = rpc.RangeRequest(
        key=run.key("a"),
        range_end=run.key("z"),
        limit=1,
        sort_target=rpc.RangeRequest.VALUE,
    )
    assert run.get(request, rpc.RangeResponse).kvs[0].value == b"2"


# ---- put and delete


@CASES.required("1.5 ignore_value, ignore_lease")
def kept_parts_must_not_be_given(run: Run) -> None:
    key = run.key("a")
    value = rpc.PutRequest(key=key, value=b"v", ignore_value=True)
    run.refused(value, "INVALID_ARGUMENT", _ETCD + "value is provided")
    lease = rpc.PutRequest(key=key, lease=5, ignore_lease=True)
    run.refused(lease, "INVALID_ARGUMENT", _ETCD + "lease is provided")
    for request in (
        rpc.PutRequest(key=key, ignore_value=True),
        rpc.PutRequest(key=key, ignore_lease=True),
    ):
        run.refused(request, "INVALID_ARGUMENT", _ETCD + "key not found")


@CASES.required("1.5 unknown lease, also within a txn")
def a_lease_must_exist(run: Run) -> None:
    text = _ETCD + "requested lease not found"
    run.refused(rpc.PutRequest(key=run.key("a"), lease=999), "NOT_FOUND", text)
    ops = [put_op(run.key("b")), put_op(run.key("a"), lease=999)]
    run.refused(rpc.TxnRequest(success=ops), "NOT_FOUND", text)
    found = run.get(rpc.RangeRequest(key=run.key("b")), rpc.RangeResponse)
    assert found.count == 0  # Nothing of it has happened.


@CASES.required("1.5 a put without lease detaches")
def a_put_without_lease_detaches(run: Run) -> None:
    run.get(rpc.LeaseGrantRequest(ID=71, TTL=500), rpc.LeaseGrantResponse)
    do_put(run, run.key("a"), lease=71)
    do_put(run, run.key("a"))
    run.get(rpc.LeaseRevokeRequest(ID=71), rpc.LeaseRevokeResponse)
    assert run.get(rpc.RangeRequest(key=run.key("a")), rpc.RangeResponse).count == 1


@CASES.required("1.5 prev_kv")
def former_values_come_on_request(run: Run) -> None:
    put = rpc.PutRequest(key=run.key("a"), value=b"1", prev_kv=True)
    assert not run.get(put, rpc.PutResponse).HasField("prev_kv")
    assert run.get(put, rpc.PutResponse).prev_kv.value == b"1"
    delete = rpc.DeleteRangeRequest(
        key=run.key("a"), range_end=run.key("b"), prev_kv=True
    )
    reply = run.get(delete, rpc.DeleteRangeResponse)
    assert (reply.deleted, len(reply.prev_kvs)) == (1, 1)
    assert run.get(delete, rpc.DeleteRangeResponse).deleted == 0


# ---- txn


@CASES.required("1.6 and 2.1: kube-apiserver's create, update and delete")
def the_apiservers_three_txns(run: Run) -> None:
    key = run.key("pod")

    def txn(mod: int, op: rpc.RequestOp) -> rpc.TxnResponse:
        compare = rpc.Compare(key=key, target=rpc.Compare.MOD, mod_revision=mod)
        request = rpc.TxnRequest(
            compare=[compare], success=[op], failure=[range_op(key)]
        )
        return run.get(request, rpc.TxnResponse)

    created = txn(0, put_op(key, b"1"))
    assert created.succeeded
    again = txn(0, put_op(key, b"2"))
    assert not again.succeeded
    assert again.responses[0].response_range.kvs[0].value == b"1"
    updated = txn(created.header.revision, put_op(key, b"2"))
    assert updated.succeeded
    assert not txn(created.header.revision, delete_op(key)).succeeded
    assert txn(updated.header.revision, delete_op(key)).succeeded


@CASES.required("1.6 missing key: zero, except that VALUE always fails")
def a_missing_key_compares_as_zero(run: Run) -> None:
    for target in (0, 1, 2, 3, 4):
        for result in (0, 1, 2, 3):
            compare = rpc.Compare(
                key=run.key("none"),
                target=rpc.Compare.CompareTarget.ValueType(target),
                result=rpc.Compare.CompareResult.ValueType(result),
            )
            reply = run.get(rpc.TxnRequest(compare=[compare]), rpc.TxnResponse)
            assert reply.succeeded == (result == 0 and target != rpc.Compare.VALUE)


@CASES.required("1.6 a compare's range: every key; empty or inverted: missing key")
def a_compare_may_have_a_range(run: Run) -> None:
    do_put(run, run.key("a"), b"x")
    do_put(run, run.key("b"), b"x")

    def holds(first: str, end: bytes, value: bytes | None) -> bool:
        compare = rpc.Compare(key=run.key(first), range_end=end)
        if value is None:
            compare.target = rpc.Compare.VERSION
        else:
            compare.target = rpc.Compare.VALUE
            compare.value = value
        return run.get(rpc.TxnRequest(compare=[compare]), rpc.TxnResponse).succeeded

    assert holds("a", run.key("z"), b"x")
    do_put(run, run.key("c"), b"y")
    assert not holds("a", run.key("z"), b"x")
    assert not holds("b", run.key("a"), b"x")  # Inverted, and "b" lives.
    assert holds("b", run.key("a"), None)
    assert not holds("b", run.key("b"), b"x")


@CASES.required("1.6 the size limit counts nesting")
def a_txn_has_a_size_limit(run: Run) -> None:
    reads = [range_op(run.key("a"))] * 128
    run.get(rpc.TxnRequest(success=reads), rpc.TxnResponse)
    text = _ETCD + "too many operations in txn request"
    many = rpc.TxnRequest(success=[*reads, range_op(run.key("a"))])
    run.refused(many, "INVALID_ARGUMENT", text)
    compares = [rpc.Compare(key=run.key("a"))] * 129
    run.refused(rpc.TxnRequest(compare=compares), "INVALID_ARGUMENT", text)
    inner = rpc.RequestOp(request_txn=rpc.TxnRequest(success=reads))
    run.refused(rpc.TxnRequest(success=[inner]), "INVALID_ARGUMENT", text)


@CASES.required("1.6 duplicate keys, at any depth")
def a_key_is_written_once(run: Run) -> None:
    key, end = run.key("a"), run.key("b")
    text = _ETCD + "duplicate key given in txn request"
    inner = rpc.RequestOp(request_txn=rpc.TxnRequest(success=[put_op(key)]))
    for ops in (
        [put_op(key), put_op(key)],
        [put_op(key), delete_op(run.key(""), end)],
        [delete_op(key), put_op(key)],
        [put_op(key), inner],
        [inner, inner],
        [inner, delete_op(key)],
    ):
        run.refused(rpc.TxnRequest(success=ops), "INVALID_ARGUMENT", text)
        run.refused(rpc.TxnRequest(failure=ops), "INVALID_ARGUMENT", text)
    both_branches = rpc.TxnRequest(success=[put_op(key)], failure=[put_op(key)])
    apart = rpc.RequestOp(request_txn=both_branches)
    run.get(rpc.TxnRequest(success=[apart]), rpc.TxnResponse)
    deletes = [delete_op(key), delete_op(run.key(""), end), delete_op(key)]
    run.get(rpc.TxnRequest(success=deletes), rpc.TxnResponse)


@CASES.optional("1.6 duplicate check and open ends: etcd lets them pass")
def an_open_end_escapes_the_duplicate_check(run: Run) -> None:
    ops = [put_op(run.key("a")), delete_op(run.key(""), b"\0")]
    run.get(rpc.TxnRequest(success=ops), rpc.TxnResponse)
    assert run.get(rpc.RangeRequest(key=run.key("a")), rpc.RangeResponse).count == 0


@CASES.required("1.6 an empty operation")
def an_operation_must_be_something(run: Run) -> None:
    request = rpc.TxnRequest(success=[rpc.RequestOp()])
    run.refused(request, "INVALID_ARGUMENT", _ETCD + "key not found")


@CASES.required("1.6 nested compares see the state before the outer txn")
def nested_compares_look_back(run: Run) -> None:
    key = run.key("a")
    compare = rpc.Compare(key=key, target=rpc.Compare.VERSION, version=0)
    inner = rpc.TxnRequest(
        compare=[compare], success=[range_op(key)], failure=[put_op(run.key("no"))]
    )
    ops = [put_op(key), rpc.RequestOp(request_txn=inner)]
    reply = run.get(rpc.TxnRequest(success=ops), rpc.TxnResponse)
    nested_reply = reply.responses[1].response_txn
    assert nested_reply.succeeded
    assert nested_reply.responses[0].response_range.count == 1  # Sees the put.


@CASES.required("1.6 a range's revision refuses the whole txn")
def a_refused_read_undoes_the_writes(run: Run) -> None:
    revision = do_put(run, run.key("a"))
    put = put_op(run.key("b"))
    for bad, text in ((revision + 1, _FUTURE), (1, _COMPACTED), (-2, _COMPACTED)):
        ops = [put, range_op(run.key("a"), revision=bad)]
        if bad == 1:
            compaction = rpc.CompactionRequest(revision=revision, physical=True)
            run.get(compaction, rpc.CompactionResponse)
        run.refused(rpc.TxnRequest(success=ops), "OUT_OF_RANGE", text)
        run.refused(rpc.TxnRequest(success=ops[1:]), "OUT_OF_RANGE", text)
    # The branch that is not taken is not checked.
    skipped = rpc.TxnRequest(success=[put], failure=[range_op(b"a", revision=1)])
    assert run.get(skipped, rpc.TxnResponse).header.revision == revision + 1
    # Outside a txn a negative revision means the newest.
    request = rpc.RangeRequest(key=run.key("a"), revision=-2)
    assert run.get(request, rpc.RangeResponse).count == 1


@CASES.required("1.14 request size")
def a_request_has_a_size_limit(run: Run) -> None:
    text = _ETCD + "request is too large"
    large = rpc.PutRequest(key=run.key("a"), value=bytes(1_572_864))
    run.refused(large, "INVALID_ARGUMENT", text)
    fits = rpc.PutRequest(key=run.key("a"), value=bytes(1_572_000))
    run.get(fits, rpc.PutResponse)


# ---- compaction


@CASES.required("1.7 bounds of a compaction")
def a_compaction_has_bounds(run: Run) -> None:
    revision = do_put(run, run.key("a"))
    late = rpc.CompactionRequest(revision=revision + 1)
    run.refused(late, "OUT_OF_RANGE", _FUTURE)
    compaction = rpc.CompactionRequest(revision=revision, physical=True)
    done = run.get(compaction, rpc.CompactionResponse)
    assert done.header.revision == revision
    run.refused(compaction, "OUT_OF_RANGE", _COMPACTED)
    before = rpc.CompactionRequest(revision=revision - 1)
    run.refused(before, "OUT_OF_RANGE", _COMPACTED)


@CASES.required("1.7 and 1.11: the tombstone at the compact revision, and HashKV")
def hashes_are_etcds(run: Run) -> None:
    do_put(run, run.key("a"))
    gone = rpc.DeleteRangeRequest(key=run.key("a"))
    revision = run.get(gone, rpc.DeleteRangeResponse).header.revision
    do_put(run, run.key("b"))
    run.get(rpc.HashKVRequest(), rpc.HashKVResponse)
    run.get(rpc.HashKVRequest(revision=revision), rpc.HashKVResponse)
    compaction = rpc.CompactionRequest(revision=revision, physical=True)
    run.get(compaction, rpc.CompactionResponse)
    found = run.get(rpc.HashKVRequest(), rpc.HashKVResponse)
    assert (found.compact_revision, found.hash_revision) == (revision, revision + 1)
    before = rpc.HashKVRequest(revision=revision - 1)
    run.refused(before, "OUT_OF_RANGE", _COMPACTED)
    late = rpc.HashKVRequest(revision=revision + 2)
    run.refused(late, "OUT_OF_RANGE", _FUTURE)
    everything = rpc.DeleteRangeRequest(key=b"\0", range_end=b"\0")
    run.get(everything, rpc.DeleteRangeResponse)
    run.get(rpc.HashKVRequest(), rpc.HashKVResponse)


@CASES.optional("1.11 HashKV of a negative revision")
def a_negative_revision_hashes_nothing(run: Run) -> None:
    do_put(run, run.key("a"))
    run.get(rpc.HashKVRequest(revision=-3), rpc.HashKVResponse)


# ---- leases


@CASES.required("1.9 grants")
def a_grant_has_bounds(run: Run) -> None:
    short = run.get(rpc.LeaseGrantRequest(ID=81, TTL=1), rpc.LeaseGrantResponse)
    assert (short.ID, short.TTL) == (81, 2)
    run.refused(
        rpc.LeaseGrantRequest(ID=81, TTL=50),
        "FAILED_PRECONDITION",
        _ETCD + "lease already exists",
    )
    long = rpc.LeaseGrantRequest(ID=82, TTL=9_000_000_001)
    run.refused(long, "OUT_OF_RANGE", _ETCD + "too large lease TTL")
    run.get(rpc.LeaseRevokeRequest(ID=81), rpc.LeaseRevokeResponse)
    chosen = run.side.get(rpc.LeaseGrantRequest(TTL=50), rpc.LeaseGrantResponse)
    assert chosen.ID > 0
    run.side.get(rpc.LeaseRevokeRequest(ID=chosen.ID), rpc.LeaseRevokeResponse)


@CASES.required("1.9 unknown leases")
def an_unknown_lease_is_told_by_its_ttl(run: Run) -> None:
    ask = rpc.LeaseTimeToLiveRequest(ID=99)
    assert run.get(ask, rpc.LeaseTimeToLiveResponse).TTL == -1
    revoke = rpc.LeaseRevokeRequest(ID=99)
    run.refused(revoke, "NOT_FOUND", _ETCD + "requested lease not found")
    renewed = run.side.keep_alive(99)
    run.note(renewed)
    assert renewed.TTL == 0


@CASES.required("1.9 renewal, list and keys")
def a_lease_knows_its_keys(run: Run) -> None:
    run.get(rpc.LeaseGrantRequest(ID=91, TTL=500), rpc.LeaseGrantResponse)
    for name in "ba":
        do_put(run, run.key(name), lease=91)
    ask = rpc.LeaseTimeToLiveRequest(ID=91, keys=True)
    found = run.get(ask, rpc.LeaseTimeToLiveResponse)
    assert sorted(found.keys) == [run.key("a"), run.key("b")]
    assert found.grantedTTL == 500
    run.note(run.side.keep_alive(91))
    listed = run.get(rpc.LeaseLeasesRequest(), rpc.LeaseLeasesResponse)
    assert [lease.ID for lease in listed.leases] == [91]
    before = run.side.revision()
    run.get(rpc.LeaseRevokeRequest(ID=91), rpc.LeaseRevokeResponse)
    assert run.side.revision() == before + 1  # Both keys in one revision.


# ---- maintenance and cluster


@CASES.required("1.11 alarms of a healthy member")
def there_is_no_alarm(run: Run) -> None:
    assert not run.get(rpc.AlarmRequest(), rpc.AlarmResponse).alarms


@CASES.required("1.11 MoveLeader to nobody")
def the_leader_moves_to_members_only(run: Run) -> None:
    request = rpc.MoveLeaderRequest(targetID=1)
    text = _ETCD + "bad leader transferee"
    run.refused(request, "FAILED_PRECONDITION", text)


@CASES.required("1.2 Defragment carries no header")
def defragment_says_nothing(run: Run) -> None:
    reply = run.get(rpc.DefragmentRequest(), rpc.DefragmentResponse)
    assert not reply.HasField("header")


@CASES.required("1.2 and 1.10: the member list, header revision 0")
def the_member_list_has_addresses(run: Run) -> None:
    request = rpc.MemberListRequest(linearizable=True)
    answer = run.side.ask(request)
    assert not isinstance(answer, Refused)
    assert isinstance(answer, rpc.MemberListResponse)
    assert answer.header.revision == 0
    (member,) = answer.members
    assert (member.ID, member.name) == (answer.header.member_id, "a")
    assert list(member.clientURLs) == [run.side.cluster.members[0].client_url]
    assert not member.isLearner


@CASES.required("1.11 and 2.2: Status")
def status_is_complete(run: Run) -> None:
    found = run.side.get(rpc.StatusRequest(), rpc.StatusResponse)
    assert found.leader == found.header.member_id
    major, minor, _ = (int(part) for part in found.version.split("."))
    assert (major, minor) >= (3, 6)
    assert 0 < found.dbSizeInUse <= found.dbSize
    assert 0 < found.raftAppliedIndex <= found.raftIndex
    assert found.raftTerm == found.header.raft_term > 0
    assert (found.isLearner, list(found.errors)) == (False, [])
