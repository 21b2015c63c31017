"""The Lease service."""

from __future__ import annotations

import secrets
from collections import deque
from functools import partial

from google.protobuf.message import DecodeError

from twofold.base.errors import TwofoldError
from twofold.etcd.codec import keep_alive_reply, lease_grant_reply
from twofold.etcd.context import Context, fail, refuse, succeed
from twofold.etcd.errors import BAD_REQUEST, TABLE, Status, status_of
from twofold.etcd.front.port import Call, Stream
from twofold.etcd.quota import LEASE_OVERHEAD_BYTES
from twofold.etcd.validate import LEASE_TTL_MAX_S
from twofold.member.facade import LeaseTime
from twofold.proto import rpc_pb2
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import (
    LeaseGrantOutcome,
    LeaseRevokeOutcome,
    Outcome,
)

PATH = "/etcdserverpb.Lease/"
_LEASE_ID_MAX = (1 << 63) - 1
_RENEWALS_MAX = 16_384


class LeaseService:
    """Grants, revocations and questions about leases."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._grants = context.unary(PATH + "LeaseGrant")
        self._revokes = context.unary(PATH + "LeaseRevoke")
        self._times = context.unary(PATH + "LeaseTimeToLive")
        self._lists = context.unary(PATH + "LeaseLeases")

    def grant(self, call: Call, body: bytes) -> None:
        """LeaseGrant; a missing ID is chosen here, so that the log holds it."""
        counts = self._grants
        counts.started += 1
        try:
            request = rpc_pb2.LeaseGrantRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        if request.TTL > LEASE_TTL_MAX_S:
            fail(call, counts, TABLE["LEASE_TTL_TOO_LARGE"])
            return
        facade = self._context.facade
        if facade.quota_exceeded(LEASE_OVERHEAD_BYTES):
            fail(call, counts, TABLE["NO_SPACE"])
            return
        if request.ID == 0:
            request.ID = secrets.randbelow(_LEASE_ID_MAX) + 1
            body = request.SerializeToString()
        facade.propose(
            CommandKind.LEASE_GRANT,
            body,
            partial(self._granted, call),
            self._context.timeout_ms(call),
        )

    def _granted(self, call: Call, outcome: Outcome | TwofoldError) -> None:
        if isinstance(outcome, LeaseGrantOutcome):
            header = self._context.header(outcome.revision)
            reply = lease_grant_reply(header, outcome.lease_id, outcome.ttl_s)
            self._context.meter.leases_granted += 1
            succeed(call, self._grants, reply)
        elif isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._grants, outcome)

    def revoke(self, call: Call, body: bytes) -> None:
        """LeaseRevoke."""
        counts = self._revokes
        counts.started += 1
        try:
            rpc_pb2.LeaseRevokeRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        self._context.facade.propose(
            CommandKind.LEASE_REVOKE,
            body,
            partial(self._revoked, call),
            self._context.timeout_ms(call),
        )

    def _revoked(self, call: Call, outcome: Outcome | TwofoldError) -> None:
        if isinstance(outcome, LeaseRevokeOutcome):
            self._context.meter.leases_revoked += 1
            succeed(call, self._revokes, self._context.header(outcome.revision))
        elif isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._revokes, outcome)

    def time_to_live(self, call: Call, body: bytes) -> None:
        """LeaseTimeToLive; an unknown lease has TTL -1."""
        counts = self._times
        counts.started += 1
        try:
            request = rpc_pb2.LeaseTimeToLiveRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        self._context.facade.time_to_live(
            request.ID, request.keys, partial(self._told_time, call)
        )

    def _told_time(self, call: Call, answer: LeaseTime | TwofoldError) -> None:
        if isinstance(answer, TwofoldError):
            refuse(call, self._times, answer)
            return
        reply = rpc_pb2.LeaseTimeToLiveResponse(
            ID=answer.lease_id,
            TTL=answer.ttl_s,
            grantedTTL=answer.granted_ttl_s,
            keys=answer.keys,
        ).SerializeToString()
        succeed(call, self._times, self._context.current_header() + reply)

    def leases(self, call: Call, body: bytes) -> None:
        """LeaseLeases: the local state, once it is known to be fresh."""
        counts = self._lists
        counts.started += 1
        del body
        self._context.facade.confirm_read(
            partial(self._list_leases, call), self._context.timeout_ms(call)
        )

    def _list_leases(self, call: Call, error: TwofoldError | None) -> None:
        if error is not None:
            self._context.refuse_read(call, self._lists, error)
            return
        reply = rpc_pb2.LeaseLeasesResponse(
            leases=[
                # Both members store a lease under its ID, in eight bytes.
                rpc_pb2.LeaseStatus(ID=int.from_bytes(key, "big", signed=True))
                for key in sorted(self._context.facade.store.backend.leases())
            ]
        ).SerializeToString()
        succeed(call, self._lists, self._context.current_header() + reply)

    def keep_alive(self, stream: Stream) -> KeepAliveStream:
        """LeaseKeepAlive: a handler for one stream."""
        return KeepAliveStream(self._context, stream)


class _Renewal:
    """One renewal on its way; ``ttl_s`` None until the leader has answered."""

    __slots__ = ("header", "lease_id", "ttl_s")

    def __init__(self, header: bytes, lease_id: int) -> None:
        self.header = header
        self.lease_id = lease_id
        self.ttl_s: int | None = None


class KeepAliveStream:
    """Renewals on one stream, answered in the order they came."""

    def __init__(self, context: Context, stream: Stream) -> None:
        self._context = context
        self._stream = stream
        self._counts = context.meter.method(PATH + "LeaseKeepAlive", "bidi_stream")
        self._counts.started += 1
        self._renewals: deque[_Renewal] = deque()
        self._half_closed = False
        self._over = False

    def opened(self, stream: Stream) -> None:
        """Nothing is sent before a request."""

    def message(self, message: bytes) -> None:
        """A renewal."""
        try:
            request = rpc_pb2.LeaseKeepAliveRequest.FromString(message)
        except DecodeError:
            self._fail(BAD_REQUEST)
            return
        if len(self._renewals) >= _RENEWALS_MAX:
            self._fail(TABLE["TOO_MANY_REQUESTS"])
            return
        # The header is older than the renewal: a client that sees it knows
        # that the lease was there at that revision.
        renewal = _Renewal(self._context.current_header(), request.ID)
        self._renewals.append(renewal)
        facade = self._context.facade
        facade.keep_alive(request.ID, partial(self._renewed, renewal))

    def half_closed(self) -> None:
        """Answer what is under way, then end."""
        self._half_closed = True
        self._flush()

    def writable(self) -> None:
        """Replies are small and as many as the requests: nothing waits."""

    def closed(self) -> None:
        """Forget what is left."""
        self._over = True
        self._renewals.clear()

    def _renewed(self, renewal: _Renewal, answer: int | TwofoldError) -> None:
        if self._over:
            return
        if isinstance(answer, TwofoldError):
            self._fail(status_of(answer))
            return
        self._context.meter.leases_renewed += 1
        renewal.ttl_s = answer
        self._flush()

    def _flush(self) -> None:
        renewals = self._renewals
        while renewals and renewals[0].ttl_s is not None:
            done = renewals.popleft()
            reply = keep_alive_reply(done.header, done.lease_id, done.ttl_s or 0)
            self._stream.send(reply)
        if self._half_closed and not renewals and not self._over:
            self._over = True
            self._counts.succeeded += 1
            self._stream.finish()

    def _fail(self, status: Status) -> None:
        if not self._over:
            self._over = True
            self._counts.fail(status.code)
            self._stream.fail(status.code, status.text)
