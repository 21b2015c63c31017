"""What the wire (`etcd`) may ask of a member.

Calls take a callback instead of returning an awaitable: one turn of the loop
answers hundreds of requests, and a task for each would cost more than the work.
Every callback runs exactly once, on the loop's thread, possibly before the call
returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from twofold.base.errors import Failure, OutcomeUnknown, TwofoldError
from twofold.base.ids import MemberId
from twofold.raft.types import CoreStatus
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import Outcome
from twofold.store.mvcc.store import MvccStore

ProposalDone = Callable[[Outcome | TwofoldError], None]
ReadDone = Callable[[TwofoldError | None], None]


class RequestTimedOut(OutcomeUnknown):
    """A write was not answered in time: it may or may not have happened."""


class ReadTimedOut(Failure):
    """Freshness could not be confirmed in time: no leader, or no quorum."""


class TooManyRequests(Failure):
    """The member holds as many unanswered writes as it may."""


class Stopping(Failure):
    """The member is shutting down; nothing of the request happened."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member as MemberList shows it; URLs and name may be empty."""

    member_id: MemberId
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """Local facts, never in need of a quorum; sizes in bytes."""

    core: CoreStatus
    db_size: int
    db_size_in_use: int
    quota: int
    errors: tuple[str, ...] = ()
    witness_url: str = ""
    witness_reachable: bool = False
    witness_operations: int = 0
    safe_to_stop: bool = False
    pending_proposals: int = 0
    leader_changes: int = 0


@dataclass(frozen=True, slots=True)
class LeaseTime:
    """``ttl_s`` -1: no such lease. ``keys`` sorted, if asked for."""

    lease_id: int
    ttl_s: int
    granted_ttl_s: int
    keys: tuple[bytes, ...] = field(default=())


class Facade(Protocol):
    """One running member."""

    cluster_id: int
    member_id: MemberId

    @property
    def store(self) -> MvccStore:
        """The local state, for reads."""

    def propose(
        self, kind: CommandKind, body: bytes, done: ProposalDone, timeout_ms: int
    ) -> None:
        """Carry a validated write through consensus, exactly once.

        Fails with ApplyRefused, RequestTimedOut, TooManyRequests, Stopping.
        """

    def confirm_read(self, done: ReadDone, timeout_ms: int) -> None:
        """Call back once the local state is at least as new as this call."""

    def keep_alive(
        self, lease_id: int, done: Callable[[int | TwofoldError], None]
    ) -> None:
        """Renew at the leader; gives the TTL in s, 0 if there is no such lease."""

    def time_to_live(
        self,
        lease_id: int,
        with_keys: bool,
        done: Callable[[LeaseTime | TwofoldError], None],
    ) -> None:
        """Ask the leader how long a lease has left."""

    def term(self) -> int:
        """Raft term, for response headers."""

    def has_leader(self) -> bool:
        """Whether a leader is known, for ``hasleader`` metadata and health."""

    def status(self) -> MemberStatus:
        """Facts for Status, health, metrics."""

    def members(self) -> tuple[MemberView, ...]:
        """The members, never the witness."""

    def alarms(self) -> tuple[tuple[int, int], ...]:
        """Active alarms as (member id, alarm type)."""

    def quota_exceeded(self, cost_bytes: int) -> bool:
        """Whether a write of this cost must be refused with NO_SPACE.

        Raises the NOSPACE alarm through consensus on the way.
        """

    def move_leader(self, target: MemberId, done: ReadDone) -> None:
        """Hand leadership to ``target``."""

    def defragment(self, done: ReadDone) -> None:
        """Give free pages back where that is cheap; never blocks service."""
