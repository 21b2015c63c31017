"""The loop around the core: one wake, one batch.

What arrived in one turn of the loop is proposed as one entry, logged with one
sync, sent in one write and applied together. The driver decides nothing: it
carries out the core's effects in the order that `raft.types` prescribes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.base.errors import Refusal
from twofold.base.ids import Index
from twofold.base.invariant import check
from twofold.member.facade import ReadDone
from twofold.member.ports import (
    CheckpointMark,
    Clock,
    LinkPort,
    LogPort,
    Ticket,
    WitnessPort,
)
from twofold.member.proposals import Proposals
from twofold.member.reads import Reads
from twofold.raft.core import Core
from twofold.raft.types import (
    NO_MEMBER,
    ClaimAnswered,
    ClaimStatus,
    Effects,
    Entry,
    EntryKind,
    Event,
    HardState,
    Message,
    OwnerView,
    PeerConnected,
    PeerDisconnected,
    Persisted,
    Propose,
    ReadRequested,
    Received,
    Role,
    SnapshotRestored,
    TimedOut,
    TransferRequested,
)
from twofold.store.apply.applier import Applier
from twofold.store.apply.commands import unpack
from twofold.store.backend.port import Backend

Leadership = tuple[Role, int, int]

UNCOMMITTED_ENTRIES_MAX = 2_000
UNCOMMITTED_BYTES_MAX = 64 << 20
"""A leader that cannot commit must not fill memory and disk meanwhile."""


class NotLeader(Refusal):
    """Only the leader may hand leadership over."""


class Driver:
    """Runs one core over a log, a link and a witness.

    Shape: everything happens on one thread; ``turn`` is scheduled at most once
    at a time. ``on_leadership`` is called after each change of (role, leader,
    term), ``on_applied`` after each batch of applied entries.
    """

    def __init__(
        self,
        core: Core,
        applier: Applier,
        log: LogPort,
        link: LinkPort | None,
        witness: WitnessPort | None,
        clock: Clock,
        origin: int,
    ) -> None:
        self.core = core
        self.applier = applier
        self.log = log
        self.link = link
        self.witness = witness
        self.clock = clock
        self.proposals = Proposals(origin)
        self.reads = Reads()
        self.on_leadership: Callable[[Role], None] = lambda _role: None
        self.on_applied: Callable[[], None] = lambda: None
        self.on_send_snapshot: Callable[[], None] = lambda: None
        self.after_turn: Callable[[], None] = lambda: None
        """Send what was answered: saves the loop a turn."""
        self.uncommitted_bytes_max = UNCOMMITTED_BYTES_MAX
        self.inside = 0
        """Steps under way; never 0 again once an exception has left one."""
        self.leader_changes = 0
        self.witness_operations = 0
        self.applied_bytes = 0
        """Payload of all entries applied since the start."""
        self._scheduled = False
        self._last_index = core.status().last_index
        self._uncommitted_bytes = 0
        self._leadership: Leadership = (core.role, core.leader, core.term)
        self._hard_state: HardState = core.hard_state

    # ---- what wakes the driver

    def step(self, event: Event) -> Effects:
        """Advance the core and carry out what it wants."""
        self.inside += 1
        effects = self.core.step(event)
        self._carry_out(effects)
        self.inside -= 1
        return effects

    def schedule(self) -> None:
        """See to it that ``turn`` runs in the next turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self.clock.soon(self.turn)

    def turn(self) -> None:
        """Propose, forward and confirm what has gathered."""
        self._scheduled = False
        if self.proposals.waiting:
            self._propose()
        if self.reads.may_ask and self.core.leader != NO_MEMBER:
            context = self.reads.take_context()
            self.step(ReadRequested(self.clock.now_ms(), context))
            self.after_turn()

    def tick(self) -> None:
        """Look at the time; call about every 20 ms."""
        now_ms = self.clock.now_ms()
        if now_ms >= self.core.deadline_ms:
            self.step(TimedOut(now_ms))
        if self.proposals.waiting or self.reads.waiting:
            self.turn()

    def expire(self) -> None:
        """Answer requests past their deadline; call a few times a second."""
        now_ms = self.clock.now_ms()
        self.proposals.expire(now_ms)
        self.reads.expire(now_ms)

    def receive(self, messages: Sequence[Message]) -> None:
        """Messages of the peer, in order."""
        for message in messages:
            self.step(Received(self.clock.now_ms(), message))

    def receive_forwarded(self, payload: bytes) -> None:
        """Commands that the peer has taken; ignored unless this member leads."""
        if self.core.role is Role.LEADER:
            self.proposals.receive_forwarded(unpack(payload))
            self.schedule()

    def connected(self) -> None:
        """The link is up."""
        self.step(PeerConnected(self.clock.now_ms()))
        if self.core.role is not Role.LEADER:
            # What was forwarded on the old connection may be lost.
            self.proposals.resend()
        self.schedule()

    def disconnected(self, dead: bool) -> None:
        """The link is down; ``dead``: the peer's process is known to be gone."""
        self.step(PeerDisconnected(self.clock.now_ms(), dead))

    def durable(self, tickets: Sequence[Ticket]) -> None:
        """The log has written and synced these, in order of submission."""
        last: Entry | None = None
        for ticket in tickets:
            if ticket.hard_state is not None:
                self._hard_state = ticket.hard_state
            if ticket.last is not None:
                last = ticket.last
        if last is not None or any(t.hard_state is not None for t in tickets):
            index, term = (last.index, last.term) if last else self.core.persisted
            self.step(Persisted(self.clock.now_ms(), index, term, self._hard_state))
        for ticket in tickets:
            self._release(ticket.messages, ticket)
        if self.proposals.waiting:
            self._propose()
        self.after_turn()

    def restored(self, backend: Backend) -> None:
        """Go on with the leader's state, which ``backend`` holds durably.

        A crash before the log's mark is durable is mended by `recovery`.
        """
        self.applier.restore(backend)
        index, position = self.applied_index, self.applier.position
        # Entries behind it that fit may be acknowledged: never without them.
        reset = not self.core.holds(index, position.term)
        self.log.mark(index, position, CheckpointMark(index), reset=reset)
        self.step(SnapshotRestored(self.clock.now_ms(), index, position))
        self.reads.advance(index)

    def transfer(self, done: ReadDone) -> None:
        """Hand leadership to the peer."""
        if self.core.role is not Role.LEADER:
            done(NotLeader("this member does not lead"))
            return
        self.step(TransferRequested(self.clock.now_ms()))
        done(None)

    # ---- carrying out

    def _propose(self) -> None:
        if self.core.role is Role.LEADER:
            if self.log.busy:
                return  # They gather while the sync runs; ``durable`` comes back.
            if self._is_full:
                return  # They wait for commits, or until they expire.
            payload = self.proposals.take_batch()
            if payload is not None:
                event = Propose(self.clock.now_ms(), (payload,))
                if self.step(event).dropped:
                    self.proposals.put_back(payload)
        elif self.core.leader != NO_MEMBER and self.link is not None and self.link.up:
            payload = self.proposals.take_own()
            if payload is not None:
                self.link.forward(payload)

    @property
    def _is_full(self) -> bool:
        return (
            self._last_index - self.applier.applied_index >= UNCOMMITTED_ENTRIES_MAX
            or self._uncommitted_bytes >= self.uncommitted_bytes_max
        )

    def _carry_out(self, effects: Effects) -> None:
        if effects.appends and self.link is not None:
            self.link.send(effects.appends)
            # The peer's disk works while ours does.
            self.link.flush()
        self._log(effects)
        if effects.committed:
            self._apply(effects.committed)
        for state in effects.reads:
            self.reads.resolve(state, self.applier.applied_index)
        if effects.send_snapshot:
            self.on_send_snapshot()
        self._watch_leadership()

    def _log(self, effects: Effects) -> None:
        entries, hard_state = effects.entries, effects.hard_state
        if entries:
            self._last_index = entries[-1].index
            self._uncommitted_bytes += sum(len(entry.data) for entry in entries)
        if entries or hard_state is not None:
            ticket = Ticket(
                effects.messages,
                effects.claim,
                entries[-1] if entries else None,
                hard_state,
            )
            self.log.submit(entries, hard_state, ticket)
        elif effects.messages or effects.claim is not None:
            ticket = Ticket(effects.messages, effects.claim)
            if self.log.busy:
                self.log.submit((), None, ticket)
            else:
                self._release(effects.messages, ticket)

    def _release(self, messages: list[Message], ticket: Ticket) -> None:
        if messages and self.link is not None:
            self.link.send(messages)
        if ticket.claim is not None:
            check(self.witness is not None, "only a cluster with a witness claims")
            if self.witness is not None:
                self.witness_operations += 1
                revision = self.applier.store.current_revision
                self.witness.claim(ticket.claim, revision, self._claimed)

    def _claimed(
        self, number: int, status: ClaimStatus, record: OwnerView | None, reason: str
    ) -> None:
        now_ms = self.clock.now_ms()
        self.step(ClaimAnswered(now_ms, number, status, record, reason))
        self.schedule()

    def _apply(self, committed: Sequence[Entry]) -> None:
        applier, answer = self.applier, self.proposals.answer
        for entry in committed:
            results = applier.apply(entry)
            if entry.kind is EntryKind.COMMANDS:
                answer(results)
                self._uncommitted_bytes -= len(entry.data)
                self.applied_bytes += len(entry.data)
        if applier.applied_index >= self._last_index or self._uncommitted_bytes < 0:
            # Replaced entries, and those of before the start, were not counted.
            self._uncommitted_bytes = 0
        self.reads.advance(applier.applied_index)
        self.on_applied()
        if self.proposals.waiting:
            self.schedule()

    def _watch_leadership(self) -> None:
        core = self.core
        now = (core.role, core.leader, core.term)
        if now == self._leadership:
            return
        before, self._leadership = self._leadership, now
        if now[1] != before[1] and now[1] != NO_MEMBER:
            self.leader_changes += 1
        if core.role is not Role.LEADER:
            self.proposals.drop_forwarded()
        if before[0] is Role.LEADER:
            # Else a new leader would be told what the old one has thought.
            self.proposals.resign()
        if now[1] != NO_MEMBER:
            self.proposals.resend()
            self.schedule()
        self.on_leadership(core.role)

    @property
    def applied_index(self) -> Index:
        """How far the state machine has come."""
        return Index(self.applier.applied_index)
