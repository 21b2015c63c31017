"""Applies committed entries to the store, in order, each command once."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError

from twofold.base.invariant import check
from twofold.proto import rpc_pb2
from twofold.raft.types import Entry, EntryKind, Position
from twofold.store.apply.alarms import Alarms
from twofold.store.apply.commands import BatchCorrupt, Command, CommandKind, unpack
from twofold.store.apply.dedupe import Dedupe
from twofold.store.apply.outcomes import (
    AlarmOutcome,
    AttributesOutcome,
    CompactOutcome,
    DeleteOutcome,
    LeaseGrantOutcome,
    LeaseRevokeOutcome,
    Outcome,
    PutOutcome,
    TxnOutcome,
)
from twofold.store.backend.port import Backend
from twofold.store.errors import ApplyRefused
from twofold.store.lease.lessor import TTL_MIN_S, Lessor
from twofold.store.mvcc.store import MvccStore
from twofold.store.mvcc.txn import puts_anything
from twofold.store.snap.applied import APPLIED, pack_applied, unpack_applied

DEDUPE = "dedupe"
ALARMS = "alarms"
MEMBER = "member/"

Applied = tuple[Command, Outcome | ApplyRefused]


class Applier:
    """The replicated state: store, leases, alarms, members' attributes.

    Deterministic: the outcome depends on nothing but the entries so far.
    ``applied_index`` and ``position`` are those of the last applied entry; after
    a restart, of the last checkpoint.
    """

    def __init__(self, backend: Backend, *, lease_ttl_min_s: int = TTL_MIN_S) -> None:
        self.lessor = Lessor(backend, ttl_min_s=lease_ttl_min_s)
        self.store = MvccStore(backend, self.lessor)
        self.hub = self.store.hub
        self._appliers: dict[CommandKind, Callable[[bytes], Outcome]] = {
            CommandKind.PUT: self._put,
            CommandKind.DELETE_RANGE: self._delete_range,
            CommandKind.TXN: self._txn,
            CommandKind.COMPACT: self._compact,
            CommandKind.LEASE_GRANT: self._lease_grant,
            CommandKind.LEASE_REVOKE: self._lease_revoke,
            CommandKind.ALARM: self._alarm,
            CommandKind.MEMBER_ATTRIBUTES: self._member_attributes,
        }
        self._use(backend)

    def restore(self, backend: Backend) -> None:
        """Go on with another backend's state; store, lessor and hub stay objects.

        The former backend is not closed.
        """
        self.lessor.restore(backend)
        self.store.restore(backend)
        self._use(backend)

    def _use(self, backend: Backend) -> None:
        self.backend = backend
        metas = backend.metas()
        self.applied_index, self.position = unpack_applied(metas.get(APPLIED))
        self._dedupe = Dedupe(metas.get(DEDUPE))
        self._alarms = Alarms(metas.get(ALARMS))
        self._members = {
            int(name.removeprefix(MEMBER)): value
            for name, value in metas.items()
            if name.startswith(MEMBER)
        }
        backend.before_freeze(self._freeze)

    def _freeze(self) -> None:
        applied = pack_applied(self.applied_index, self.position)
        self.backend.put_meta(APPLIED, applied)
        self.backend.put_meta(DEDUPE, self._dedupe.pack())

    # ---- entries

    def apply(self, entry: Entry) -> list[Applied]:
        """Apply the next entry; gives the commands that took effect or were refused.

        A command that was applied before is not in the list.

        Raises:
            InvariantError: the entry is not the next one.
            BatchCorrupt: the entry cannot be read. Stop the process.
        """
        check(
            entry.index == self.applied_index + 1,
            "entries are applied in order",
            index=entry.index,
            applied=self.applied_index,
        )
        results: list[Applied] = []
        if entry.kind is EntryKind.COMMANDS:
            batch = unpack(entry.data)
            self._dedupe.begin(batch.floors)
            first_time = self._dedupe.first_time
            appliers = self._appliers
            for command in batch.commands:
                origin, sequence, kind, body = command
                if not first_time(origin, sequence):
                    continue
                try:
                    results.append((command, appliers[kind](body)))
                except ApplyRefused as refused:
                    # Without its frames: it outlives this call.
                    results.append((command, refused.with_traceback(None)))
                except DecodeError as error:
                    raise BatchCorrupt(f"{kind.name} cannot be read") from error
        self.applied_index = entry.index
        self.position = Position(entry.term, entry.subterm)
        return results

    # ---- commands

    def _put(self, body: bytes) -> PutOutcome:
        request = rpc_pb2.PutRequest.FromString(body)
        self._need_space()
        revision, previous = self.store.put(
            request.key,
            request.value,
            request.lease,
            want_previous=request.prev_kv,
            ignore_value=request.ignore_value,
            ignore_lease=request.ignore_lease,
        )
        return PutOutcome(revision, previous)

    def _delete_range(self, body: bytes) -> DeleteOutcome:
        request = rpc_pb2.DeleteRangeRequest.FromString(body)
        self._need_integrity()
        return DeleteOutcome(
            *self.store.delete_range(
                request.key, request.range_end, want_previous=request.prev_kv
            )
        )

    def _txn(self, body: bytes) -> TxnOutcome:
        request = rpc_pb2.TxnRequest.FromString(body)
        self._need_integrity()
        if self._alarms.no_space and puts_anything(request):
            raise ApplyRefused("NO_SPACE")
        return TxnOutcome(*self.store.txn(request))

    def _compact(self, body: bytes) -> CompactOutcome:
        request = rpc_pb2.CompactionRequest.FromString(body)
        self._need_integrity()
        self.store.compact(request.revision)
        return CompactOutcome(self.store.current_revision)

    def _lease_grant(self, body: bytes) -> LeaseGrantOutcome:
        request = rpc_pb2.LeaseGrantRequest.FromString(body)
        self._need_space()
        ttl_s = self.lessor.grant(request.ID, request.TTL)
        return LeaseGrantOutcome(self.store.current_revision, request.ID, ttl_s)

    def _lease_revoke(self, body: bytes) -> LeaseRevokeOutcome:
        request = rpc_pb2.LeaseRevokeRequest.FromString(body)
        self._need_integrity()
        keys = self.lessor.revoke(request.ID)
        return LeaseRevokeOutcome(self.store.delete_keys(keys))

    def _alarm(self, body: bytes) -> AlarmOutcome:
        changed = self._alarms.change(rpc_pb2.AlarmRequest.FromString(body))
        self.backend.put_meta(ALARMS, self._alarms.pack())
        return AlarmOutcome(self.store.current_revision, changed)

    def _member_attributes(self, body: bytes) -> AttributesOutcome:
        member_id = rpc_pb2.Member.FromString(body).ID
        self._members[member_id] = body
        self.backend.put_meta(f"{MEMBER}{member_id}", body)
        return AttributesOutcome(self.store.current_revision)

    def _need_space(self) -> None:
        if self._alarms.no_space:
            raise ApplyRefused("NO_SPACE")
        self._need_integrity()

    def _need_integrity(self) -> None:
        if self._alarms.corrupt:
            raise ApplyRefused("CORRUPT")

    # ---- facts

    def alarms(self) -> tuple[tuple[int, int], ...]:
        """Active alarms as (member id, alarm type)."""
        return self._alarms.active()

    def member_attributes(self) -> dict[int, bytes]:
        """What members published, by id: serialized etcdserverpb.Member."""
        return self._members
