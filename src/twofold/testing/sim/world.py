"""A run: two machines, a network, a witness, clients and faults, from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twofold.base.errors import TwofoldError
from twofold.base.ids import MemberId
from twofold.member.driver import Driver
from twofold.proto import kv_pb2, rpc_pb2
from twofold.raft.types import NO_MEMBER, Message, Mode, Role, SnapshotSent
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import PutOutcome
from twofold.testing.sim.check import (
    FinalHistory,
    Operation,
    OperationKind,
    Violation,
    check_history,
)
from twofold.testing.sim.member import CLUSTER_ID, Machine
from twofold.testing.sim.time import VirtualTime
from twofold.testing.sim.witness import Medium
from twofold.witness.record import Incarnation, encode, initial_record

A, B = MemberId(1), MemberId(2)
_KEYS = 4
_WARM_US = 1_000_000
_FAULTS_US = 8_000_000
_CALM_US = 9_000_000
_REQUEST_MS = 5_000


class SimNetwork:
    """One link: ordered, and lossless while it is up, as TCP is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cut = False
        self.one_way: MemberId | None = None
        self._up = False
        self._session = 0
        self._last_us: dict[MemberId, int] = {A: 0, B: 0}

    def connected(self) -> bool:
        """See Network."""
        return self._up

    def send(self, sender: MemberId, messages: Sequence[Message]) -> None:
        """See Network."""
        self._deliver(sender, lambda driver: driver.receive(messages))

    def forward(self, sender: MemberId, payload: bytes) -> None:
        """See Network."""
        self._deliver(sender, lambda driver: driver.receive_forwarded(payload))

    def stream(self, sender: Machine) -> None:
        """Carry the sender's checkpointed state over, as long as the link holds."""
        world, session = self._world, self._session
        receiver = world.machines[sender.peer_id]
        boot = sender.boots

        def tell(ok: bool) -> None:
            if sender.driver is not None and sender.boots == boot:
                sender.driver.step(SnapshotSent(sender.now_ms(), ok))

        def arrive() -> None:
            if self._session != session or receiver.driver is None:
                sender.later(1, lambda: tell(False))
                return
            world.marks.snapshots += 1
            receiver.install(state)
            sender.later(500, lambda: tell(True))

        if sender.driver is not None:
            sender.driver.applier.backend.checkpoint(lambda _failure: None)
        state = sender.state.copy()
        world.time.after(
            world.rng.randint(1_000, 300_000), lambda: receiver.later(1, arrive)
        )

    def look(self) -> None:
        """Connect if nothing is in the way; break if something is."""
        world = self._world
        both = all(machine.driver is not None for machine in world.machines.values())
        stopped = any(machine.paused for machine in world.machines.values())
        if self._up and (not both or self.cut):
            self.down(dead=False)
        elif not self._up and both and not self.cut and not stopped:
            self._up = True
            self._session += 1
            for machine in world.machines.values():
                self._tell(machine, lambda driver: driver.connected())

    def down(self, dead: bool) -> None:
        """The link is gone; ``dead``: the survivor's kernel knows why."""
        if self._up:
            self._up = False
            self._session += 1
            for machine in self._world.machines.values():
                self._tell(machine, lambda driver: driver.disconnected(dead))

    def passes(self, sender: MemberId) -> bool:
        """Whether packets of ``sender`` arrive."""
        return not self.cut and self.one_way != sender

    def _tell(self, machine: Machine, action: Callable[[Driver], None]) -> None:
        def run() -> None:
            if machine.driver is not None:
                action(machine.driver)

        machine.later(self._world.rng.randint(50, 5_000), run)

    def _deliver(self, sender: MemberId, action: Callable[[Driver], None]) -> None:
        world = self._world
        if not self._up or not self.passes(sender):
            return
        session = self._session
        receiver = world.machines[B if sender == A else A]
        arrival_us = world.time.now_us + world.rng.randint(50, world.latency_us)
        arrival_us = self._last_us[sender] = max(arrival_us, self._last_us[sender] + 1)

        def arrive() -> None:
            if self._session == session and receiver.driver is not None:
                action(receiver.driver)

        receiver.later(arrival_us - world.time.now_us, arrive)


@dataclass(slots=True)
class Marks:
    """What happened in a run; campaigns check that everything does, somewhere."""

    crashes: int = 0
    pauses: int = 0
    cuts: int = 0
    solos: int = 0
    pairs: int = 0
    refusals: int = 0
    snapshots: int = 0
    takeovers: int = 0
    late_landings: int = 0
    answered: int = 0
    unknown: int = 0
    terms: dict[int, MemberId] = field(default_factory=dict)


class World:
    """Everything of one run. ``run`` raises Violation if a promise is broken."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.rng = random.Random(seed)  # noqa: S311 (replayable on purpose)
        self.time = VirtualTime()
        self.medium = Medium(random.Random(seed + 1))  # noqa: S311
        self.network = SimNetwork(self)
        self.latency_us = self.rng.choice((300, 2_000, 20_000))
        self.operations: list[Operation] = []
        self.marks = Marks()
        self.trace = trace
        self._values = 0
        self._modes: dict[MemberId, Mode] = {}
        self._calm = False
        self.machines = {
            A: Machine(A, B, self.time, self.rng, self.medium, self.network),
            B: Machine(B, A, self.time, self.rng, self.medium, self.network),
        }
        record = initial_record(
            cluster_id=CLUSTER_ID,
            witness_id=7,
            members=(Incarnation(A, 0), Incarnation(B, 0)),
            nonce=self.rng.randbytes(16),
            wall_time_ms=0,
        )
        self.medium.backend.publish(encode(record), record.version)
        self.medium.unknown_chance = self.rng.choice((0.0, 0.0, 0.3))
        self.medium.slow_us = self.rng.choice((1_000, 10_000, 300_000))

    def run(self) -> Marks:
        """Faults for a while, then calm; then check everything."""
        for machine in self.machines.values():
            machine.sync_us = self.rng.choice(((50, 500), (500, 5_000), (100, 80_000)))
            machine.observe = self._observe
            machine.send_snapshot = self.network.stream
            machine.boot((A, B), self.trace)
        self._every(5_000, self.network.look)
        self._every(50_000, self._heartbeats)
        self._every(self.rng.choice((8_000, 60_000)), self._request)
        self._every(400_000, self._checkpoint)
        self.time.run_until(_WARM_US)
        self._every(self.rng.choice((100_000, 400_000, 1_200_000)), self._fault)
        self.time.run_until(_WARM_US + _FAULTS_US)
        self._heal()
        self.time.run_until(_WARM_US + _FAULTS_US + _CALM_US)
        self._check_progress()
        check_history(self.operations, self._final())
        self.marks.late_landings = self.medium.late_landings
        return self.marks

    # ---- what happens

    def _every(self, period_us: int, action: Callable[[], None]) -> None:
        def run() -> None:
            action()
            self.time.after(self.rng.randint(1, 2 * period_us), run)

        self.time.after(self.rng.randint(1, period_us), run)

    def _heartbeats(self) -> None:
        for machine in self.machines.values():
            if machine.driver is not None and not machine.paused:
                receiver = self.machines[machine.peer_id]
                if self.network.passes(machine.member_id):
                    receiver.later(self.rng.randint(50, 2_000), receiver.heard)

    def _checkpoint(self) -> None:
        self.machines[self.rng.choice((A, B))].checkpoint()

    def _fault(self) -> None:
        if self._calm:
            return
        machine = self.machines[self.rng.choice((A, B))]
        kind = self.rng.randrange(9)
        if kind <= 2:
            self._crash(machine)
        elif kind == 3 and machine.driver is not None and not machine.paused:
            self.marks.pauses += 1
            machine.pause()
            self.time.after(self.rng.randint(50_000, 4_000_000), machine.resume)
        elif kind in (4, 5):
            self.marks.cuts += 1
            self.network.cut = not self.network.cut
        elif kind == 6:
            one_way = None if self.network.one_way else machine.member_id
            self.network.one_way = one_way
        elif kind == 7:
            self.medium.cut_from ^= {machine.member_id}
        else:
            self._restart_all()

    def _crash(self, machine: Machine) -> None:
        if machine.driver is not None:
            self.marks.crashes += 1
            machine.crash()
            if self.rng.random() < 0.7:
                self.network.down(dead=self.rng.random() < 0.8)
            back_us = self.rng.randint(10_000, 3_000_000)
            self.time.after(back_us, lambda: self._boot(machine))

    def _boot(self, machine: Machine) -> None:
        if machine.driver is None:
            machine.boot((A, B), self.trace)

    def _restart_all(self) -> None:
        """The site loses power; the machines come back in any order."""
        for machine in self.machines.values():
            self._crash(machine)

    def _heal(self) -> None:
        self._calm = True
        self.network.cut = False
        self.network.one_way = None
        self.medium.cut_from.clear()
        self.medium.unknown_chance = 0.0
        self.medium.slow_us = 3_000
        for machine in self.machines.values():
            machine.resume()
            self._boot(machine)

    # ---- clients

    def _request(self) -> None:
        machine = self.machines[self.rng.choice((A, B))]
        driver = machine.driver
        if driver is None or machine.paused:
            return
        key = b"key%d" % self.rng.randrange(_KEYS)
        if self.rng.random() < 0.6:
            self._values += 1
            value = b"value%d" % self._values
            operation = self._begin(OperationKind.WRITE, machine, key, value)
            request = rpc_pb2.PutRequest(key=key, value=value)
            driver.proposals.add(
                CommandKind.PUT,
                request.SerializeToString(),
                lambda outcome: self._written(operation, outcome),
                machine.now_ms() + _REQUEST_MS,
            )
        else:
            operation = self._begin(OperationKind.READ, machine, key, None)
            driver.reads.add(
                lambda error: self._read(operation, driver, error),
                machine.now_ms() + _REQUEST_MS,
            )
        machine.soon(driver.schedule)

    def _begin(
        self, kind: OperationKind, machine: Machine, key: bytes, value: bytes | None
    ) -> Operation:
        now_us = self.time.now_us
        operation = Operation(kind, machine.member_id, key, value, now_us)
        self.operations.append(operation)
        return operation

    def _written(self, operation: Operation, outcome: object) -> None:
        if isinstance(outcome, PutOutcome):
            operation.revision = outcome.revision
            operation.end_us = self.time.now_us
            self.marks.answered += 1
        else:
            self.marks.unknown += 1

    def _read(
        self, operation: Operation, driver: Driver, error: TwofoldError | None
    ) -> None:
        if error is not None:
            self.marks.unknown += 1
            return
        store = driver.applier.store
        found = store.range(operation.key, b"").kvs
        operation.value = kv_pb2.KeyValue.FromString(found[0]).value if found else None
        operation.revision = store.current_revision
        operation.end_us = self.time.now_us
        self.marks.answered += 1

    # ---- what must be true

    def _observe(self, driver: Driver) -> None:
        """Called after everything that happens on a machine."""
        core = driver.core
        member = core.config.member_id
        if core.role is Role.LEADER:
            known = self.marks.terms.setdefault(core.term, member)
            if known != member:
                raise Violation(f"two leaders in term {core.term}")
        mode = core.mode
        before = self._modes.get(member)
        if mode is not before:
            self._modes[member] = mode
            self.marks.solos += mode is Mode.SOLO
            self.marks.pairs += mode is Mode.PAIR
            self.marks.refusals += mode is Mode.REFUSED
            self.marks.takeovers += before is Mode.CLAIMING and mode is Mode.SOLO

    def _check_progress(self) -> None:
        late = self.time.now_us - 3_000_000
        for member in (A, B):
            done = any(
                o.end_us is not None and o.start_us > late and o.member == member
                for o in self.operations
            )
            if not done:
                driver = self.machines[member].driver
                state = driver.core.status() if driver else None
                raise Violation(f"no progress at {member} after the faults: {state}")
            driver = self.machines[member].driver
            if driver is None or driver.core.leader == NO_MEMBER:
                raise Violation(f"{member} knows no leader after the faults")

    def _final(self) -> FinalHistory:
        """The order both members agree on; they may differ in how far they are."""
        histories = []
        for machine in self.machines.values():
            driver = machine.driver
            if driver is None:
                raise Violation("a machine is down at the end")
            history: dict[int, tuple[bytes, bytes]] = {}
            for _, data in driver.applier.backend.scan(b"", None):
                pair = kv_pb2.KeyValue.FromString(data)
                history[pair.mod_revision] = (pair.key, pair.value)
            histories.append(history)
        first, second = histories
        for revision in first.keys() & second.keys():
            if first[revision] != second[revision]:
                raise Violation(f"the members differ at revision {revision}")
        return first | second
