"""A run: two machines, a network, a witness, clients and faults, from one seed."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Callable

from twofold.base.ids import MemberId
from twofold.raft.types import NO_MEMBER
from twofold.store.mvcc.store import MvccStore
from twofold.testing.sim.check import check_history
from twofold.testing.sim.clients import Clients
from twofold.testing.sim.faults import Faults
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.member import CLUSTER_ID, Machine
from twofold.testing.sim.model import Ledger, Violation
from twofold.testing.sim.network import SimNetwork
from twofold.testing.sim.parts import MEMBERS, SOUND, A, B, Parts
from twofold.testing.sim.steps import StepChecks
from twofold.testing.sim.time import VirtualTime
from twofold.testing.sim.watching import Watching
from twofold.testing.sim.witness import Medium
from twofold.witness.record import Incarnation, encode, initial_record

_WARM_US = 1_000_000
_FAULTS_US = 8_000_000
_CALM_US = 7_000_000
_QUIET_US = 2_500_000
"""Without requests, so that both members come to the same state."""
_RECOVERY_MAX_MS = 5_000
_LEASE_SLACK_US = 2_500_000


class World:
    """Everything of one run. ``run`` raises Violation if a promise is broken.

    ``digest`` is the same for every run of the same seed.
    """

    def __init__(self, seed: int, trace: bool = False, parts: Parts = SOUND) -> None:
        self.rng = rng = random.Random(seed)  # noqa: S311 (replayable on purpose)
        self.time = VirtualTime()
        self.marks = Marks()
        self.ledger = Ledger()
        self.network = SimNetwork(self.time, rng, self.marks)
        self.medium = Medium(random.Random(seed + 1), parts.versions())  # noqa: S311
        self.machines = {
            member: Machine(
                member,
                peer,
                self.time,
                rng,
                self.medium,
                self.network,
                self.ledger,
                Watching(f"member {member}", self.ledger.model),
                self.marks,
                parts,
            )
            for member, peer in ((A, B), (B, A))
        }
        self.network.machines = self.machines
        self.clients = Clients(self.time, rng, self.ledger, self.marks)
        self.clients.machines = self.machines
        self.checks = StepChecks(self.machines, self.marks)
        self.faults = Faults(
            self.time, rng, self.machines, self.network, self.medium, self.marks
        )
        self.digest = 0
        self._tell = self._print if trace else None
        self._choose()

    def _choose(self) -> None:
        """Let the seed choose how fast and how bad everything is."""
        rng, medium = self.rng, self.medium
        self.network.latency_us = rng.choice((300, 2_000, 20_000))
        self.network.duplicate_chance = rng.choice((0.0, 0.0, 0.02))
        record = initial_record(
            cluster_id=CLUSTER_ID,
            witness_id=7,
            members=(Incarnation(A, 0), Incarnation(B, 0)),
            nonce=rng.randbytes(16),
            wall_time_ms=0,
        )
        medium.publish(encode(record), record.version)
        medium.unknown_chance = rng.choice((0.0, 0.0, 0.3))
        medium.slow_us = rng.choice((1_000, 10_000, 300_000))
        for machine in self.machines.values():
            machine.sync_us = rng.choice(((50, 500), (500, 5_000), (100, 80_000)))
            machine.rate_ppm = rng.choice((1_000_000, 1_000_000, 970_000, 1_030_000))
            machine.checkpoint_failures = rng.choice((0.0, 0.0, 0.3))
            machine.observe = self.checks.observe
            machine.send_snapshot = self.network.stream
            machine.tell = self._tell

    def run(self) -> Marks:
        """Faults for a while, then calm; then check everything."""
        self.start()
        period_us = self.rng.choice((100_000, 400_000, 1_200_000))
        self.every(period_us, self.faults.strike)
        self.time.run_until(_WARM_US + _FAULTS_US)
        return self.settle()

    def start(self) -> None:
        """Boot both machines and let clients ask for a while, without faults."""
        for machine in self.machines.values():
            machine.boot()
        self.every(20_000, self.network.look)
        self.every(50_000, self._heartbeats)
        self.every(self.rng.choice((15_000, 60_000)), self.clients.request)
        self.every(400_000, self._checkpoint)
        self.time.run_until(_WARM_US)

    def settle(self) -> Marks:
        """End all faults and check that everything comes right.

        Raises:
            Violation: it does not.
        """
        self.faults.heal()
        healed_us = self.time.now_us
        self.time.run_until(healed_us + _CALM_US)
        self.clients.quiet = True
        self.time.run_until(healed_us + _CALM_US + _QUIET_US)
        self._check_progress(healed_us)
        self._check_states()
        self.clients.expired(self.time.now_us, _LEASE_SLACK_US)
        check_history(self.clients.operations, self.ledger)
        self._finish()
        return self.marks

    def _finish(self) -> None:
        marks, medium = self.marks, self.medium
        marks.late_landings = medium.late_landings
        marks.claims_won = medium.claims_won
        for machine in self.machines.values():
            marks.events_watched += machine.watching.seen
            marks.watches_compacted += machine.watching.compactions
        answers = repr(self.clients.operations).encode()
        log = repr(self.ledger.entries).encode()
        self.digest = zlib.crc32(answers + log + b"%d" % self.checks.digest)

    # ---- what happens

    def every(self, period_us: int, action: Callable[[], None]) -> None:
        """Do ``action`` again and again, on average once a period."""
        random_01 = self.rng.random

        def run() -> None:
            action()
            self.time.after(1 + int(random_01() * 2 * period_us), run)

        self.time.after(self.rng.randint(1, period_us), run)

    def _heartbeats(self) -> None:
        for machine in self.machines.values():
            if machine.driver is not None and not machine.paused:
                receiver = self.machines[machine.peer_id]
                if self.network.passes(machine.member_id):
                    receiver.later(self.rng.randint(50, 2_000), receiver.heard)

    def _checkpoint(self) -> None:
        self.machines[self.rng.choice(MEMBERS)].checkpoint()

    def _print(self, member: MemberId, line: str) -> None:
        sys.stdout.write(f"{self.time.now_us / 1e6:10.6f}  {member}: {line}\n")

    # ---- what must be true at the end

    def _check_progress(self, healed_us: int) -> None:
        """After the faults each member answers requests that began after them."""
        for member, machine in self.machines.items():
            driver = machine.driver
            ends = [
                o.end_us - healed_us
                for o in self.clients.operations
                if o.end_us is not None
                and o.start_us > healed_us
                and o.member == member
                and not o.refused
            ]
            if not ends or driver is None or driver.core.leader == NO_MEMBER:
                state = driver.core.status() if driver else None
                raise Violation(f"no progress at {member} after the faults: {state}")
            recovery_ms = min(ends) // 1_000
            if recovery_ms > _RECOVERY_MAX_MS:
                raise Violation(f"{member} took {recovery_ms} ms to come back")
            self.marks.recovery_ms = max(self.marks.recovery_ms, recovery_ms)

    def _check_states(self) -> None:
        """Both members hold all that was ever committed, and nothing else."""
        model = self.ledger.model
        hashes = set()
        for member, machine in self.machines.items():
            driver = machine.driver
            if driver is None:
                raise Violation(f"{member} is down at the end")
            if driver.applied_index != len(self.ledger.entries):
                raise Violation(
                    f"{member} has applied {driver.applied_index} of"
                    f" {len(self.ledger.entries)}: {driver.core.status()}"
                )
            store = driver.applier.store
            hashes.add((store.hash_kv(), store.finished_compact_revision))
            if store.current_revision != model.revision:
                raise Violation(f"{member} is at {store.current_revision}")
            for key in model.versions:
                _compare(member, store, key, model.at(key, model.revision))
            if dict(driver.applier.lessor.leases()) != model.leases:
                raise Violation(f"{member} holds other leases")
            if machine.watching.next_revision != model.revision + 1:
                raise Violation(
                    f"watch at {member} stopped before {machine.watching.next_revision}"
                )
        if len(hashes) != 1:
            raise Violation(f"the members' hashes differ: {hashes}")


def _compare(
    member: MemberId, store: MvccStore, key: bytes, wanted: bytes | None
) -> None:
    found = store.range(key, b"").kvs
    if (wanted is None) != (not found) or (
        wanted is not None and wanted not in found[0]
    ):
        raise Violation(f"{member} holds {found} for {key!r}, not {wanted!r}")
