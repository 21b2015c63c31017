"""A single member without consensus: what is proposed is applied at once.

The state machine is the real one, over memory. Tests can take the leader away,
hold answers back, or let everything fail.
"""

from __future__ import annotations

from collections.abc import Callable

from twofold.base.errors import TwofoldError
from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.member.facade import (
    LeaseTime,
    MemberStatus,
    MemberView,
    ProposalDone,
    ReadDone,
)
from twofold.raft.types import NO_MEMBER, CoreStatus, Entry, EntryKind, Mode, Role
from twofold.store.apply.applier import Applier
from twofold.store.apply.commands import Command, CommandKind, pack
from twofold.store.backend.memory import MemoryBackend
from twofold.store.mvcc.store import MvccStore

_ORIGIN = 1
_TERM = Term(2)


class FakeFacade:
    """Implements `member.facade.Facade`; answers come before the call returns.

    ``error``: what every proposal and confirmation fails with. ``held``: answers
    wait for ``release``.
    """

    cluster_id = 0xC1
    member_id = MemberId(0xA1)

    def __init__(self) -> None:
        self.applier = Applier(MemoryBackend())
        self.leader = self.member_id
        self.error: TwofoldError | None = None
        self.held = False
        self.full = False
        self.witness_url = ""
        self.proposed: list[tuple[CommandKind, int]] = []
        self.confirmed: list[int] = []
        self.moved_to: MemberId | None = None
        self._waiting: list[Callable[[], None]] = []
        self._index = 0

    @property
    def store(self) -> MvccStore:
        """The local state."""
        return self.applier.store

    def release(self) -> None:
        """Give all answers that were held back."""
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer()

    def _answer(self, answer: Callable[[], None]) -> None:
        if self.held:
            self._waiting.append(answer)
        else:
            answer()

    def propose(
        self, kind: CommandKind, body: bytes, done: ProposalDone, timeout_ms: int
    ) -> None:
        """Apply, then answer."""
        self.proposed.append((kind, timeout_ms))
        if self.error is not None:
            error = self.error
            self._answer(lambda: done(error))
            return
        self._index += 1
        command = Command(_ORIGIN, self._index, kind, body)
        data = pack(((_ORIGIN, self._index),), (command,))
        index = Index(self._index)
        entry = Entry(index, _TERM, Subterm(0), EntryKind.COMMANDS, data)
        ((_, outcome),) = self.applier.apply(entry)
        self.store.hub.notify()
        self._answer(lambda: done(outcome))

    def confirm_read(self, done: ReadDone, timeout_ms: int) -> None:
        """Confirm."""
        self.confirmed.append(timeout_ms)
        error = self.error
        self._answer(lambda: done(error))

    def keep_alive(
        self, lease_id: int, done: Callable[[int | TwofoldError], None]
    ) -> None:
        """Give the granted TTL; time stands still here."""
        answer = self.error or self.applier.lessor.ttl_s(lease_id) or 0
        self._answer(lambda: done(answer))

    def time_to_live(
        self,
        lease_id: int,
        with_keys: bool,
        done: Callable[[LeaseTime | TwofoldError], None],
    ) -> None:
        """Give the granted TTL as what is left."""
        ttl_s = self.applier.lessor.ttl_s(lease_id)
        keys = self.applier.lessor.keys_of(lease_id) if with_keys else ()
        if ttl_s is None:
            found = LeaseTime(lease_id, -1, 0)
        else:
            found = LeaseTime(lease_id, ttl_s, ttl_s, tuple(keys))
        answer = self.error or found
        self._answer(lambda: done(answer))

    def term(self) -> int:
        """The term stands still."""
        return _TERM

    def has_leader(self) -> bool:
        """Whether ``leader`` is set."""
        return self.leader != NO_MEMBER

    def status(self) -> MemberStatus:
        """Made-up but consistent facts."""
        index = Index(self._index)
        core = CoreStatus(
            role=Role.LEADER if self.leader == self.member_id else Role.FOLLOWER,
            mode=Mode.SINGLE,
            term=_TERM,
            subterm=Subterm(0),
            leader=self.leader,
            last_index=index,
            commit_index=index,
            applied_index=index,
            peer_match=index,
            peer_alive=False,
            peer_promotable=False,
            record=None,
            reason="",
        )
        return MemberStatus(
            core=core,
            db_size=self.store.db_size(),
            db_size_in_use=self.store.db_size_in_use(),
            quota=2 << 30,
            errors=() if self.has_leader() else ("etcdserver: no leader",),
            witness_url=self.witness_url,
        )

    def members(self) -> tuple[MemberView, ...]:
        """This member and a peer that has never started."""
        urls = ("http://127.0.0.1:2379",)
        return (
            MemberView(self.member_id, "a", ("http://127.0.0.1:2380",), urls),
            MemberView(MemberId(0xB1), "", ("http://127.0.0.1:3380",), ()),
        )

    def alarms(self) -> tuple[tuple[int, int], ...]:
        """The state machine's alarms."""
        return self.applier.alarms()

    def quota_exceeded(self, cost_bytes: int) -> bool:
        """Whether ``full`` is set."""
        return self.full and cost_bytes > 0

    def move_leader(self, target: MemberId, done: ReadDone) -> None:
        """Remember the target."""
        self.moved_to = target
        done(self.error)

    def defragment(self, done: ReadDone) -> None:
        """Nothing to do."""
        done(self.error)
