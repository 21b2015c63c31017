"""The Lease service, by rule."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.base.errors import Failure
from twofold.etcd.errors import TABLE
from twofold.proto import rpc_pb2

LEASE = "/etcdserverpb.Lease/"
GRANT, REVOKE = LEASE + "LeaseGrant", LEASE + "LeaseRevoke"
TIME, LEASES = LEASE + "LeaseTimeToLive", LEASE + "LeaseLeases"
KEEP_ALIVE = LEASE + "LeaseKeepAlive"
Wire = Any


def grant(wire: Wire, lease_id: int = 0, ttl_s: int = 60) -> rpc_pb2.LeaseGrantResponse:
    request = rpc_pb2.LeaseGrantRequest(ID=lease_id, TTL=ttl_s)
    reply: rpc_pb2.LeaseGrantResponse = wire.ask(
        GRANT, request, rpc_pb2.LeaseGrantResponse
    )
    return reply


def renewals(raw: list[bytes]) -> list[tuple[int, int]]:
    replies = [rpc_pb2.LeaseKeepAliveResponse.FromString(one) for one in raw]
    return [(reply.ID, reply.TTL) for reply in replies]


def renew(lease_id: int) -> bytes:
    return rpc_pb2.LeaseKeepAliveRequest(ID=lease_id).SerializeToString()


def test_a_missing_id_is_chosen_positive_and_differs(wire: Wire) -> None:
    ids = {grant(wire).ID for _ in range(20)}
    assert len(ids) == 20
    assert all(0 < one < 1 << 63 for one in ids)


def test_a_chosen_id_is_kept_and_can_be_used_once(wire: Wire) -> None:
    assert grant(wire, 7).ID == 7
    request = rpc_pb2.LeaseGrantRequest(ID=7, TTL=60)
    assert wire.error(GRANT, request) == TABLE["LEASE_EXIST"]


@pytest.mark.parametrize(("asked_s", "granted_s"), [(60, 60), (1, 2), (0, 2), (-5, 2)])
def test_a_ttl_is_raised_to_the_minimum(
    wire: Wire, asked_s: int, granted_s: int
) -> None:
    granted = grant(wire, ttl_s=asked_s).TTL
    assert granted == granted_s


def test_a_ttl_has_a_ceiling(wire: Wire) -> None:
    assert grant(wire, ttl_s=9_000_000_000).TTL == 9_000_000_000
    request = rpc_pb2.LeaseGrantRequest(TTL=9_000_000_001)
    assert wire.error(GRANT, request) == TABLE["LEASE_TTL_TOO_LARGE"]


def test_a_grant_is_refused_over_quota(wire: Wire) -> None:
    wire.facade.full = True
    request = rpc_pb2.LeaseGrantRequest(TTL=60)
    assert wire.error(GRANT, request) == TABLE["NO_SPACE"]


def test_granting_changes_no_revision(wire: Wire) -> None:
    assert grant(wire).header.revision == 1


def test_revoking_deletes_the_keys_in_one_revision(wire: Wire) -> None:
    grant(wire, 7)
    for key in (b"a", b"b"):
        wire.put(key, lease=7)
    request = rpc_pb2.LeaseRevokeRequest(ID=7)
    reply = wire.ask(REVOKE, request, rpc_pb2.LeaseRevokeResponse)
    assert reply.header.revision == 4
    assert wire.facade.store.range(b"\0", b"\0").count == 0
    assert wire.error(REVOKE, request) == TABLE["LEASE_NOT_FOUND"]


def test_time_to_live_names_the_keys_only_if_asked(wire: Wire) -> None:
    grant(wire, 7)
    wire.put(b"b", lease=7)
    wire.put(b"a", lease=7)
    kind = rpc_pb2.LeaseTimeToLiveResponse
    reply = wire.ask(TIME, rpc_pb2.LeaseTimeToLiveRequest(ID=7), kind)
    assert (reply.ID, reply.TTL, reply.grantedTTL, list(reply.keys)) == (7, 60, 60, [])
    reply = wire.ask(TIME, rpc_pb2.LeaseTimeToLiveRequest(ID=7, keys=True), kind)
    assert list(reply.keys) == [b"a", b"b"]
    assert reply.header.revision == 3


def test_time_to_live_of_an_unknown_lease_is_minus_one(wire: Wire) -> None:
    request = rpc_pb2.LeaseTimeToLiveRequest(ID=7)
    reply = wire.ask(TIME, request, rpc_pb2.LeaseTimeToLiveResponse)
    assert (reply.ID, reply.TTL, reply.grantedTTL) == (7, -1, 0)


def test_leases_are_listed_in_order(wire: Wire) -> None:
    for lease_id in (9, 7, 8):
        grant(wire, lease_id)
    request = rpc_pb2.LeaseLeasesRequest()
    reply = wire.ask(LEASES, request, rpc_pb2.LeaseLeasesResponse)
    assert [one.ID for one in reply.leases] == [7, 8, 9]


# ---- keep-alive


def test_a_renewal_gives_the_ttl_and_zero_for_an_unknown_lease(wire: Wire) -> None:
    grant(wire, 7)
    stream, handler = wire.open(KEEP_ALIVE)
    handler.message(renew(7))
    handler.message(renew(8))
    assert renewals(stream.take()) == [(7, 60), (8, 0)]
    assert stream.alive


def test_renewals_are_answered_in_order_with_older_headers(wire: Wire) -> None:
    grant(wire, 7)
    wire.facade.held = True
    stream, handler = wire.open(KEEP_ALIVE)
    handler.message(renew(7))
    handler.message(renew(8))
    wire.facade.held = False
    wire.put(b"k")
    handler.message(renew(9))
    assert stream.take() == []
    wire.facade.release()
    raw = stream.take()
    assert [one for one, _ in renewals(raw)] == [7, 8, 9]
    revisions = [
        rpc_pb2.LeaseKeepAliveResponse.FromString(one).header.revision for one in raw
    ]
    assert revisions == [1, 1, 2]


def test_half_closing_ends_the_stream_after_the_last_answer(wire: Wire) -> None:
    grant(wire, 7)
    wire.facade.held = True
    stream, handler = wire.open(KEEP_ALIVE)
    handler.message(renew(7))
    handler.half_closed()
    assert not stream.finished
    wire.facade.release()
    assert renewals(stream.take()) == [(7, 60)]
    assert stream.finished


def test_a_failed_renewal_ends_the_stream_so_that_clients_go_on(wire: Wire) -> None:
    wire.facade.error = Failure("no leader")
    stream, handler = wire.open(KEEP_ALIVE)
    handler.message(renew(7))
    assert stream.status == TABLE["NO_LEADER"]


def test_answers_after_the_end_are_dropped(wire: Wire) -> None:
    grant(wire, 7)
    wire.facade.held = True
    stream, handler = wire.open(KEEP_ALIVE)
    handler.message(renew(7))
    handler.closed()
    wire.facade.release()
    assert stream.take() == []
