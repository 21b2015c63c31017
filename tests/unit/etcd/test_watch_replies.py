"""Watch replies must read back as protobuf's."""

from twofold.etcd import watch_replies as replies
from twofold.etcd.codec import Headers
from twofold.proto import kv_pb2, rpc_pb2

HEADER = Headers(1, 2).field(9, 4)


def event(value: bytes) -> bytes:
    message = rpc_pb2.WatchResponse()
    message.events.add(kv=kv_pb2.KeyValue(key=b"k", value=value))
    return message.SerializeToString()


def read(raw: bytes) -> rpc_pb2.WatchResponse:
    reply = rpc_pb2.WatchResponse.FromString(raw)
    assert reply.SerializeToString() == raw
    return reply


def test_created_names_the_watch() -> None:
    reply = read(replies.created(HEADER, replies.watch_id_field(3)))
    assert (reply.watch_id, reply.created, reply.canceled) == (3, True, False)


def test_not_created_has_id_minus_one_and_the_reason() -> None:
    reply = read(replies.not_created(HEADER, "why"))
    assert (reply.watch_id, reply.cancel_reason) == (-1, "why")
    assert reply.created
    assert reply.canceled


def test_compacted_has_the_revision_and_no_reason() -> None:
    reply = read(replies.compacted(HEADER, replies.watch_id_field(0), 5))
    assert (reply.compact_revision, reply.cancel_reason) == (5, "")
    assert reply.canceled
    assert not reply.created


def test_progress_is_a_bare_header() -> None:
    reply = read(replies.progress(HEADER, replies.watch_id_field(-1)))
    assert (reply.header.revision, reply.watch_id) == (9, -1)
    assert not reply.events


def test_fragments_stay_below_the_limit_and_only_the_last_is_unmarked() -> None:
    events = [event(bytes([n]) * 100) for n in range(10)]
    pieces = [
        read(raw) for raw in replies.fragments(HEADER, b"", b"".join(events), 400)
    ]
    assert [piece.fragment for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert len(pieces) > 1
    assert all(piece.ByteSize() < 400 for piece in pieces)
    values = [one.kv.value for piece in pieces for one in piece.events]
    assert values == [bytes([n]) * 100 for n in range(10)]


def test_an_event_above_the_limit_goes_alone() -> None:
    events = [event(b"x" * 1000), event(b"y")]
    pieces = [
        read(raw) for raw in replies.fragments(HEADER, b"", b"".join(events), 400)
    ]
    assert [len(piece.events) for piece in pieces] == [1, 1]


def test_events_split_again_where_they_were_joined() -> None:
    events = [event(b"v" * size) for size in (0, 100, 200, 20_000)]
    assert replies.split_events(b"".join(events)) == events


def test_what_fits_is_not_split() -> None:
    group = event(b"a") + event(b"b")
    (piece,) = replies.fragments(HEADER, b"", group, 400)
    assert len(read(piece).events) == 2
    assert not read(piece).fragment
