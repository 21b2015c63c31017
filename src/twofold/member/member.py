"""A running member as the wire sees it: the facade over the driver."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from twofold.base.errors import Failure, TwofoldError
from twofold.base.ids import MemberId
from twofold.member.alarms import NOSPACE, Quota
from twofold.member.autocompact import AutoCompaction
from twofold.member.driver import Driver, NotLeader
from twofold.member.facade import (
    LeaseTime,
    MemberStatus,
    MemberView,
    ProposalDone,
    ReadDone,
    RequestTimedOut,
    Stopping,
)
from twofold.member.leases import LeaseClock
from twofold.proto import rpc_pb2
from twofold.raft.types import NO_MEMBER, CoreStatus, Mode, Role, StopRequested
from twofold.store.apply.commands import CommandKind
from twofold.store.mvcc.store import MvccStore

_EXPIRE_LIMIT = 500
_INTERNAL_TIMEOUT_MS = 7_000
_COMPACT_ENTRIES = 1_000

KEEP_ALIVE, TIME_TO_LIVE = 1, 2
"""What a follower asks of the leader (peer link REQUEST methods)."""

_LEASE_ID = struct.Struct(">q")
_LEASE_TIME = struct.Struct(">qq")

Ask = Callable[[int, bytes, Callable[[bytes | TwofoldError], None]], None]


class LeaderUnknown(Failure):
    """No leader is known at present: try again."""


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What the configuration says of this member."""

    name: str
    client_urls: tuple[str, ...]
    members: tuple[MemberView, ...]
    quota_bytes: int = 0
    witness_url: str = ""
    compaction_period_ms: int = 0
    compaction_revisions: int = 0


class Member:
    """Implements `facade.Facade` for one driver.

    ``ask`` sends a lease request to the leader over the peer link.
    """

    def __init__(
        self,
        driver: Driver,
        cluster_id: int,
        member_id: MemberId,
        options: MemberOptions,
        lease_grace_ms: int,
        ask: Ask | None = None,
    ) -> None:
        self.driver = driver
        self.cluster_id = cluster_id
        self.member_id = member_id
        self.options = options
        self.quota = Quota(options.quota_bytes)
        self.lease_clock = LeaseClock(lease_grace_ms)
        self.stopping = False
        self._ask = ask
        self._asked: dict[int, Callable[[], None]] = {}
        self._last_asked = 0
        self._published = False
        self._alarm_pending = False
        self._auto = AutoCompaction(
            options.compaction_period_ms, options.compaction_revisions
        )
        self.witness_reachable: Callable[[], bool] = lambda: False
        driver.on_leadership = self._leadership
        driver.on_applied = self._applied
        driver.applier.lessor.on_granted = self._lease_granted
        driver.applier.lessor.on_revoked = self.lease_clock.revoked

    @property
    def store(self) -> MvccStore:
        """The local state; replaced as a whole by a snapshot."""
        return self.driver.applier.store

    # ---- requests

    def propose(
        self, kind: CommandKind, body: bytes, done: ProposalDone, timeout_ms: int
    ) -> None:
        """See Facade.propose."""
        if self.stopping:
            done(Stopping("the member is shutting down"))
            return
        driver = self.driver
        driver.proposals.add(kind, body, done, driver.clock.now_ms() + timeout_ms)
        driver.schedule()

    def confirm_read(self, done: ReadDone, timeout_ms: int) -> None:
        """See Facade.confirm_read."""
        if self.stopping:
            done(Stopping("the member is shutting down"))
            return
        driver = self.driver
        driver.reads.add(done, driver.clock.now_ms() + timeout_ms)
        driver.schedule()

    def keep_alive(
        self, lease_id: int, done: Callable[[int | TwofoldError], None]
    ) -> None:
        """See Facade.keep_alive. Cost: one read confirmation at the leader."""

        def confirmed(error: TwofoldError | None) -> None:
            if error is not None:
                done(error)
            elif self.driver.core.role is not Role.LEADER:
                done(LeaderUnknown("leadership has moved"))
            else:
                done(self.lease_clock.renew(lease_id, self.driver.clock.now_ms()))

        def answered(reply: bytes | TwofoldError) -> None:
            if isinstance(reply, bytes):
                done(int(_LEASE_ID.unpack(reply)[0]))
            else:
                done(reply)

        if self.driver.core.role is Role.LEADER:
            self.confirm_read(confirmed, _INTERNAL_TIMEOUT_MS)
        elif not self.has_leader():
            done(LeaderUnknown("no leader"))
        else:
            again = partial(self.keep_alive, lease_id, done)
            self._ask_leader(KEEP_ALIVE, lease_id, answered, again)

    def time_to_live(
        self,
        lease_id: int,
        with_keys: bool,
        done: Callable[[LeaseTime | TwofoldError], None],
    ) -> None:
        """See Facade.time_to_live; the keys come from the local state."""

        def finish(remaining_s: int, granted_s: int) -> None:
            keys: tuple[bytes, ...] = ()
            if with_keys and remaining_s >= 0:
                keys = tuple(self.driver.applier.lessor.keys_of(lease_id))
            done(LeaseTime(lease_id, remaining_s, granted_s, keys))

        def answered(reply: bytes | TwofoldError) -> None:
            if isinstance(reply, bytes):
                finish(*_LEASE_TIME.unpack(reply))
            else:
                done(reply)

        def confirmed(error: TwofoldError | None) -> None:
            if error is not None:
                done(error)
            elif self.driver.core.role is Role.LEADER:
                finish(*self._lease_time(lease_id))
            else:
                again = partial(self.time_to_live, lease_id, with_keys, done)
                self._ask_leader(TIME_TO_LIVE, lease_id, answered, again)

        self.confirm_read(confirmed, _INTERNAL_TIMEOUT_MS)

    def _ask_leader(
        self,
        method: int,
        lease_id: int,
        done: Callable[[bytes | TwofoldError], None],
        again: Callable[[], None],
    ) -> None:
        """Ask the leader; ``again`` if another one takes over before it answers."""
        if self._ask is None:
            done(LeaderUnknown("no leader"))
            return
        self._last_asked = number = self._last_asked + 1
        self._asked[number] = again

        def answered(reply: bytes | TwofoldError) -> None:
            if self._asked.pop(number, None) is not None:
                done(reply)

        self._ask(method, _LEASE_ID.pack(lease_id), answered)

    def answer_peer(
        self, method: int, body: bytes, done: Callable[[bytes | TwofoldError], None]
    ) -> None:
        """A follower's lease request; refused unless this member leads."""
        if self.driver.core.role is not Role.LEADER:
            done(LeaderUnknown("this member does not lead"))
            return
        lease_id = int(_LEASE_ID.unpack(body)[0])
        if method == TIME_TO_LIVE:
            done(_LEASE_TIME.pack(*self._lease_time(lease_id)))
            return

        def renewed(ttl_s: int | TwofoldError) -> None:
            done(_LEASE_ID.pack(ttl_s) if isinstance(ttl_s, int) else ttl_s)

        self.keep_alive(lease_id, renewed)

    def _lease_time(self, lease_id: int) -> tuple[int, int]:
        ttl_s = self.driver.applier.lessor.ttl_s(lease_id)
        if ttl_s is None:
            return -1, 0
        now_ms = self.driver.clock.now_ms()
        return self.lease_clock.remaining_s(lease_id, now_ms), ttl_s

    # ---- facts

    def term(self) -> int:
        """See Facade.term."""
        return self.driver.core.term

    def has_leader(self) -> bool:
        """See Facade.has_leader."""
        return self.driver.core.leader != NO_MEMBER

    def status(self) -> MemberStatus:
        """See Facade.status."""
        driver = self.driver
        core = replace(driver.core.status(), applied_index=driver.applied_index)
        errors = [] if self.has_leader() else ["etcdserver: no leader"]
        for member_id, alarm in self.alarms():
            name = "NOSPACE" if alarm == NOSPACE else "CORRUPT"
            errors.append(f"memberID:{member_id} alarm:{name} ")
        return MemberStatus(
            core=core,
            db_size=self.store.db_size(),
            db_size_in_use=self.store.db_size_in_use(),
            quota=self.quota.limit_bytes,
            errors=tuple(errors),
            witness_url=self.options.witness_url,
            witness_reachable=self.witness_reachable(),
            witness_operations=driver.witness_operations,
            safe_to_stop=self._is_safe_to_stop(core),
            pending_proposals=len(driver.proposals),
            leader_changes=driver.leader_changes,
        )

    def _is_safe_to_stop(self, core: CoreStatus) -> bool:
        """Whether the other member goes on if this one stops now."""
        if core.mode is Mode.LEARNER:
            return True
        if core.mode is not Mode.PAIR or not core.peer_alive:
            return False
        return core.role is Role.FOLLOWER or core.peer_promotable

    def members(self) -> tuple[MemberView, ...]:
        """See Facade.members: configured members, with what they published."""
        published = self.driver.applier.member_attributes()
        views = []
        for view in self.options.members:
            raw = published.get(view.member_id)
            if raw is not None:
                message = rpc_pb2.Member.FromString(raw)
                urls = tuple(message.clientURLs)
                view = replace(view, name=message.name, client_urls=urls)
            views.append(view)
        return tuple(views)

    def alarms(self) -> tuple[tuple[int, int], ...]:
        """See Facade.alarms."""
        return self.driver.applier.alarms()

    def quota_exceeded(self, cost_bytes: int) -> bool:
        """See Facade.quota_exceeded."""
        if not self.quota.exceeded(self.store.db_size_in_use(), cost_bytes):
            return False
        self._change_alarm(rpc_pb2.AlarmRequest.ACTIVATE)
        return True

    def move_leader(self, target: MemberId, done: ReadDone) -> None:
        """See Facade.move_leader."""
        if self.driver.core.role is not Role.LEADER:
            done(NotLeader("this member does not lead"))
        elif target == self.member_id:
            done(None)
        else:
            self.driver.transfer(done)

    def defragment(self, done: ReadDone) -> None:
        """See Facade.defragment: pages are used again, there is nothing to do."""
        done(None)

    # ---- from the driver and the clock

    def housekeep(self) -> None:
        """Expire requests and leases, publish, compact; a few times a second."""
        driver = self.driver
        driver.expire()
        if self.stopping:
            return
        self._expire_leases(driver.clock.now_ms())
        self._publish()
        self._auto_compact(driver.clock.now_ms())
        if (self.member_id, NOSPACE) in self.alarms() and self.quota.has_room(
            self.store.db_size_in_use()
        ):
            self._change_alarm(rpc_pb2.AlarmRequest.DEACTIVATE)

    def compact(self) -> None:
        """Remove a slice of what is compacted, if there is any; call every tick."""
        self.store.compact_step(_COMPACT_ENTRIES)

    def hand_over(self) -> None:
        """Prepare to stop: hand leadership over and claim no more."""
        self.driver.step(StopRequested(self.driver.clock.now_ms()))

    def fail_all(self) -> None:
        """Answer what is left: the process ends."""
        # A write that was taken may be in the peer's log by now.
        unknown = RequestTimedOut("the member shut down before the write was answered")
        self.driver.proposals.fail_all(unknown)
        self.driver.reads.fail_all(Stopping("the member is shutting down"))

    def _auto_compact(self, now_ms: int) -> None:
        store = self.store
        due = self._auto.due(now_ms, store.current_revision, store.compact_revision)
        if due and self.driver.core.role is Role.LEADER:
            body = rpc_pb2.CompactionRequest(revision=due).SerializeToString()
            kind = CommandKind.COMPACT
            self.propose(kind, body, lambda _outcome: None, _INTERNAL_TIMEOUT_MS)

    def _expire_leases(self, now_ms: int) -> None:
        driver = self.driver
        for lease_id in self.lease_clock.take_expired(now_ms, _EXPIRE_LIMIT):
            body = rpc_pb2.LeaseRevokeRequest(ID=lease_id).SerializeToString()
            done = partial(self._lease_expired, lease_id)
            driver.proposals.add(
                CommandKind.LEASE_REVOKE,
                body,
                done,
                now_ms + _INTERNAL_TIMEOUT_MS,
                # A new leader has renewed what this one, cut off, sees expire.
                leading=True,
            )
            driver.schedule()

    def _lease_expired(self, lease_id: int, outcome: object) -> None:
        if isinstance(outcome, Failure):
            self.lease_clock.revoke_failed(lease_id)

    def _publish(self) -> None:
        """Make name and client URLs known once there is a leader."""
        if self._published or not self.has_leader():
            return
        message = rpc_pb2.Member(
            ID=self.member_id,
            name=self.options.name,
            clientURLs=self.options.client_urls,
        )
        body = message.SerializeToString()
        self._published = True
        if self.driver.applier.member_attributes().get(self.member_id) != body:
            kind = CommandKind.MEMBER_ATTRIBUTES
            self.propose(kind, body, self._publish_done, _INTERNAL_TIMEOUT_MS)

    def _publish_done(self, outcome: object) -> None:
        self._published = not isinstance(outcome, TwofoldError)

    def _change_alarm(self, action: rpc_pb2.AlarmRequest.AlarmAction.ValueType) -> None:
        if self._alarm_pending:
            return
        self._alarm_pending = True
        body = rpc_pb2.AlarmRequest(
            action=action, memberID=self.member_id, alarm=rpc_pb2.NOSPACE
        ).SerializeToString()
        self.propose(CommandKind.ALARM, body, self._alarm_done, _INTERNAL_TIMEOUT_MS)

    def _alarm_done(self, _outcome: object) -> None:
        self._alarm_pending = False

    def _lease_granted(self, lease_id: int, ttl_s: int) -> None:
        self.lease_clock.granted(lease_id, ttl_s, self.driver.clock.now_ms())

    def _leadership(self, role: Role) -> None:
        if role is not Role.LEADER:
            self.lease_clock.resign()
        elif not self.lease_clock.leading:
            leases: Sequence[tuple[int, int]] = tuple(
                self.driver.applier.lessor.leases()
            )
            self.lease_clock.lead(leases, self.driver.clock.now_ms())
        if self.has_leader():
            # The former one may stand still for longer than a lease lives.
            asked, self._asked = self._asked, {}
            for again in asked.values():
                again()

    def _applied(self) -> None:
        self.driver.applier.hub.notify()
