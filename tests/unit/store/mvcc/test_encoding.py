"""What is written by hand is what protobuf itself would write."""

from __future__ import annotations

import pytest

from twofold.proto.kv_pb2 import Event, KeyValue
from twofold.proto.rpc_pb2 import RangeResponse, WatchResponse
from twofold.store.mvcc.encoding import event, inner_header, key_of, range_body


@pytest.mark.parametrize("size", [1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_key_of_any_size_is_found(size: int) -> None:
    key = b"k" * size
    data = KeyValue(key=key, value=b"v", mod_revision=5).SerializeToString()
    assert key_of(data) == key


@pytest.mark.parametrize("size", [0, 100, 200, 20_000])
def test_events(size: int) -> None:
    kv = KeyValue(key=b"k", value=b"v" * size, mod_revision=300, version=1)
    data = kv.SerializeToString()
    before = KeyValue(key=b"k", value=b"w" * size, mod_revision=200)
    put = WatchResponse(events=[Event(kv=kv, prev_kv=before)])
    assert event(data, 300, False, before.SerializeToString()) == (
        put.SerializeToString()
    )
    assert event(data, 300, False, None) == (
        WatchResponse(events=[Event(kv=kv)]).SerializeToString()
    )
    tombstone = KeyValue(key=b"k")
    deleted = Event(
        type=Event.DELETE,
        kv=KeyValue(key=b"k", mod_revision=300),
        prev_kv=before,
    )
    assert event(
        tombstone.SerializeToString(), 300, True, before.SerializeToString()
    ) == (WatchResponse(events=[deleted]).SerializeToString())


def test_range_responses() -> None:
    kvs = [KeyValue(key=b"%d" % n, value=b"v" * 100 * n) for n in range(4)]
    wanted = RangeResponse(kvs=kvs, count=400, more=True)
    wanted.header.revision = 9
    data = [kv.SerializeToString() for kv in kvs]
    assert inner_header(9) + range_body(data, 400, True) == wanted.SerializeToString()
    assert range_body([], 0, False) == b""
