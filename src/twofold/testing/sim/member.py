"""One simulated machine: what survives its crash, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from twofold.base.disk import DiskFailed
from twofold.base.ids import MemberId
from twofold.member.driver import Driver
from twofold.member.ports import Ticket
from twofold.member.recovery import reconcile
from twofold.raft.core import Core
from twofold.raft.types import (
    CoreConfig,
    Entry,
    HardState,
    Message,
    PeerAlive,
    SnapshotRestored,
)
from twofold.store.apply.applier import Applier
from twofold.store.backend.memory import MemoryBackend
from twofold.store.backend.memory import MemoryDisk as StateDisk
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
class _Job:
    entries: Sequence[Entry]
    hard_state: HardState | None
    ticket: Ticket


class SimLog:
    """LogPort over the real WAL; each sync takes its time, a crash may tear it."""

    def __init__(self, wal: Wal, machine: Machine) -> None:
        self.wal = wal
        self.on_tickets: Callable[[Sequence[Ticket]], None] = lambda _t: None
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
        self._waiting.append(_Job(tuple(entries), hard_state, ticket))
        if not self._writing:
            self._begin()

    def tear(self) -> None:
        """The machine crashes now: any part of the running write may remain."""
        disk, rng = self._machine.disk, self._machine.rng
        disk.fail_at = disk.operations + rng.randint(1, 4)
        with suppress(DiskFailed):
            self._write()

    def _begin(self) -> None:
        self._writing, self._waiting = self._waiting, []
        low, high = self._machine.sync_us
        self._machine.later(self._machine.rng.randint(low, high), self._finish)

    def _write(self) -> None:
        if self._writing:
            for job in self._writing:
                self.wal.append(job.entries, job.hard_state)
            self.wal.sync()

    def _finish(self) -> None:
        self._write()
        tickets = [job.ticket for job in self._writing]
        self._writing = []
        if self._waiting:
            self._begin()
        self.on_tickets(tickets)


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
        self.driver.on_send_snapshot = lambda: self.send_snapshot(self)
        self.later(self.rng.randint(1, _TICK_US), self._tick)

    def crash(self) -> None:
        """Power loss."""
        if self.log is not None and self.rng.random() < 0.7:
            self.log.tear()
        self.disk.crash(self.rng)
        self.driver = None
        self.log = None
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

    def install(self, state: StateDisk, then: Callable[[bool], None]) -> None:
        """Put the leader's state in place of ours; a crash may come in between."""
        driver, log = self.driver, self.log
        if driver is None or log is None:
            return
        if log.busy:
            self.later(1_000, lambda: self.install(state, then))
            return
        self.state = state
        driver.applier.restore(MemoryBackend(state))
        applier = driver.applier
        index, position = applier.applied_index, applier.position

        def mark() -> None:
            if log.busy:
                self.later(500, mark)
                return
            log.wal.mark(index, position, reset=True)
            log.wal.sync()
            driver.step(SnapshotRestored(self.now_ms(), index, position))
            then(True)

        self.later(self.rng.randint(1, 3_000), mark)

    def checkpoint(self) -> None:
        """Checkpoint the state machine and mark it in the log, if idle."""
        driver, log = self.driver, self.log
        if driver is None or log is None or log.busy or self.paused:
            return
        applier = driver.applier
        index, position = applier.applied_index, applier.position
        applier.backend.checkpoint(lambda _failure: None)
        if index > log.wal.mark_index:
            log.wal.mark(index, position)
            log.wal.sync()
            log.wal.release(index)

    def _tick(self) -> None:
        if self.driver is not None:
            self.driver.tick()
            self.driver.expire()
            self.later(_TICK_US, self._tick)
