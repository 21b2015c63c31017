"""The comparison itself: it must see what differs, and forgive nothing else."""

from __future__ import annotations

from google.protobuf.message import Message

from twofold.proto import kv_pb2 as kv
from twofold.proto import rpc_pb2 as rpc
from twofold.testing.differential import (
    Excuse,
    Refused,
    broken_rules,
    difference,
    story,
    words,
)

REQUEST = rpc.RangeRequest(key=b"k")


def found(revision: int = 5, member: int = 1, lease: int = 0) -> rpc.RangeResponse:
    header = rpc.ResponseHeader(member_id=member, revision=revision, raft_term=member)
    return rpc.RangeResponse(header=header, kvs=[kv.KeyValue(key=b"k", lease=lease)])


def told(revision: int, *mains: int, **options: bool) -> rpc.WatchResponse:
    events = [kv.Event(kv=kv.KeyValue(key=b"k", mod_revision=main)) for main in mains]
    return rpc.WatchResponse(
        header=rpc.ResponseHeader(revision=revision),
        events=events,
        fragment=options.get("fragment", False),
    )


def test_identities_do_not_count_but_revisions_do() -> None:
    assert difference(REQUEST, found(member=1), found(member=2)) == ""
    assert "revision: 6" in difference(REQUEST, found(5), found(6))


def test_errors_are_compared_by_code_and_text() -> None:
    ours, theirs = Refused("NOT_FOUND", "a"), Refused("NOT_FOUND", "b")
    assert difference(REQUEST, ours, theirs) != ""
    assert difference(REQUEST, ours, ours) == ""
    assert difference(REQUEST, ours, found()) != ""


def test_an_excuse_forgives_only_what_it_names() -> None:
    def strip(message: Message) -> None:
        if isinstance(message, rpc.RangeResponse):
            for one in message.kvs:
                one.lease = 0

    excuses = [Excuse("leases", lambda request: request is REQUEST, strip)]
    other = rpc.RangeRequest(key=b"k")
    assert difference(REQUEST, found(lease=1), found(), excuses) == ""
    assert difference(other, found(lease=1), found(), excuses) != ""
    assert difference(REQUEST, found(6), found(), excuses) != ""


def test_the_time_a_lease_has_left_does_not_count() -> None:
    full = rpc.LeaseTimeToLiveResponse(TTL=60, grantedTTL=60, keys=[b"a", b"b"])
    later = rpc.LeaseTimeToLiveResponse(TTL=59, grantedTTL=60, keys=[b"b", b"a"])
    gone = rpc.LeaseTimeToLiveResponse(TTL=-1)
    assert words(full) == words(later) != words(gone)


def test_a_story_does_not_depend_on_how_messages_are_cut() -> None:
    assert story([told(4, 3, 4)]) == story([told(4, 3), told(4, 4)])
    assert story([told(4, 3)]) != story([told(4, 4)])
    assert story([told(4)]) == {0: ["progress 4"]}


def test_broken_rules_are_seen() -> None:
    assert broken_rules([told(3, 2, 3), told(4, 4, 4), told(4)]) == []
    assert broken_rules([told(4), told(3)]) != []  # The header goes back.
    assert broken_rules([told(4, 4), told(4, 4)]) != []  # A revision is split.
    assert broken_rules([told(4, 4, fragment=True), told(4, 4)]) == []
    assert broken_rules([told(4, 4, 3)]) != []
    assert broken_rules([told(3, 4)]) != []  # An event above the header.
