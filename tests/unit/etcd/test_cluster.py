"""The Cluster service, by rule."""

from __future__ import annotations

from typing import Any

from twofold.etcd.errors import TABLE
from twofold.member.facade import ReadTimedOut
from twofold.proto import rpc_pb2

LIST = "/etcdserverpb.Cluster/MemberList"
Wire = Any


def test_members_are_listed_and_the_header_has_no_revision(wire: Wire) -> None:
    wire.put(b"k")
    reply = wire.ask(LIST, rpc_pb2.MemberListRequest(), rpc_pb2.MemberListResponse)
    first, second = reply.members
    assert (first.ID, first.name) == (wire.facade.member_id, "a")
    assert list(first.clientURLs) == ["http://127.0.0.1:2379"]
    assert (second.name, list(second.clientURLs)) == ("", [])
    assert reply.header.revision == 0
    assert reply.header.cluster_id == wire.facade.cluster_id


def test_only_a_linearizable_list_needs_a_quorum(wire: Wire) -> None:
    wire.facade.error = ReadTimedOut("no quorum")
    request = rpc_pb2.MemberListRequest(linearizable=True)
    assert wire.error(LIST, request) == TABLE["TIMEOUT"]
    wire.ask(LIST, rpc_pb2.MemberListRequest(), rpc_pb2.MemberListResponse)
