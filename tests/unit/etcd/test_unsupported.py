"""Methods that are left out on purpose."""

from __future__ import annotations

from typing import Any

from twofold.proto import rpc_pb2

Wire = Any


def test_what_is_left_out_says_why(wire: Wire) -> None:
    request = rpc_pb2.MemberAddRequest()
    code, text = wire.error("/etcdserverpb.Cluster/MemberAdd", request)
    assert code == 12
    assert "--initial-cluster" in text
    stream, _ = wire.open("/etcdserverpb.Maintenance/Snapshot")
    assert stream.status is not None
    assert stream.status[0] == 12
