"""The Maintenance service."""

from __future__ import annotations

from functools import partial

from google.protobuf.message import DecodeError

from twofold.base.errors import Refusal, TwofoldError
from twofold.base.ids import MemberId
from twofold.etcd.context import Context, fail, refuse, succeed
from twofold.etcd.errors import BAD_REQUEST, TABLE, Code, Status
from twofold.etcd.front.port import Call
from twofold.proto import rpc_pb2
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import AlarmOutcome, ApplyRefused, Outcome

PATH = "/etcdserverpb.Maintenance/"


class MaintenanceService:
    """Status, alarms, hashes, leadership; all but alarm changes are local."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._statuses = context.unary(PATH + "Status")
        self._alarms = context.unary(PATH + "Alarm")
        self._hashes = context.unary(PATH + "Hash")
        self._kv_hashes = context.unary(PATH + "HashKV")
        self._defragments = context.unary(PATH + "Defragment")
        self._moves = context.unary(PATH + "MoveLeader")

    def status(self, call: Call, body: bytes) -> None:
        """Status: what this member knows, quorum or not."""
        counts = self._statuses
        counts.started += 1
        del body
        context = self._context
        status = context.facade.status()
        options = context.options
        reply = rpc_pb2.StatusResponse(
            version=options.version,
            # etcdctl divides by it.
            dbSize=max(1, status.db_size, status.db_size_in_use),
            leader=status.core.leader,
            raftIndex=status.core.commit_index,
            raftTerm=status.core.term,
            raftAppliedIndex=status.core.applied_index,
            errors=status.errors,
            dbSizeInUse=status.db_size_in_use,
            storageVersion=options.storage_version,
            dbSizeQuota=max(0, status.quota),
            downgradeInfo=rpc_pb2.DowngradeInfo(enabled=False),
        ).SerializeToString()
        succeed(call, counts, context.current_header() + reply)

    def alarm(self, call: Call, body: bytes) -> None:
        """Alarm: GET is local, the rest goes through consensus."""
        counts = self._alarms
        counts.started += 1
        try:
            request = rpc_pb2.AlarmRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        # What is not known must not get into the log.
        if (
            request.action not in rpc_pb2.AlarmRequest.AlarmAction.values()
            or request.alarm not in rpc_pb2.AlarmType.values()
        ):
            fail(call, counts, Status(Code.INVALID_ARGUMENT, "unknown alarm request"))
            return
        if request.action == rpc_pb2.AlarmRequest.GET:
            self._reply_alarms(call, self._matching_alarms(request))
            return
        context = self._context
        timeout_ms = context.timeout_ms(call)
        facade = context.facade
        done = partial(self._alarm_changed, call)
        facade.propose(CommandKind.ALARM, body, done, timeout_ms)

    def _matching_alarms(
        self, request: rpc_pb2.AlarmRequest
    ) -> tuple[tuple[int, int], ...]:
        return tuple(
            (member_id, alarm)
            for member_id, alarm in self._context.facade.alarms()
            if request.alarm in (rpc_pb2.NONE, alarm)
        )

    def _alarm_changed(self, call: Call, outcome: Outcome | TwofoldError) -> None:
        if isinstance(outcome, AlarmOutcome):
            self._reply_alarms(call, outcome.alarms)
        elif isinstance(outcome, TwofoldError):
            self._context.refuse_write(call, self._alarms, outcome)

    def _reply_alarms(self, call: Call, alarms: tuple[tuple[int, int], ...]) -> None:
        reply = rpc_pb2.AlarmResponse()
        for member_id, alarm in alarms:
            entry = reply.alarms.add()
            entry.memberID = member_id
            entry.alarm = rpc_pb2.AlarmType.ValueType(alarm)
        header = self._context.current_header()
        succeed(call, self._alarms, header + reply.SerializeToString())

    def hash_kv(self, call: Call, body: bytes) -> None:
        """HashKV: etcd's checksum of the keys up to a revision."""
        counts = self._kv_hashes
        counts.started += 1
        try:
            request = rpc_pb2.HashKVRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        try:
            store = self._context.facade.store
            value, compact_revision, revision = store.hash_kv(request.revision)
        except ApplyRefused as error:
            refuse(call, counts, error)
            return
        reply = rpc_pb2.HashKVResponse(
            hash=value,
            compact_revision=compact_revision,
            hash_revision=revision,
        ).SerializeToString()
        succeed(call, counts, self._context.current_header() + reply)

    def hash(self, call: Call, body: bytes) -> None:
        """Hash: of everything this member holds, comparable only with itself."""
        counts = self._hashes
        counts.started += 1
        del body
        value = self._context.facade.store.hash()
        reply = rpc_pb2.HashResponse(hash=value).SerializeToString()
        succeed(call, counts, self._context.current_header() + reply)

    def defragment(self, call: Call, body: bytes) -> None:
        """Defragment; the reply carries no header."""
        self._defragments.started += 1
        del body
        self._context.facade.defragment(partial(self._defragmented, call))

    def _defragmented(self, call: Call, error: TwofoldError | None) -> None:
        if error is None:
            succeed(call, self._defragments, b"")
        else:
            refuse(call, self._defragments, error)

    def move_leader(self, call: Call, body: bytes) -> None:
        """MoveLeader: only at the leader, only to a member; no header."""
        counts = self._moves
        counts.started += 1
        try:
            request = rpc_pb2.MoveLeaderRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        facade = self._context.facade
        if facade.status().core.leader != facade.member_id:
            fail(call, counts, TABLE["NOT_LEADER"])
        elif request.targetID not in {one.member_id for one in facade.members()}:
            fail(call, counts, TABLE["BAD_LEADER_TRANSFEREE"])
        else:
            target = MemberId(request.targetID)
            facade.move_leader(target, partial(self._moved, call))

    def _moved(self, call: Call, error: TwofoldError | None) -> None:
        if error is None:
            succeed(call, self._moves, b"")
        elif isinstance(error, Refusal):
            # It led when it was asked, and does no longer.
            fail(call, self._moves, TABLE["NOT_LEADER"])
        else:
            refuse(call, self._moves, error)
