"""The Maintenance service, by rule."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import Refusal
from twofold.etcd.errors import TABLE
from twofold.proto import rpc_pb2

UPKEEP = "/etcdserverpb.Maintenance/"
STATUS, ALARM, HASH = UPKEEP + "Status", UPKEEP + "Alarm", UPKEEP + "Hash"
HASH_KV, MOVE = UPKEEP + "HashKV", UPKEEP + "MoveLeader"
Wire = Any
NOSPACE = rpc_pb2.NOSPACE


def change(wire: Wire, action: int, member_id: int) -> rpc_pb2.AlarmResponse:
    request = rpc_pb2.AlarmRequest(
        action=rpc_pb2.AlarmRequest.AlarmAction.ValueType(action),
        memberID=member_id,
        alarm=NOSPACE,
    )
    reply: rpc_pb2.AlarmResponse = wire.ask(ALARM, request, rpc_pb2.AlarmResponse)
    return reply


def test_status_tells_local_facts_without_a_quorum(wire: Wire) -> None:
    wire.put(b"k")
    reply = wire.ask(STATUS, rpc_pb2.StatusRequest(), rpc_pb2.StatusResponse)
    assert reply.version == "3.6.14"
    assert reply.leader == wire.facade.member_id
    assert (reply.raftIndex, reply.raftAppliedIndex, reply.raftTerm) == (1, 1, 2)
    assert reply.header.revision == 2
    assert reply.dbSizeQuota == 2 << 30
    assert not reply.isLearner
    assert wire.facade.confirmed == []


def test_status_names_what_is_wrong(wire: Wire) -> None:
    wire.facade.leader = 0
    reply = wire.ask(STATUS, rpc_pb2.StatusRequest(), rpc_pb2.StatusResponse)
    assert reply.leader == 0
    assert list(reply.errors) == ["etcdserver: no leader"]


def test_an_alarm_is_raised_listed_and_lowered(wire: Wire) -> None:
    raised = change(wire, rpc_pb2.AlarmRequest.ACTIVATE, 5)
    assert [(one.memberID, one.alarm) for one in raised.alarms] == [(5, NOSPACE)]
    listed = wire.ask(ALARM, rpc_pb2.AlarmRequest(), rpc_pb2.AlarmResponse)
    assert list(listed.alarms) == list(raised.alarms)
    put = rpc_pb2.PutRequest(key=b"k")
    assert wire.error("/etcdserverpb.KV/Put", put) == TABLE["NO_SPACE"]
    change(wire, rpc_pb2.AlarmRequest.DEACTIVATE, 5)
    assert wire.put(b"k") == 2


def test_listing_alarms_can_ask_for_one_type(wire: Wire) -> None:
    change(wire, rpc_pb2.AlarmRequest.ACTIVATE, 5)
    request = rpc_pb2.AlarmRequest(alarm=rpc_pb2.CORRUPT)
    assert not wire.ask(ALARM, request, rpc_pb2.AlarmResponse).alarms


def test_an_unknown_alarm_type_stays_out_of_the_log(wire: Wire) -> None:
    code, _ = wire.error(ALARM, b"\x08\x01\x18\x63")
    assert code == 3
    assert wire.facade.proposed == []


def test_hash_kv_tells_the_revision_it_is_for(wire: Wire) -> None:
    wire.put(b"k")
    old = wire.ask(HASH_KV, rpc_pb2.HashKVRequest(), rpc_pb2.HashKVResponse)
    assert (old.hash_revision, old.compact_revision) == (2, -1)
    wire.put(b"k")
    again = wire.ask(HASH_KV, rpc_pb2.HashKVRequest(revision=2), rpc_pb2.HashKVResponse)
    assert (again.hash, again.hash_revision) == (old.hash, 2)
    assert again.header.revision == 3
    future = rpc_pb2.HashKVRequest(revision=9)
    assert wire.error(HASH_KV, future) == TABLE["FUTURE_REVISION"]


def test_hash_is_of_this_member(wire: Wire) -> None:
    before = wire.ask(HASH, rpc_pb2.HashRequest(), rpc_pb2.HashResponse).hash
    wire.put(b"k")
    assert wire.ask(HASH, rpc_pb2.HashRequest(), rpc_pb2.HashResponse).hash != before


def test_defragment_and_move_leader_answer_without_a_header(wire: Wire) -> None:
    call = wire.call(UPKEEP + "Defragment", rpc_pb2.DefragmentRequest())
    assert call.answer == b""
    call = wire.call(MOVE, rpc_pb2.MoveLeaderRequest(targetID=0xB1))
    assert call.answer == b""
    assert wire.facade.moved_to == 0xB1


def test_only_the_leader_moves_leadership(wire: Wire) -> None:
    wire.facade.leader = 0xB1
    request = rpc_pb2.MoveLeaderRequest(targetID=0xB1)
    assert wire.error(MOVE, request) == TABLE["NOT_LEADER"]


def test_leadership_moves_to_members_only(wire: Wire) -> None:
    request = rpc_pb2.MoveLeaderRequest(targetID=0xDD)
    assert wire.error(MOVE, request) == TABLE["BAD_LEADER_TRANSFEREE"]


def test_leadership_lost_meanwhile_reads_as_not_leader(wire: Wire) -> None:
    wire.facade.error = Refusal("it has moved")
    request = rpc_pb2.MoveLeaderRequest(targetID=0xB1)
    assert wire.error(MOVE, request) == TABLE["NOT_LEADER"]
