"""What is served besides gRPC."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twofold.member.facade import ReadTimedOut
from twofold.proto import rpc_pb2

Wire = Any


def raise_alarm(wire: Wire, alarm: rpc_pb2.AlarmType.ValueType) -> None:
    request = rpc_pb2.AlarmRequest(
        action=rpc_pb2.AlarmRequest.ACTIVATE, memberID=1, alarm=alarm
    )
    path = "/etcdserverpb.Maintenance/Alarm"
    wire.ask(path, request, rpc_pb2.AlarmResponse)


def test_version_is_json_with_three_versions(wire: Wire) -> None:
    status, body = wire.get("/version")
    assert status == 200
    assert json.loads(body) == {
        "etcdserver": "3.6.14",
        "etcdcluster": "3.6.0",
        "storage": "3.6.0",
    }


def test_health_is_a_fresh_read(wire: Wire) -> None:
    assert wire.get("/health") == (200, '{"health":"true","reason":""}')
    assert len(wire.facade.confirmed) == 1
    assert wire.get("/health", "serializable=true")[0] == 200
    assert len(wire.facade.confirmed) == 1


def test_health_fails_without_a_leader_unless_serializable(wire: Wire) -> None:
    wire.facade.leader = 0
    status, body = wire.get("/health")
    assert (status, json.loads(body)["reason"]) == (503, "RAFT NO LEADER")
    assert wire.get("/health", "serializable=true")[0] == 200


def test_health_fails_by_an_alarm_unless_excluded(wire: Wire) -> None:
    raise_alarm(wire, rpc_pb2.NOSPACE)
    status, body = wire.get("/health")
    assert status == 503
    assert json.loads(body) == {"health": "false", "reason": "ALARM NOSPACE"}
    assert wire.get("/health", "exclude=NOSPACE")[0] == 200
    raise_alarm(wire, rpc_pb2.CORRUPT)
    assert wire.get("/health", "exclude=NOSPACE")[0] == 503
    assert wire.get("/health", "exclude=NOSPACE&exclude=CORRUPT")[0] == 200


def test_health_fails_when_the_read_does(wire: Wire) -> None:
    wire.facade.error = ReadTimedOut("late")
    status, body = wire.get("/health")
    assert status == 503
    reason = json.loads(body)["reason"]
    assert reason == "RANGE ERROR:etcdserver: request timed out"


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics"])
def test_only_get_is_allowed(wire: Wire, path: str) -> None:
    assert wire.get(path, method="POST")[0] == 405


def test_an_unknown_path_is_not_found(wire: Wire) -> None:
    assert wire.get("/v2/keys")[0] == 404


def test_probes_say_ok_and_more_if_asked(wire: Wire) -> None:
    assert wire.get("/livez") == (200, "ok\n")
    assert wire.get("/livez", "verbose") == (200, "[+]serializable_read ok\nok\n")
    _, body = wire.get("/readyz", "verbose=1")
    assert body.splitlines() == [
        "[+]data_corruption ok",
        "[+]serializable_read ok",
        "[+]linearizable_read ok",
        "[+]non_learner ok",
        "ok",
    ]


def test_a_failed_check_is_always_told(wire: Wire) -> None:
    wire.facade.error = ReadTimedOut("late")
    status, body = wire.get("/readyz")
    assert status == 503
    assert "[+]serializable_read ok\n" in body
    assert "[-]linearizable_read failed: " in body
    assert wire.get("/livez")[0] == 200


def test_checks_can_be_excluded_and_asked_alone(wire: Wire) -> None:
    wire.facade.error = ReadTimedOut("late")
    assert wire.get("/readyz", "exclude=linearizable_read")[0] == 200
    assert wire.get("/readyz/serializable_read") == (200, "ok\n")
    assert wire.get("/readyz/linearizable_read")[0] == 503
    assert wire.get("/livez", "exclude=serializable_read") == (200, "ok\n")


def test_corruption_makes_a_member_not_ready(wire: Wire) -> None:
    raise_alarm(wire, rpc_pb2.CORRUPT)
    status, body = wire.get("/readyz/data_corruption")
    assert status == 503
    assert "[-]data_corruption failed: alarm activated: CORRUPT" in body


def test_metrics_show_the_member(wire: Wire) -> None:
    wire.put(b"k")
    status, body = wire.get("/metrics")
    assert status == 200
    lines = body.splitlines()
    assert "etcd_server_has_leader 1.0" in lines
    assert "etcd_debugging_mvcc_current_revision 2.0" in lines
    assert "etcd_mvcc_put_total 1.0" in lines
