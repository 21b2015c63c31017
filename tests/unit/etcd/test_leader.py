"""Calls and streams that want a leader to be known."""

from __future__ import annotations

from typing import Any

from twofold.etcd.errors import TABLE
from twofold.proto import rpc_pb2

RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
WANTING = {b"hasleader": b"true"}
Wire = Any


def test_a_call_that_wants_a_leader_is_refused_without_one(wire: Wire) -> None:
    wire.facade.leader = 0
    request = rpc_pb2.RangeRequest(key=b"k", serializable=True)
    call = wire.call(RANGE, request, WANTING)
    assert call.status == TABLE["NO_LEADER"]
    assert wire.call(RANGE, request).status is None


def test_a_stream_that_wants_a_leader_is_refused_without_one(wire: Wire) -> None:
    wire.facade.leader = 0
    refused, _ = wire.open(WATCH, WANTING)
    assert refused.status == TABLE["NO_LEADER"]
    patient, _ = wire.open(WATCH)
    assert patient.alive


def test_a_short_gap_leaves_streams_open_and_a_long_one_ends_them(wire: Wire) -> None:
    wanting, _ = wire.open(WATCH, WANTING)
    patient, _ = wire.open(WATCH)
    wire.facade.leader = 0
    wire.timers.advance(2_000)
    wire.facade.leader = wire.facade.member_id
    wire.timers.advance(1_000)
    wire.facade.leader = 0
    wire.timers.advance(2_000)
    assert wanting.alive
    wire.timers.advance(1_500)
    assert wanting.status == TABLE["NO_LEADER"]
    assert patient.alive
