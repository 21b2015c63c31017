"""The Watch service, by rule of etcd's contract."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.etcd.context import WireOptions
from twofold.etcd.errors import TABLE
from twofold.proto import kv_pb2, rpc_pb2
from twofold.testing.fakes_front import FakeStream

WATCH = "/etcdserverpb.Watch/Watch"
Wire = Any
Create = rpc_pb2.WatchCreateRequest


class Client:
    """The far end of one watch stream."""

    def __init__(self, wire: Wire, metadata: dict[bytes, bytes] | None = None) -> None:
        self.wire = wire
        stream, self.handler = wire.open(WATCH, metadata)
        self.stream: FakeStream = stream

    def send(self, **fields: Any) -> None:
        self.handler.message(rpc_pb2.WatchRequest(**fields).SerializeToString())

    def create(self, key: bytes = b"k", **fields: Any) -> list[rpc_pb2.WatchResponse]:
        self.send(create_request=Create(key=key, **fields))
        return self.take()

    def cancel(self, watch_id: int) -> list[rpc_pb2.WatchResponse]:
        self.send(cancel_request=rpc_pb2.WatchCancelRequest(watch_id=watch_id))
        return self.take()

    def ask_progress(self) -> list[rpc_pb2.WatchResponse]:
        self.send(progress_request=rpc_pb2.WatchProgressRequest())
        return self.take()

    def take(self) -> list[rpc_pb2.WatchResponse]:
        return [rpc_pb2.WatchResponse.FromString(raw) for raw in self.stream.take()]

    def catch_up(self) -> list[rpc_pb2.WatchResponse]:
        """Let the hub work through history."""
        self.wire.timers.advance(1)
        return self.take()


@pytest.fixture
def client(wire: Wire) -> Client:
    return Client(wire)


def keys(replies: list[rpc_pb2.WatchResponse]) -> list[tuple[bytes, int]]:
    return [
        (event.kv.key, event.kv.mod_revision)
        for reply in replies
        for event in reply.events
    ]


# ---- creation


def test_created_comes_first_with_the_current_revision(
    wire: Wire, client: Client
) -> None:
    wire.put(b"k")
    (reply,) = client.create()
    assert (reply.created, reply.canceled, reply.watch_id) == (True, False, 0)
    assert reply.header.revision == 2
    assert reply.header.member_id == wire.facade.member_id


def test_automatic_ids_count_from_zero_per_stream(wire: Wire, client: Client) -> None:
    assert [client.create()[0].watch_id for _ in range(3)] == [0, 1, 2]
    assert Client(wire).create()[0].watch_id == 0


def test_automatic_ids_step_over_chosen_ones(client: Client) -> None:
    client.create(watch_id=1)
    assert [client.create()[0].watch_id for _ in range(2)] == [0, 2]


def test_a_chosen_id_in_use_is_refused(client: Client) -> None:
    client.create(watch_id=7)
    (reply,) = client.create(watch_id=7)
    assert (reply.created, reply.canceled, reply.watch_id) == (True, True, -1)
    assert reply.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"


@pytest.mark.parametrize("range_end", [b"k", b"a"])
def test_an_empty_range_is_refused(client: Client, range_end: bytes) -> None:
    (reply,) = client.create(range_end=range_end)
    assert (reply.created, reply.canceled, reply.watch_id) == (True, True, -1)
    assert reply.cancel_reason == "mvcc: watcher range is empty"


def test_a_negative_start_is_refused_as_compacted(client: Client) -> None:
    (reply,) = client.create(start_revision=-1)
    assert (reply.created, reply.canceled, reply.watch_id) == (True, True, -1)
    assert reply.cancel_reason == TABLE["COMPACTED"].text


def test_no_key_and_an_open_end_watch_everything(wire: Wire, client: Client) -> None:
    client.create(b"", range_end=b"\0")
    wire.put(b"a")
    assert keys(client.take()) == [(b"a", 2)]


def test_an_open_end_watches_from_the_key_on(wire: Wire, client: Client) -> None:
    client.create(b"b", range_end=b"\0")
    wire.put(b"a")
    wire.put(b"c")
    assert keys(client.take()) == [(b"c", 3)]


# ---- events


def test_an_event_names_watch_revision_and_key_value(
    wire: Wire, client: Client
) -> None:
    client.create()
    client.create()
    wire.put(b"k", b"1")
    first, second = client.take()
    assert (first.watch_id, second.watch_id) == (0, 1)
    (event,) = first.events
    assert event.type == kv_pb2.Event.PUT
    assert (event.kv.value, event.kv.mod_revision, event.kv.version) == (b"1", 2, 1)
    assert first.header.revision == 2
    assert not event.HasField("prev_kv")


def test_a_delete_event_has_key_and_revision_only(wire: Wire, client: Client) -> None:
    wire.put(b"k")
    client.create()
    wire.delete(b"k")
    (reply,) = client.take()
    (event,) = reply.events
    assert event.type == kv_pb2.Event.DELETE
    assert event.kv == kv_pb2.KeyValue(key=b"k", mod_revision=3)


def test_previous_values_come_if_asked_and_not_for_a_create(
    wire: Wire, client: Client
) -> None:
    client.create(prev_kv=True)
    wire.put(b"k", b"1")
    wire.put(b"k", b"2")
    wire.delete(b"k")
    created, updated, deleted = (reply.events[0] for reply in client.take())
    assert not created.HasField("prev_kv")
    assert updated.prev_kv.value == b"1"
    assert deleted.prev_kv.value == b"2"


def test_filters_leave_out_puts_or_deletes(wire: Wire, client: Client) -> None:
    client.create(filters=[Create.NOPUT])
    client.create(filters=[Create.NODELETE])
    wire.put(b"k")
    wire.delete(b"k")
    got = [(reply.watch_id, reply.events[0].type) for reply in client.take()]
    assert got == [(1, kv_pb2.Event.PUT), (0, kv_pb2.Event.DELETE)]


def test_events_of_one_revision_come_together(wire: Wire, client: Client) -> None:
    for key in (b"a", b"b"):
        wire.put(key)
    client.create(b"a", range_end=b"\0")
    wire.delete(b"a", b"\0")
    (reply,) = client.take()
    assert keys([reply]) == [(b"a", 4), (b"b", 4)]


def test_other_streams_get_the_same_event(wire: Wire) -> None:
    clients = [Client(wire) for _ in range(3)]
    for client in clients:
        client.create()
    wire.put(b"k")
    assert [keys(client.take()) for client in clients] == [[(b"k", 2)]] * 3


# ---- history


def test_history_is_told_from_the_start_revision(wire: Wire, client: Client) -> None:
    for _ in range(3):
        wire.put(b"k")
    client.create(start_revision=3)
    replies = client.catch_up()
    assert keys(replies) == [(b"k", 3), (b"k", 4)]
    assert replies[-1].header.revision == 4
    wire.put(b"k")
    assert keys(client.take()) == [(b"k", 5)]


def test_a_future_start_is_silent_until_reached(wire: Wire, client: Client) -> None:
    client.create(start_revision=4, progress_notify=True)
    wire.put(b"k")
    wire.put(b"k")
    assert client.take() == []
    assert client.ask_progress() == []
    wire.put(b"k")
    assert keys(client.take()) == [(b"k", 4)]
    assert len(client.ask_progress()) == 1


def test_a_compacted_start_is_created_then_canceled(wire: Wire, client: Client) -> None:
    for _ in range(4):
        wire.put(b"k")
    wire.compact(4)
    (created,) = client.create(start_revision=2)
    assert (created.created, created.canceled) == (True, False)
    (canceled,) = client.catch_up()
    assert (canceled.canceled, canceled.created) == (True, False)
    assert (canceled.compact_revision, canceled.cancel_reason) == (4, "")
    assert (canceled.header.revision, canceled.watch_id) == (0, 0)
    assert client.cancel(0) == []


def test_the_compact_revision_itself_may_be_watched(wire: Wire, client: Client) -> None:
    for _ in range(4):
        wire.put(b"k")
    wire.compact(4)
    client.create(start_revision=4)
    assert keys(client.catch_up()) == [(b"k", 4), (b"k", 5)]


def test_long_history_comes_in_several_messages(wire: Wire, client: Client) -> None:
    for _ in range(4):
        wire.put(b"k", b"x" * 600_000)
    client.create(start_revision=1)
    replies = client.catch_up()
    assert len(replies) == 4
    assert keys(replies) == [(b"k", n) for n in (2, 3, 4, 5)]


# ---- cancel


def test_cancel_is_confirmed_and_ends_the_events(wire: Wire, client: Client) -> None:
    client.create()
    (reply,) = client.cancel(0)
    assert (reply.canceled, reply.created, reply.watch_id) == (True, False, 0)
    assert (reply.compact_revision, reply.cancel_reason) == (0, "")
    wire.put(b"k")
    assert client.take() == []
    assert len(wire.facade.store.hub) == 0


def test_canceling_an_unknown_id_is_silent(client: Client) -> None:
    assert client.cancel(5) == []


# ---- progress


def test_progress_is_answered_at_once_for_the_whole_stream(
    wire: Wire, client: Client
) -> None:
    client.create()
    client.create(b"other")
    wire.put(b"unrelated")
    (reply,) = client.ask_progress()
    assert (reply.watch_id, reply.header.revision) == (-1, 2)
    assert not reply.events
    assert not reply.created
    assert not reply.canceled


def test_progress_is_not_answered_while_a_watch_is_behind(
    wire: Wire, client: Client
) -> None:
    wire.put(b"k")
    client.create(start_revision=1)
    assert client.ask_progress() == []
    client.catch_up()
    assert len(client.ask_progress()) == 1


def test_progress_without_watches_is_not_answered(client: Client) -> None:
    assert client.ask_progress() == []


def test_progress_never_overtakes_an_event(wire: Wire, client: Client) -> None:
    client.create()
    wire.facade.store.put(b"k", b"applied, not yet notified")
    event, progress = client.ask_progress()
    assert keys([event]) == [(b"k", 2)]
    assert (progress.watch_id, progress.header.revision) == (-1, 2)


def test_notifications_come_by_the_clock_to_quiet_watches(
    wire: Wire, client: Client
) -> None:
    client.create(progress_notify=True)
    client.create(b"other")
    wire.timers.advance(600_000)
    (reply,) = client.take()
    assert (reply.watch_id, reply.header.revision, len(reply.events)) == (0, 1, 0)


def test_an_event_stands_in_for_the_next_notification(
    wire: Wire, client: Client
) -> None:
    client.create(progress_notify=True)
    wire.put(b"k")
    client.take()
    wire.timers.advance(600_000)
    assert client.take() == []
    wire.timers.advance(600_000)
    assert len(client.take()) == 1


def test_a_watch_that_is_behind_is_not_notified(wire: Wire, client: Client) -> None:
    wire.put(b"k")
    client.create(progress_notify=True, start_revision=9)
    wire.timers.advance(600_000)
    assert client.take() == []


def test_the_clock_stops_with_the_stream(wire: Wire, client: Client) -> None:
    client.create(progress_notify=True)
    client.handler.closed()
    wire.timers.advance(1_200_000)
    assert client.take() == []


# ---- revisions in headers


def test_headers_never_go_back_on_a_stream(wire: Wire, client: Client) -> None:
    client.create(b"a")
    seen = client.ask_progress()
    for _ in range(3):
        wire.put(b"a")
        seen += client.take()
    seen += client.create(b"a", start_revision=1)
    seen += client.catch_up()
    seen += client.ask_progress()
    seen += client.cancel(0)
    revisions = [reply.header.revision for reply in seen]
    assert revisions == sorted(revisions)
    assert len(revisions) == 8


# ---- a slow client


def test_a_full_stream_gets_no_more_until_it_is_writable(
    wire: Wire, client: Client
) -> None:
    client.create()
    client.stream.room = 1
    for _ in range(3):
        wire.put(b"k")
    assert keys(client.take()) == [(b"k", 2)]
    assert client.catch_up() == []
    client.stream.room = 1 << 30
    client.handler.writable()
    assert keys(client.catch_up()) == [(b"k", 3), (b"k", 4)]
    wire.put(b"k")
    assert keys(client.take()) == [(b"k", 5)]


def test_every_watch_of_a_full_stream_resumes_where_it_stopped(
    wire: Wire, client: Client
) -> None:
    client.create(b"a")
    client.create(b"b")
    client.stream.room = 1
    for key in (b"a", b"b", b"a", b"b"):
        wire.put(key)
    client.take()
    client.stream.room = 1 << 30
    client.handler.writable()
    got = sorted(keys(client.catch_up()), key=lambda pair: pair[1])
    assert got == [(b"b", 3), (b"a", 4), (b"b", 5)]


def test_a_quiet_watch_of_a_full_stream_survives_a_compaction(
    wire: Wire, client: Client
) -> None:
    client.create(b"busy")
    client.create(b"quiet")
    client.stream.room = 1
    for _ in range(5):
        wire.put(b"busy")
    wire.compact(5)
    client.take()
    client.stream.room = 1 << 30
    client.handler.writable()
    replies = client.catch_up()
    assert [reply.watch_id for reply in replies if reply.canceled] == [0]
    wire.put(b"quiet")
    assert keys(client.take()) == [(b"quiet", 7)]


def test_a_client_that_asks_and_never_reads_is_cut_off(client: Client) -> None:
    client.stream.room = 1
    for _ in range(10_002):
        client.send(create_request=Create(key=b"k", range_end=b"a"))
    assert client.stream.status == TABLE["TOO_MANY_REQUESTS"]


# ---- fragments


def test_a_large_revision_is_fragmented_only_if_asked(wire: Wire) -> None:
    wire = type(wire)(WireOptions(request_bytes_max=1_000, response_overhead_bytes=0))
    for n in range(4):
        wire.put(b"k%d" % n, b"x" * 400)
    plain, cut = Client(wire), Client(wire)
    plain.create(range_end=b"l", prev_kv=True)
    cut.create(range_end=b"l", prev_kv=True, fragment=True)
    wire.delete(b"k", b"l")
    assert [len(reply.events) for reply in plain.take()] == [4]
    pieces = cut.take()
    assert [piece.fragment for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert len(pieces) > 1
    assert [key for key, _ in keys(pieces)] == [b"k0", b"k1", b"k2", b"k3"]


# ---- the stream's life


def test_closing_leaves_nothing_behind(wire: Wire, client: Client) -> None:
    client.create()
    client.create(start_revision=1, range_end=b"\0")
    client.handler.closed()
    assert len(wire.facade.store.hub) == 0
    assert not wire.services.watches.streams


def test_half_closing_keeps_the_events_coming(wire: Wire, client: Client) -> None:
    client.create()
    client.handler.half_closed()
    wire.put(b"k")
    assert keys(client.take()) == [(b"k", 2)]
    assert client.stream.alive


def test_stopping_ends_streams_as_unavailable(wire: Wire, client: Client) -> None:
    client.create()
    wire.services.stop()
    assert client.stream.status == TABLE["STOPPED"]
    assert client.stream.status[0] == 14
    wire.put(b"k")
    assert client.take() == []


def test_an_unknown_request_is_ignored(client: Client) -> None:
    client.handler.message(b"")
    assert client.stream.alive
    assert client.take() == []


def test_what_is_no_message_ends_the_stream(client: Client) -> None:
    client.handler.message(b"\xff\xff")
    assert client.stream.status is not None
    assert client.stream.status[0] == 13
