"""Named cases of Watch, and of leases that end, on twofold and on etcd."""

from __future__ import annotations

import time

import pytest

from twofold.proto import kv_pb2 as kv
from twofold.proto import rpc_pb2 as rpc
from twofold.testing.differential import Pair, broken_rules, settle
from twofold.testing.named_cases import Case, Cases, Run, run_case

CASES = Cases()
_MIB = 1 << 20
_COMPACTED = "etcdserver: mvcc: required revision has been compacted"
_NO_PUT = rpc.WatchCreateRequest.NOPUT
_NO_DELETE = rpc.WatchCreateRequest.NODELETE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(both: Pair, case: Case) -> None:
    run_case(case, both)


def do_put(run: Run, name: str, value: bytes = b"v", lease: int = 0) -> int:
    request = rpc.PutRequest(key=run.key(name), value=value, lease=lease)
    return run.get(request, rpc.PutResponse).header.revision


def do_delete(run: Run, name: str) -> int:
    request = rpc.DeleteRangeRequest(key=run.key(name))
    return run.get(request, rpc.DeleteRangeResponse).header.revision


def do_compact(run: Run, revision: int) -> None:
    request = rpc.CompactionRequest(revision=revision, physical=True)
    run.get(request, rpc.CompactionResponse)


# ---- creating


@CASES.required("1.8 created first, then events from now on; ids from 0")
def a_watch_begins_now(run: Run) -> None:
    do_put(run, "a", b"before")
    tap = run.tap()
    tap.create(key=run.key("a"))
    tap.create(key=run.key("b"), range_end=run.key("c"))
    tap.wait(2)
    do_put(run, "a", b"after")
    replies = tap.wait(3)
    assert [(one.watch_id, one.created) for one in replies[:2]] == [
        (0, True),
        (1, True),
    ]
    assert [event.kv.value for event in replies[2].events] == [b"after"]


@CASES.required("1.8 history from start_revision; header is the current revision")
def a_watch_begins_in_the_past(run: Run) -> None:
    first = do_put(run, "a", b"1")
    do_put(run, "b")
    last = do_put(run, "a", b"2")
    tap = run.tap()
    tap.create(key=run.key("a"), start_revision=first)
    created, events = tap.wait(2)
    assert created.created
    assert [one.kv.value for one in events.events] == [b"1", b"2"]
    assert events.header.revision == last


@CASES.required("1.8 a start in the future is silent until then")
def a_watch_begins_in_the_future(run: Run) -> None:
    now = do_put(run, "a")
    tap = run.tap()
    tap.create(key=run.key("a"), start_revision=now + 2)
    tap.wait(1)
    tap.progress()
    do_put(run, "a", b"early")
    do_put(run, "a", b"due")
    replies = tap.wait(2)
    assert [one.kv.value for one in replies[1].events] == [b"due"]


@CASES.required("1.8 a start before the compact revision")
def a_watch_begins_too_early(run: Run) -> None:
    first = do_put(run, "a")
    revision = do_put(run, "a")
    do_compact(run, revision)
    tap = run.tap()
    tap.create(key=run.key("a"), start_revision=first)
    created, canceled = tap.wait(2)
    assert created.created
    assert not created.canceled
    assert (canceled.canceled, canceled.compact_revision) == (True, revision)
    assert (canceled.cancel_reason, canceled.header.revision) == ("", 0)
    tap.create(key=run.key("a"), start_revision=revision)
    events = tap.wait(4)[3].events
    assert [one.kv.mod_revision for one in events] == [revision]


@CASES.required("1.8 refused creations: negative start, bad range, id in use")
def a_watch_may_be_refused(run: Run) -> None:
    tap = run.tap()
    tap.create(key=run.key("a"), start_revision=-1)
    tap.create(key=run.key("b"), range_end=run.key("a"))
    tap.create(key=run.key("b"), range_end=run.key("b"))
    tap.create(key=run.key("a"), watch_id=7)
    tap.create(key=run.key("a"), watch_id=7)
    replies = tap.wait(5)
    refused = [replies[0], replies[1], replies[2], replies[4]]
    assert all(
        (one.watch_id, one.created, one.canceled) == (-1, True, True) for one in refused
    )
    assert [one.cancel_reason for one in refused] == [
        _COMPACTED,
        "mvcc: watcher range is empty",
        "mvcc: watcher range is empty",
        "mvcc: duplicate watch ID provided on the WatchStream",
    ]


@CASES.required("1.8 own ids; those of the server step over them")
def a_client_may_choose_ids(run: Run) -> None:
    tap = run.tap()
    for watch_id in (1, 0, 0, 5):
        tap.create(key=run.key("a"), watch_id=watch_id)
    assert [one.watch_id for one in tap.wait(4)] == [1, 0, 2, 5]


@CASES.required("1.8 no key: everything from the first key on")
def a_watch_of_everything(run: Run) -> None:
    tap = run.tap()
    tap.create(key=b"", range_end=b"\0")
    tap.create(key=b"")
    tap.wait(2)
    do_put(run, "a")
    assert tap.wait(3)[2].watch_id == 0


# ---- events


@CASES.required("1.8 and 2.2: prev_kv")
def former_values_come_with_events(run: Run) -> None:
    tap = run.tap()
    tap.create(key=run.key("a"), prev_kv=True)
    tap.wait(1)
    do_put(run, "a", b"1")
    do_put(run, "a", b"2")
    do_delete(run, "a")
    created, updated, deleted = (one.events[0] for one in tap.wait(4)[1:])
    assert not created.HasField("prev_kv")
    assert (updated.prev_kv.value, deleted.prev_kv.value) == (b"1", b"2")
    assert deleted.type == kv.Event.DELETE
    tombstone = kv.KeyValue(key=run.key("a"), mod_revision=deleted.kv.mod_revision)
    assert deleted.kv == tombstone


@CASES.required("1.8 prev_kv that is compacted away is left out")
def a_compacted_former_value_is_missing(run: Run) -> None:
    do_put(run, "a", b"1")
    revision = do_put(run, "a", b"2")
    do_put(run, "a", b"3")
    do_compact(run, revision)
    tap = run.tap()
    tap.create(key=run.key("a"), start_revision=revision, prev_kv=True)
    first, second = tap.wait(2)[1].events
    assert not first.HasField("prev_kv")
    assert second.prev_kv.value == b"2"


@CASES.required("1.8 filters")
def a_watch_may_leave_out_kinds(run: Run) -> None:
    first = do_put(run, "a")
    do_delete(run, "a")
    tap = run.tap()
    tap.create(key=run.key("a"), start_revision=first, filters=[_NO_PUT])
    tap.wait(2)
    tap.create(key=run.key("a"), start_revision=first, filters=[_NO_DELETE])
    replies = tap.wait(4)
    assert [one.type for one in replies[1].events] == [kv.Event.DELETE]
    assert [one.type for one in replies[3].events] == [kv.Event.PUT]


@CASES.required("1.8 events of a txn come together and in order")
def a_txn_is_one_message(run: Run) -> None:
    tap = run.tap()
    tap.create(key=run.key(""), range_end=run.key("z"))
    tap.wait(1)
    do_put(run, "c")
    ops = [
        rpc.RequestOp(request_put=rpc.PutRequest(key=run.key(name))) for name in "ba"
    ]
    delete = rpc.DeleteRangeRequest(key=run.key("c"))
    ops.append(rpc.RequestOp(request_delete_range=delete))
    run.get(rpc.TxnRequest(success=ops), rpc.TxnResponse)
    keys = [one.kv.key for one in tap.wait(3)[2].events]
    assert keys == [run.key("b"), run.key("a"), run.key("c")]


@CASES.required("1.8 fragment: pieces, the last without the mark")
def a_large_revision_may_come_in_pieces(run: Run) -> None:
    first = 0
    for name in "abc":
        first = first or do_put(run, name, bytes(_MIB))
        do_put(run, name, bytes(_MIB))
    tap = run.tap()
    tap.create(
        key=run.key(""), range_end=run.key("z"), start_revision=first, fragment=True
    )
    settle([tap])
    events = [one for reply in tap.replies for one in reply.events]
    assert len(events) == 4
    assert not tap.replies[-1].fragment
    # How many pieces is a matter of batches: only the events are compared.
    tap.replies.clear()


# ---- ending and progress


@CASES.required("1.8 cancel, and of an unknown id: silence")
def a_watch_ends_on_request(run: Run) -> None:
    tap = run.tap()
    tap.create(key=run.key("a"))
    tap.create(key=run.key("a"))
    tap.wait(2)
    tap.cancel(42)
    tap.cancel(0)
    replies = tap.wait(3)
    assert (replies[2].watch_id, replies[2].canceled) == (0, True)
    do_put(run, "a")
    assert tap.wait(4)[3].watch_id == 1


@CASES.required("1.8 and 2.2: a progress request")
def progress_is_told_when_all_are_there(run: Run) -> None:
    tap = run.tap()
    tap.create(key=run.key("a"))
    tap.create(key=run.key("b"), range_end=b"\0")
    tap.wait(2)
    revision = do_put(run, "zz")
    tap.wait(3)
    tap.progress()
    reply = tap.wait(4)[3]
    assert (reply.watch_id, reply.header.revision) == (-1, revision)
    assert not reply.events


@CASES.optional("1.8 a progress request on a stream without watches")
def nobody_to_tell_progress(run: Run) -> None:
    do_put(run, "a")
    tap = run.tap()
    tap.progress()
    settle([tap])


@CASES.optional("1.8 an empty request on the stream")
def an_empty_request_means_nothing(run: Run) -> None:
    tap = run.tap()
    tap.send(rpc.WatchRequest())
    tap.create(key=run.key("a"))
    assert tap.wait(1)[0].created


# ---- leases that end


@CASES.required("1.9 revoke: the keys go in one revision, sorted")
def a_revoke_deletes_in_order(run: Run) -> None:
    run.get(rpc.LeaseGrantRequest(ID=61, TTL=500), rpc.LeaseGrantResponse)
    for name in "cab":
        do_put(run, name, lease=61)
    tap = run.tap()
    tap.create(key=run.key(""), range_end=run.key("z"))
    tap.wait(1)
    run.get(rpc.LeaseRevokeRequest(ID=61), rpc.LeaseRevokeResponse)
    keys = [one.kv.key for one in tap.wait(2)[1].events]
    assert keys == [run.key("a"), run.key("b"), run.key("c")]


@CASES.required("1.9 expiry: never early, and then in one revision")
def an_expired_lease_deletes_its_keys(run: Run) -> None:
    run.get(rpc.LeaseGrantRequest(ID=62, TTL=2), rpc.LeaseGrantResponse)
    granted_s = time.monotonic()
    for name in "ab":
        do_put(run, name, lease=62)
    tap = run.tap()
    tap.create(key=run.key(""), range_end=run.key("z"))
    reply = tap.wait(2, timeout_s=10.0)[1]
    # The grant's own way to the server and back is not counted.
    assert time.monotonic() - granted_s > 1.9
    assert len(reply.events) == 2
    ask = rpc.LeaseTimeToLiveRequest(ID=62)
    assert run.get(ask, rpc.LeaseTimeToLiveResponse).TTL == -1


@CASES.required("1.8 progress_notify: on its own, when nothing happens")
def progress_comes_by_itself(run: Run) -> None:
    revision = do_put(run, "a")
    tap = run.tap()
    tap.create(key=run.key("a"), progress_notify=True)
    tap.create(key=run.key("a"))
    reply = tap.wait(3)[2]
    assert (reply.watch_id, reply.header.revision) == (0, revision)
    assert not reply.events
    # How many come before the end is a matter of time.
    tap.replies.clear()


@CASES.required("1.8 every event of a long history, whole revisions, in order")
def a_long_history_is_caught_up(run: Run) -> None:
    puts = [
        rpc.RequestOp(request_put=rpc.PutRequest(key=run.key(f"{number:03}")))
        for number in range(100)
    ]
    first = 0
    for _ in range(30):
        reply = run.get(rpc.TxnRequest(success=puts), rpc.TxnResponse)
        first = first or reply.header.revision
    tap = run.tap()
    tap.create(key=run.key(""), range_end=run.key("z"), start_revision=first)
    settle([tap])
    events = [one for reply in tap.replies for one in reply.events]
    assert [one.kv.mod_revision - first for one in events] == [
        revision for revision in range(30) for _ in puts
    ]
    assert broken_rules(tap.replies) == []
    tap.replies.clear()
