"""What all services share."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.member.facade import ReadTimedOut, RequestTimedOut
from twofold.proto import rpc_pb2
from twofold.store.apply.commands import CommandKind

PUT = "/etcdserverpb.KV/Put"
Wire = Any


@pytest.mark.parametrize(
    ("asked_ms", "given_ms"), [(None, 7_000), (500, 500), (60_000, 7_000)]
)
def test_patience_is_the_clients_up_to_ours(
    wire: Wire, asked_ms: int | None, given_ms: int
) -> None:
    wire.call(PUT, rpc_pb2.PutRequest(key=b"k"), timeout_ms=asked_ms)
    assert wire.facade.proposed == [(CommandKind.PUT, given_ms)]


def test_only_failures_count_as_failed_proposals(wire: Wire) -> None:
    meter = wire.services.context.meter
    wire.call(PUT, rpc_pb2.PutRequest(key=b"k", lease=5))
    assert meter.proposals_failed == 0
    wire.facade.error = RequestTimedOut("late")
    wire.call(PUT, rpc_pb2.PutRequest(key=b"k"))
    assert meter.proposals_failed == 1


def test_reads_that_were_not_confirmed_are_counted(wire: Wire) -> None:
    wire.facade.error = ReadTimedOut("late")
    wire.call("/etcdserverpb.KV/Range", rpc_pb2.RangeRequest(key=b"k"))
    assert wire.services.context.meter.reads_failed == 1
