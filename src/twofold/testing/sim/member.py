"""One simulated machine: what survives its crash, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from twofold.base.disk import DiskFailed
from twofold.base.ids import Index, MemberId
from twofold.member.checkpoints import Checkpointer
from twofold.member.driver import Driver
from twofold.member.ports import CheckpointMark, Ticket
from twofold.member.recovery import reconcile
from twofold.raft.core import Core
from twofold.raft.types import (
    CoreConfig,
    Entry,
    HardState,
    Message,
    PeerAlive,
    Position,
)
from twofold.store.apply.applier import Applier
from twofold.store.backend.memory import MemoryBackend
from twofold.store.backend.memory import MemoryDisk as StateDisk
from twofold.store.snap.applied import APPLIED, unpack_applied
from twofold.store.wal.log import Wal
from twofold.store.wal.records import WalMeta
from twofold.testing.disk import MemoryDisk
from twofold.testing.sim.time import VirtualTime
from twofold.testing.sim.witness import Medium, SimWitness
from twofold.witness.session import Identity

CLUSTER_ID = 42
_WAL = Path("/wal")
_TICK_US = 20_000


class Network(Protocol):
    """What a machine sends through."""

    def connected(self) -> bool:
        """Whether both ends have the link up."""

    def send(self, sender: MemberId, messages: Sequence[Message]) -> None:
        """Deliver in order after a delay, unless the link breaks."""

    def forward(self, sender: MemberId, payload: bytes) -> None:
        """As ``send``, for commands."""


@dataclass(slots=True)
class _Write:
    entries: Sequence[Entry]
    hard_state: HardState | None
    token: object

    def into(self, wal: Wal) -> None:
        wal.append(self.entries, self.hard_state)


@dataclass(slots=True)
class _Mark:
    index: Index
    position: Position
    reset: bool
    token: object

    def into(self, wal: Wal) -> None:
        wal.mark(self.index, self.position, reset=self.reset)


_Job = _Write | _Mark


class SimLog:
    """LogPort over the real WAL; each sync takes its time, a crash may tear it."""

    def __init__(self, wal: Wal, machine: Machine) -> None:
        self.wal = wal
        self.on_tickets: Callable[[Sequence[Ticket]], None] = lambda _t: None
        self.on_mark: Callable[[CheckpointMark], None] = lambda _m: None
        self._machine = machine
        self._waiting: list[_Job] = []
        self._writing: list[_Job] = []

    @property
    def busy(self) -> bool:
        """See LogPort."""
        return bool(self._waiting or self._writing)

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        """See LogPort."""
        self._add(_Write(tuple(entries), hard_state, ticket))

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """See LogPort."""
        self._add(_Mark(index, position, reset, token))

    def release(self, index: Index) -> None:
        """See LogPort."""
        self.wal.release(index)

    def tear(self) -> None:
        """The machine crashes now: any part of the running write may remain."""
        disk, rng = self._machine.disk, self._machine.rng
        disk.fail_at = disk.operations + rng.randint(1, 4)
        with suppress(DiskFailed):
            self._write()

    def _add(self, job: _Job) -> None:
        self._waiting.append(job)
        if not self._writing:
            self._begin()

    def _begin(self) -> None:
        self._writing, self._waiting = self._waiting, []
        low, high = self._machine.sync_us
        self._machine.later(self._machine.rng.randint(low, high), self._finish)

    def _write(self) -> None:
        if self._writing:
            for job in self._writing:
                job.into(self.wal)
            self.wal.sync()

    def _finish(self) -> None:
        self._write()
        tokens = [job.token for job in self._writing]
        self._writing = []
        if self._waiting:
            self._begin()
        self.on_tickets([token for token in tokens if isinstance(token, Ticket)])
        for token in tokens:
            if isinstance(token, CheckpointMark):
                self.on_mark(token)


class _Link:
    def __init__(self, network: Network, sender: MemberId) -> None:
        self._network = network
        self._sender = sender

    @property
    def up(self) -> bool:
        return self._network.connected()

    def send(self, messages: Sequence[Message]) -> None:
        self._network.send(self._sender, tuple(messages))

    def flush(self) -> None:
        """Nothing waits."""

    def forward(self, payload: bytes) -> None:
        self._network.forward(self._sender, payload)


@dataclass(slots=True)
class Machine:
    """A machine with its disks; ``driver`` is None while it is down.

    ``sync_us``: range of a log sync. ``paused``: everything waits (SIGSTOP).
    """

    member_id: MemberId
    peer_id: MemberId
    time: VirtualTime
    rng: random.Random
    medium: Medium
    network: Network
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    state: StateDisk = field(default_factory=StateDisk)
    incarnation: int = 0
    driver: Driver | None = None
    log: SimLog | None = None
    checkpointer: Checkpointer | None = None
    paused: bool = False
    sync_us: tuple[int, int] = (100, 2_000)
    boots: int = 0
    observe: Callable[[Driver], None] = lambda _driver: None
    send_snapshot: Callable[[Machine], None] = lambda _machine: None
    _held: list[Callable[[], None]] = field(default_factory=list)

    # ---- ports

    def now_ms(self) -> int:
        """See member.ports.Clock."""
        return self.time.now_us // 1_000

    def soon(self, callback: Callable[[], None]) -> None:
        """See member.ports.Clock."""
        self.later(1, callback)

    def later(self, delay_us: int, callback: Callable[[], None]) -> None:
        """Run on this machine, if the boot that asked for it still lives."""
        boot = self.boots

        def run() -> None:
            if self.paused:
                self._held.append(run)
            elif self.boots == boot and self.driver is not None:
                callback()
                self.observe(self.driver)

        self.time.after(delay_us, run)

    # ---- life

    def boot(self, members: tuple[MemberId, MemberId], trace: bool = False) -> None:
        """Start from what the disks hold."""
        self.boots += 1
        if self.boots == 1:
            self.incarnation = self.rng.getrandbits(63) | 1
            meta = WalMeta(CLUSTER_ID, self.member_id, self.incarnation)
            Wal.create(_WAL, meta, disk=self.disk)
        wal, restart = Wal.open(_WAL, disk=self.disk)
        applier = Applier(MemoryBackend(self.state))
        restart = reconcile(wal, restart, applier.applied_index, applier.position)
        config = CoreConfig(
            self.member_id,
            self.incarnation,
            self.peer_id,
            witness=True,
            seed=self.rng.getrandbits(32),
            trace=trace,
        )
        core = Core(config, restart, self.now_ms())
        identity = Identity(CLUSTER_ID, 0, self.member_id, self.incarnation, members)
        self.log = SimLog(wal, self)
        self.driver = Driver(
            core,
            applier,
            self.log,
            _Link(self.network, self.member_id),
            SimWitness(self.medium, identity, self.time, self),
            self,
            origin=self.rng.getrandbits(63) | 1,
        )
        self.log.on_tickets = self.driver.durable
        self.checkpointer = Checkpointer(
            self.driver,
            self.log,
            lambda callback: self.later(1_000, callback),
            entries_max=1 << 40,
            age_max_ms=1 << 40,
            on_failure=lambda _failure: None,
        )
        self.log.on_mark = self.checkpointer.marked
        self.driver.on_send_snapshot = lambda: self.send_snapshot(self)
        self.later(self.rng.randint(1, _TICK_US), self._tick)

    def crash(self) -> None:
        """Power loss."""
        if self.log is not None and self.rng.random() < 0.7:
            self.log.tear()
        self.disk.crash(self.rng)
        self.driver = None
        self.log = None
        self.checkpointer = None
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
        backend = MemoryBackend(state)
        index, _ = unpack_applied(backend.metas().get(APPLIED))
        if index > driver.applied_index:
            self.state = state
            driver.restored(backend)

    def checkpoint(self) -> None:
        """Checkpoint the state machine now."""
        if self.checkpointer is not None and not self.paused:
            self.checkpointer.start()

    def _tick(self) -> None:
        if self.driver is not None:
            self.driver.tick()
            self.driver.expire()
            self.later(_TICK_US, self._tick)
