"""A full store: what is refused, with which words, and what still works."""

from __future__ import annotations

from pathlib import Path

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.differential import Refused, Side, pair

_FULL = Refused("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
_KIB = 1 << 10


def _fill(side: Side) -> None:
    for number in range(100):
        put = rpc.PutRequest(key=b"%d" % number, value=bytes(256 * _KIB))
        answer = side.ask(put)
        if answer == _FULL:
            return
        assert isinstance(answer, rpc.PutResponse), f"{side.name}: {answer}"
    raise AssertionError(f"{side.name} never fills")


def _holds_alarm(side: Side) -> bool:
    (alarm,) = side.get(rpc.AlarmRequest(), rpc.AlarmResponse).alarms
    return alarm.alarm == rpc.NOSPACE and alarm.memberID != 0


def test_a_full_store_takes_no_more(peers: None, tmp_path: Path) -> None:
    with pair(tmp_path, ["--quota-backend-bytes=4194304"]) as both:
        for side in both:
            side.get(rpc.LeaseGrantRequest(ID=5, TTL=500), rpc.LeaseGrantResponse)
            _fill(side)
            put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"t", value=b"v"))
            for request in (
                rpc.PutRequest(key=b"k", value=b"v"),
                rpc.LeaseGrantRequest(ID=6, TTL=500),
                rpc.TxnRequest(success=[put]),
                rpc.TxnRequest(failure=[put]),
            ):
                assert side.ask(request) == _FULL, (side.name, request)
            assert _holds_alarm(side), side.name
            status = side.get(rpc.StatusRequest(), rpc.StatusResponse)
            assert any("NOSPACE" in text for text in status.errors), status
            revision = side.revision()
            delete = rpc.RequestOp(
                request_delete_range=rpc.DeleteRangeRequest(key=b"none")
            )
            for allowed in (
                rpc.RangeRequest(key=b"0"),
                rpc.TxnRequest(success=[delete]),
                rpc.LeaseRevokeRequest(ID=5),
                rpc.CompactionRequest(revision=revision, physical=True),
                rpc.HashKVRequest(),
            ):
                answer = side.ask(allowed)
                assert not isinstance(answer, Refused), (side.name, answer)
