"""Two real cores, a model witness and a virtual clock.

``World`` plays the driver of both members: disks, the link between them, the
witness with rules C1 to C4, crashes. It checks after each step what must never
break: one leader a term, leader completeness, one entry an index, no stale read.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.base.invariant import check
from twofold.raft.core import Core
from twofold.raft.types import (
    FRESH,
    NO_INDEX,
    NO_MEMBER,
    ORIGIN,
    Applied,
    Claim,
    ClaimAnswered,
    ClaimStatus,
    Compacted,
    CoreConfig,
    Effects,
    Entry,
    Event,
    HardState,
    Message,
    OwnerView,
    PeerAlive,
    PeerConnected,
    PeerDisconnected,
    Persisted,
    Position,
    Propose,
    ReadRequested,
    Received,
    RecordSeen,
    Restart,
    Role,
    SnapshotRestored,
    SnapshotSent,
    TimedOut,
)

WITNESS_TIMEOUT_MS = 500


@dataclass
class WitnessModel:
    """The record and the rules that guard it."""

    record: OwnerView = field(
        default_factory=lambda: OwnerView(1, Term(0), Subterm(0), NO_MEMBER, 0)
    )
    writes: int = 0

    def judge(self, claim: Claim, member_id: MemberId, incarnation: int) -> str:
        """Why the claim is refused; empty if the rules allow it."""
        record = self.record
        mine = record.owner == member_id and record.owner_incarnation == incarnation
        if not mine and claim.last <= record.position:
            return f"{_place(claim.last)} is not beyond {_place(record.position)}"
        if claim.rehearse:
            return ""
        place = Position(claim.term, claim.subterm)
        if place <= record.position or (claim.term == record.term and not mine):
            return f"{_place(place)} is not after {_place(record.position)}"
        return ""

    def write(self, claim: Claim, member_id: MemberId, incarnation: int) -> None:
        """Make the claimer the owner."""
        self.writes += 1
        version = self.record.version + 1
        self.record = OwnerView(
            version, claim.term, claim.subterm, member_id, incarnation
        )


def _place(position: Position) -> str:
    return f"{position.term}.{position.subterm}"


@dataclass
class Disk:
    """What a member finds after a crash."""

    hard_state: HardState = FRESH
    snapshot_index: Index = NO_INDEX
    snapshot: Position = ORIGIN
    entries: list[Entry] = field(default_factory=list)

    def replace(self, entries: list[Entry]) -> None:
        """Write ``entries`` over whatever is from the first of them on."""
        keep = entries[0].index - self.snapshot_index - 1
        check(0 <= keep <= len(self.entries), "no gap on disk", keep=keep)
        self.entries[keep:] = entries

    def last(self) -> tuple[Index, Term]:
        """Index and term of the last entry."""
        if self.entries:
            return self.entries[-1].index, self.entries[-1].term
        return self.snapshot_index, self.snapshot.term


@dataclass
class Member:
    """One member: its disk outlives it, the rest does not."""

    member_id: MemberId
    disk: Disk = field(default_factory=Disk)
    core: Core | None = None
    boot: int = 0
    disk_epoch: int = 0
    queue: deque[Effects] = field(default_factory=deque)
    syncing: bool = False
    paused: bool = False
    applied: list[Entry] = field(default_factory=list)
    witness_up: bool = True
    witness_late_ms: int = 0
    disk_ms: int = 1

    @property
    def running(self) -> Core:
        """The core, which must be there."""
        if self.core is None:
            raise ValueError(f"member {self.member_id} is down")
        return self.core


class World:
    """Everything around two cores; ``now_ms`` moves only by ``advance``."""

    def __init__(self, *, witness: bool = True, trace: bool = True) -> None:
        """Two members that have never run; ``start`` boots them."""
        self.now_ms = 0
        self.trace = trace
        self.witness = WitnessModel()
        self.has_witness = witness
        self.members = {i: Member(MemberId(i)) for i in (1, 2)}
        self.link_up = True
        self.link_epoch = 0
        self.lines: list[str] = []
        self.net_ms: Callable[[], int | None] = lambda: 1
        self.copies: Callable[[], int] = lambda: 1
        self.witness_ms: Callable[[], int] = lambda: 5
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._context = 0
        self.started_ms = 0
        self.stream_ms = 20
        self._floor: dict[int, int] = {}
        self.committed: dict[int, tuple[int, bytes]] = {}
        self.top = 0
        self.leaders: dict[int, int] = {}
        self.reads_done = 0

    # ---- time --------------------------------------------------------------

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run ``action`` in ``delay_ms``."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._order, action))

    def advance(self, duration_ms: int) -> None:
        """Let time pass; everything due happens in order."""
        end_ms = self.now_ms + duration_ms
        while True:
            due_ms = self._heap[0][0] if self._heap else end_ms + 1
            timer: Member | None = None
            for member in self.members.values():
                if member.core is None or member.paused:
                    continue
                deadline_ms = max(member.core.deadline_ms, self.now_ms)
                if deadline_ms < due_ms:
                    due_ms, timer = deadline_ms, member
            if due_ms > end_ms:
                break
            self.now_ms = due_ms
            if timer is not None:
                before = timer.running.deadline_ms
                self.step(timer, TimedOut(due_ms))
                core = timer.core
                stuck = core is not None and core.deadline_ms <= before
                check(not stuck, "time-outs move the deadline", deadline_ms=before)
            else:
                heapq.heappop(self._heap)[2]()
        self.now_ms = end_ms

    def say(self, line: str) -> None:
        """Add a line to the trace."""
        if self.trace:
            self.lines.append(f"+{self.now_ms - self.started_ms} {line}")

    # ---- members -----------------------------------------------------------

    def boot(self, number: int) -> None:
        """Start a member from its disk."""
        member = self.members[number]
        member.boot += 1
        member.disk_epoch += 1
        member.queue.clear()
        member.syncing = member.paused = False
        disk = member.disk
        config = CoreConfig(
            member_id=member.member_id,
            incarnation=100 * number,
            peer=MemberId(3 - number),
            witness=self.has_witness,
            seed=number,
            trace=self.trace,
        )
        restart = Restart(
            hard_state=disk.hard_state,
            snapshot_index=disk.snapshot_index,
            snapshot=disk.snapshot,
            applied=Index(max(disk.snapshot_index, len(member.applied))),
            entries=tuple(disk.entries),
        )
        member.core = Core(config, restart, self.now_ms)
        self._connect()
        if self.has_witness and member.witness_up:
            boot = member.boot
            self.later(self.witness_ms(), lambda: self._show_record(member, boot))

    def _show_record(self, member: Member, boot: int) -> None:
        if member.boot == boot:
            self.step(member, RecordSeen(self.now_ms, self.witness.record))

    def crash(self, number: int, *, seen: bool) -> None:
        """Stop a member at once; ``seen``: its kernel tells the peer so."""
        member = self.members[number]
        member.core = None
        member.boot += 1
        member.disk_epoch += 1
        member.queue.clear()
        self.link_epoch += 1
        peer = self.members[3 - number]
        if peer.core is not None and self.link_up and seen:
            self.step(peer, PeerDisconnected(self.now_ms, dead=True))

    def cut(self) -> None:
        """Silence the link, without a word to either side."""
        self.link_up = False
        self.link_epoch += 1

    def heal(self) -> None:
        """Bring the link back."""
        self.link_up = True
        self._connect()

    def _connect(self) -> None:
        if not self.link_up or any(m.core is None for m in self.members.values()):
            return
        self.link_epoch += 1
        for member in self.members.values():
            self.step(member, PeerConnected(self.now_ms))

    def step(self, member: Member, event: Event) -> None:
        """Step a core and carry out what it asks for."""
        core = member.running
        if member.paused:
            boot = member.boot
            self.later(5, lambda: self._again(member, boot, event))
            return
        out = core.step(event)
        number = member.member_id
        for line in out.trace:
            self.say(f"{number}: {line}")
        self._check_leader(member)
        for message in out.appends:
            self._send(member, message)
        member.queue.append(out)
        self._work(member)
        if out.committed:
            self._apply(member, out.committed)
        for read in out.reads:
            self._finish_read(member, read.context, read.index)
        if out.send_snapshot:
            self._stream(member)
        if out.dropped:
            self.say(f"{number}: proposal dropped")

    def _again(self, member: Member, boot: int, event: Event) -> None:
        if member.boot == boot and member.core is not None:
            kind = type(event)
            if isinstance(event, Received):
                self.step(member, Received(self.now_ms, event.message))
            elif isinstance(event, PeerConnected | TimedOut | PeerAlive):
                self.step(member, kind(self.now_ms))  # type: ignore[call-arg]

    def _work(self, member: Member) -> None:
        while member.queue and not member.syncing:
            out = member.queue[0]
            if out.entries or out.hard_state is not None:
                member.syncing = True
                synced = partial(self._synced, member, member.disk_epoch)
                self.later(member.disk_ms, synced)
                return
            self._release(member, member.queue.popleft())

    def _synced(self, member: Member, epoch: int) -> None:
        if member.disk_epoch != epoch:
            return
        member.syncing = False
        out = member.queue.popleft()
        disk = member.disk
        if out.hard_state is not None:
            disk.hard_state = out.hard_state
        if out.entries:
            disk.replace(out.entries)
        self._release(member, out)
        index, term = disk.last()
        if out.entries:
            index, term = out.entries[-1].index, out.entries[-1].term
        if not member.paused:
            self.step(member, Persisted(self.now_ms, index, term, disk.hard_state))
        else:
            boot = member.boot
            hard_state = disk.hard_state
            self.later(
                5, lambda: self._persist_late(member, boot, index, term, hard_state)
            )
        self._work(member)

    def _persist_late(
        self, member: Member, boot: int, index: Index, term: Term, hard: HardState
    ) -> None:
        if member.boot != boot or member.core is None:
            return
        if member.paused:
            self.later(5, lambda: self._persist_late(member, boot, index, term, hard))
        else:
            self.step(member, Persisted(self.now_ms, index, term, hard))

    def _release(self, member: Member, out: Effects) -> None:
        for message in out.messages:
            self._send(member, message)
        if out.claim is not None:
            self._claim(member, out.claim)

    # ---- network, witness, snapshots ----------------------------------------

    def _send(self, sender: Member, message: Message) -> None:
        receiver = self.members[3 - sender.member_id]
        epoch = self.link_epoch

        def deliver() -> None:
            if epoch == self.link_epoch and receiver.core is not None:
                self.step(receiver, Received(self.now_ms, message))

        for _ in range(self.copies()):
            delay_ms = self.net_ms()
            if self.link_up and delay_ms is not None:
                self.later(delay_ms, deliver)

    def _claim(self, member: Member, claim: Claim) -> None:
        boot, number = member.boot, member.member_id
        incarnation = 100 * number

        def answer(status: ClaimStatus, reason: str) -> None:
            if member.boot == boot and member.core is not None:
                known = status is not ClaimStatus.UNREACHABLE
                record = self.witness.record if known else None
                now_ms = self.now_ms
                self.step(
                    member, ClaimAnswered(now_ms, claim.number, status, record, reason)
                )

        def land(silent: bool) -> None:
            refusal = self.witness.judge(claim, number, incarnation)
            if refusal:
                if not silent:
                    self.say(f"W: refuses {number}: {refusal}")
                    answer(ClaimStatus.REFUSED, refusal)
                return
            if not claim.rehearse:
                self.witness.write(claim, number, incarnation)
                late = " late" if silent else ""
                version = self.witness.record.version
                place = f"{claim.term}.{claim.subterm}"
                self.say(f"W: version {version}: {number} owns {place}{late}")
            elif not silent:
                self.say(f"W: would grant {number}")
            if not silent:
                answer(ClaimStatus.OK, "")

        def time_out() -> None:
            answer(ClaimStatus.UNREACHABLE, "the witness does not answer")

        if member.witness_late_ms:
            version = self.witness.record.version

            def land_late() -> None:
                if self.witness.record.version == version and not claim.rehearse:
                    land(silent=True)

            self.later(member.witness_late_ms, land_late)
            self.later(WITNESS_TIMEOUT_MS, time_out)
        elif not member.witness_up:
            self.later(WITNESS_TIMEOUT_MS, time_out)
        else:
            self.later(self.witness_ms(), lambda: land(silent=False))

    def _stream(self, sender: Member) -> None:
        receiver = self.members[3 - sender.member_id]
        applied = list(sender.applied)
        last = applied[-1]
        epoch, boot = self.link_epoch, sender.boot
        self.say(f"{sender.member_id}: snapshot of {last.index} leaves")

        def arrive() -> None:
            ok = epoch == self.link_epoch and not receiver.paused
            core = receiver.core
            if core is not None and ok and core.status().role is not Role.LEADER:
                position = Position(last.term, last.subterm)
                self._install(receiver, applied, position)
            if sender.boot == boot and sender.core is not None:
                self.step(sender, SnapshotSent(self.now_ms, ok))

        self.later(self.stream_ms, arrive)

    def _install(
        self, receiver: Member, applied: list[Entry], position: Position
    ) -> None:
        index = applied[-1].index
        if index <= len(receiver.applied):
            return
        disk, core = receiver.disk, receiver.running
        # What was queued is written first; a log that fits stays behind it.
        queue, receiver.queue = receiver.queue, deque()
        receiver.syncing = False
        receiver.disk_epoch += 1
        for out in queue:
            if out.hard_state is not None:
                disk.hard_state = out.hard_state
            if out.entries:
                disk.replace(out.entries)
        keep = core.holds(index, position.term)
        disk.entries = [e for e in disk.entries if keep and e.index > index]
        disk.snapshot_index, disk.snapshot = index, position
        receiver.applied = list(applied)
        self.step(receiver, SnapshotRestored(self.now_ms, index, position))
        index, term = disk.last()
        self.step(receiver, Persisted(self.now_ms, index, term, disk.hard_state))

    # ---- clients -------------------------------------------------------------

    def propose(self, number: int, payload: bytes) -> None:
        """Propose at a member."""
        member = self.members[number]
        self.step(member, Propose(self.now_ms, (payload,)))

    def read(self, number: int) -> None:
        """Ask for a linearizable read at a member."""
        self._context += 1
        self._floor[self._context] = self.top
        self.step(self.members[number], ReadRequested(self.now_ms, self._context))

    def compact(self, number: int) -> None:
        """Drop what is applied from memory and disk."""
        member = self.members[number]
        disk = member.disk
        index = Index(min(len(member.applied), disk.last()[0]))
        offset = index - disk.snapshot_index
        if offset <= 0:
            return
        last = disk.entries[offset - 1]
        disk.snapshot_index = index
        disk.snapshot = Position(last.term, last.subterm)
        del disk.entries[:offset]
        self.step(member, Compacted(self.now_ms, index))

    def leader(self) -> int | None:
        """The member that leads the highest term."""
        best: tuple[int, int] | None = None
        for number, member in self.members.items():
            if member.core is not None:
                status = member.core.status()
                if status.role is Role.LEADER:
                    best = max(best or (0, 0), (status.term, number))
        return best[1] if best else None

    def _apply(self, member: Member, committed: list[Entry]) -> None:
        for entry in committed:
            check(entry.index == len(member.applied) + 1, "each entry once, in order")
            member.applied.append(entry)
            known = self.committed.setdefault(entry.index, (entry.term, entry.data))
            check(known == (entry.term, entry.data), "one entry an index", entry=entry)
            self.top = max(self.top, entry.index)
        core = member.core
        if core is not None:
            core.step(Applied(self.now_ms, committed[-1].index))

    def _finish_read(self, member: Member, context: int, index: int) -> None:
        if index == 0:
            self.say(f"{member.member_id}: read {context} must ask again")
            return
        floor = self._floor[context]
        check(index >= floor, "no stale read", index=index, floor=floor)
        self.reads_done += 1
        self.say(f"{member.member_id}: read {context} at {index}")

    def _check_leader(self, member: Member) -> None:
        core = member.core
        if core is None:
            return
        state = core._state
        if state.role is not Role.LEADER:
            return
        known = self.leaders.get(state.term)
        if known is not None:
            check(known == member.member_id, "one leader a term", term=state.term)
            return
        self.leaders[state.term] = member.member_id
        check(state.log.last_index >= self.top, "a leader lacks nothing", top=self.top)
        if self.top > state.log.snapshot_index:
            term = state.log.term_at(self.top)
            check(term == self.committed[self.top][0], "leader completeness")
