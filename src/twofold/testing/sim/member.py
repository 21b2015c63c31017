"""One simulated machine: what survives its crash, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from twofold.base.disk import DiskFailed
from twofold.base.errors import Failure, TwofoldError
from twofold.base.ids import MemberId
from twofold.member.checkpoints import Checkpointer
from twofold.member.facade import MemberView
from twofold.member.member import Member, MemberOptions
from twofold.member.recovery import reconcile
from twofold.raft.types import CoreConfig, Message, PeerAlive
from twofold.store.backend.memory import MemoryBackend
from twofold.store.backend.memory import MemoryDisk as StateDisk
from twofold.store.backend.overlay import Overlay
from twofold.store.backend.port import CheckpointDone
from twofold.store.snap.applied import APPLIED, unpack_applied
from twofold.store.wal.log import Wal
from twofold.store.wal.records import WalMeta
from twofold.testing.disk import MemoryDisk
from twofold.testing.sim.log import SimLog
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.model import Ledger
from twofold.testing.sim.parts import MEMBERS, Parts, SimDriver, SimProposals
from twofold.testing.sim.time import VirtualTime
from twofold.testing.sim.watching import Watching
from twofold.testing.sim.witness import Medium
from twofold.witness.session import Identity

CLUSTER_ID = 42
LEASE_GRACE_MS = 500
TICK_US = 20_000
_HOUSEKEEP_TICKS = 10
_WAL = Path("/wal")
_SEGMENT_BYTES = 64 << 10
_RESERVE_BYTES = 4 << 10

AskDone = Callable[[bytes | TwofoldError], None]


class CheckpointFailed(Failure):
    """The simulated disk refused a checkpoint."""


class Network(Protocol):
    """What a machine sends through."""

    def connected(self) -> bool:
        """Whether both ends have the link up."""

    def send(self, sender: MemberId, messages: Sequence[Message]) -> None:
        """Deliver in order after a delay, unless the link breaks."""

    def forward(self, sender: MemberId, payload: bytes) -> None:
        """As ``send``, for commands."""

    def ask(self, sender: MemberId, method: int, body: bytes, done: AskDone) -> None:
        """Ask the peer's member; ``done`` gets a failure if the link breaks."""


class _Link:
    def __init__(self, network: Network, sender: MemberId) -> None:
        self._network = network
        self._sender = sender

    @property
    def up(self) -> bool:
        return self._network.connected()

    def send(self, messages: Sequence[Message]) -> None:
        self._network.send(self._sender, tuple(messages))

    def forward(self, payload: bytes) -> None:
        self._network.forward(self._sender, payload)

    def flush(self) -> None:
        """Nothing is held back here."""


class _SlowBackend(MemoryBackend):
    """Checkpoints take a while; a crash meanwhile leaves the old state."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.state, deferred=True)
        self._machine = machine

    def _write(self, frozen: Overlay, done: CheckpointDone) -> None:
        super()._write(frozen, done)
        machine = self._machine
        failure: Failure | None = None
        if machine.rng.random() < machine.checkpoint_failures:
            machine.marks.checkpoint_failures += 1
            failure = CheckpointFailed("no space left")
        delay_us = machine.rng.randint(500, 200_000)
        machine.later(delay_us, lambda: self.finish(failure))


@dataclass(slots=True)
class Machine:
    """A machine with its disks; ``driver`` is None while it is down.

    ``sync_us``: range of a log sync. ``paused``: everything waits (SIGSTOP).
    ``rate_ppm``: how fast its clock runs. ``on_failed``: the disk stopped it.
    """

    member_id: MemberId
    peer_id: MemberId
    time: VirtualTime
    rng: random.Random
    medium: Medium
    network: Network
    ledger: Ledger
    watching: Watching
    marks: Marks
    parts: Parts
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    state: StateDisk = field(default_factory=StateDisk)
    incarnation: int = 0
    driver: SimDriver | None = None
    member: Member | None = None
    log: SimLog | None = None
    checkpointer: Checkpointer | None = None
    proposals: SimProposals | None = None
    paused: bool = False
    sync_us: tuple[int, int] = (100, 2_000)
    rate_ppm: int = 1_000_000
    checkpoint_failures: float = 0.0
    boots: int = 0
    observe: Callable[[Machine], None] = lambda _machine: None
    send_snapshot: Callable[[Machine], None] = lambda _machine: None
    on_failed: Callable[[Machine], None] = lambda _machine: None
    tell: Callable[[MemberId, str], None] | None = None
    _held: list[Callable[[], None]] = field(default_factory=list)
    _ticks: int = 0

    # ---- ports

    def now_ms(self) -> int:
        """See member.ports.Clock."""
        return self.time.now_us * self.rate_ppm // 1_000_000_000

    def soon(self, callback: Callable[[], None]) -> None:
        """See member.ports.Clock."""
        self.later(1, callback)

    def later(self, delay_us: int, callback: Callable[[], None]) -> None:
        """Run on this machine, if the boot that asked for it still lives."""
        boot = self.boots

        def run() -> None:
            if self.boots != boot or self.driver is None:
                return
            if self.paused:
                self._held.append(run)
                return
            callback()
            if self.driver is not None:
                self.observe(self)

        self.time.after(delay_us, run)

    # ---- life

    def boot(self) -> None:
        """Start from what the disks hold; stays down if they fail."""
        self.boots += 1
        try:
            if not self.incarnation:
                self._create()
            wal, restart = Wal.open(
                _WAL,
                disk=self.disk,
                segment_bytes=_SEGMENT_BYTES,
                reserve_bytes=_RESERVE_BYTES,
            )
            applier = self.parts.applier(_SlowBackend(self), lease_ttl_min_s=1)
            restart = reconcile(wal, restart, applier.applied_index, applier.position)
        except DiskFailed:
            self.marks.disk_failures += 1
            self.disk.crash(self.rng)
            return
        ledger, member_id = self.ledger, self.member_id
        applier.on_entry = lambda e, results: ledger.applied(member_id, e, results)
        config = CoreConfig(
            member_id,
            self.incarnation,
            self.peer_id,
            witness=True,
            seed=self.rng.getrandbits(32),
            trace=self.tell is not None,
        )
        core = self.parts.core(config, restart, self.now_ms())
        identity = Identity(CLUSTER_ID, 0, member_id, self.incarnation, MEMBERS)
        witness, session = self.parts.witness, self.parts.session
        self.log = log = self.parts.log(wal, self)
        self.driver = driver = SimDriver(
            core,
            applier,
            log,
            _Link(self.network, member_id),
            witness(self.medium, identity, self.time, self, session),
            self,
            origin=self.rng.getrandbits(63) | 1,
        )
        self.proposals = self.parts.proposals(driver.proposals.origin)
        driver.proposals = self.proposals
        log.on_tickets = driver.durable
        log.on_failure = lambda: self.on_failed(self)
        self._assemble(driver, log)
        self.later(self.rng.randint(1, TICK_US), self._tick)

    def _create(self) -> None:
        self.incarnation = self.rng.getrandbits(63) | 1
        meta = WalMeta(CLUSTER_ID, self.member_id, self.incarnation)
        Wal.create(
            _WAL,
            meta,
            disk=self.disk,
            segment_bytes=_SEGMENT_BYTES,
            reserve_bytes=_RESERVE_BYTES,
        )

    def _assemble(self, driver: SimDriver, log: SimLog) -> None:
        self.checkpointer = Checkpointer(
            driver,
            log,
            lambda callback: self.later(1_000, callback),
            entries_max=1 << 40,
            age_max_ms=1 << 40,
            on_failure=lambda _failure: None,
        )
        log.on_mark = self.checkpointer.marked
        driver.on_send_snapshot = lambda: self.send_snapshot(self)
        if self.tell is not None:
            tell, member_id = self.tell, self.member_id
            driver.tell = lambda line: tell(member_id, line)
        name = f"m{self.member_id}"
        views = tuple(MemberView(member, "", (), ()) for member in MEMBERS)
        self.member = Member(
            driver,
            CLUSTER_ID,
            self.member_id,
            MemberOptions(name, (f"http://{name}",), views),
            LEASE_GRACE_MS,
            lambda method, body, done: self.network.ask(
                self.member_id, method, body, done
            ),
        )
        self.watching.begin(self.member.store.hub, self.soon)

    def crash(self) -> None:
        """Power loss."""
        if self.log is not None and self.rng.random() < 0.7:
            self.marks.torn_writes += self.log.tear()
        self.end()

    def end(self) -> None:
        """The process is gone; what was not synced may be too."""
        self.disk.crash(self.rng)
        self.driver = None
        self.member = None
        self.log = None
        self.checkpointer = None
        self.proposals = None
        self.paused = False
        self._held.clear()

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: what came meanwhile is handled now, late."""
        if self.paused:
            self.paused = False
            held, self._held = self._held, []
            for callback in held:
                self.time.after(1, callback)

    def heard(self) -> None:
        """A heartbeat of the peer has arrived."""
        if self.driver is not None:
            self.driver.step(PeerAlive(self.now_ms()))

    def install(self, state: StateDisk) -> None:
        """Put the leader's state in place of ours, if it is newer."""
        driver = self.driver
        if driver is None:
            return
        index, _ = unpack_applied(state.metas.get(APPLIED))
        if index > driver.applied_index:
            self.state = state
            driver.restored(_SlowBackend(self))

    def checkpoint(
        self,
        then: Callable[[], None] = lambda: None,
        failed: Callable[[], None] = lambda: None,
    ) -> bool:
        """Checkpoint the state machine now; False if it cannot start."""
        if self.checkpointer is None or self.paused:
            return False
        return self.checkpointer.start(then, failed)

    def _tick(self) -> None:
        if self.driver is None or self.member is None:
            return
        self.driver.tick()
        self.member.compact()
        self._ticks += 1
        if self._ticks % _HOUSEKEEP_TICKS == 0:
            self.member.housekeep()
        self.later(TICK_US * 1_000_000 // self.rate_ppm, self._tick)
