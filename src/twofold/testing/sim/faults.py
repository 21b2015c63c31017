"""What goes wrong in a run, chosen by its seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from twofold.base.ids import MemberId
from twofold.raft.types import Role
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.member import Machine
from twofold.testing.sim.network import SimNetwork
from twofold.testing.sim.parts import MEMBERS
from twofold.testing.sim.time import VirtualTime
from twofold.testing.sim.witness import Medium

_HAND_OVER_US = 3_000_000
_LOOK_US = 10_000


class Faults:
    """Breaks and mends machines, link and witness; ``heal`` ends all of it."""

    def __init__(
        self,
        time: VirtualTime,
        rng: random.Random,
        machines: dict[MemberId, Machine],
        network: SimNetwork,
        medium: Medium,
        marks: Marks,
    ) -> None:
        self._time = time
        self._rng = rng
        self._machines = machines
        self._network = network
        self._medium = medium
        self._marks = marks
        self._calm = False
        self._kinds: tuple[Callable[[Machine], None], ...] = (
            self._crash,
            self._crash,
            self._pause,
            self._cut,
            self._cut,
            self._one_way,
            self._hole,
            self._cut_witness,
            self._cut_witness,
            self._power_loss,
            self._fail_disk,
            self._stop,
            self._transfer,
            self._peer_of_solo,
        )
        for machine in machines.values():
            machine.on_failed = self._failed

    def strike(self) -> None:
        """One more fault, or the end of one."""
        if not self._calm:
            machine = self._machines[self._rng.choice(MEMBERS)]
            kind = self._rng.choice(self._kinds)
            if machine.tell is not None:
                machine.tell(machine.member_id, f"** {kind.__name__.strip('_')}")
            kind(machine)

    def heal(self) -> None:
        """Everything works from now on."""
        self._calm = True
        for machine in self._machines.values():
            if machine.tell is not None:
                machine.tell(machine.member_id, "** heal")
        self._network.cut = False
        self._network.one_way = None
        self._network.hole = False
        self._network.duplicate_chance = 0.0
        self._medium.cut_from.clear()
        self._medium.unknown_chance = 0.0
        self._medium.slow_us = 3_000
        for machine in self._machines.values():
            machine.disk.fail_at = None
            machine.checkpoint_failures = 0.0
            machine.resume()
            self._boot(machine)

    # ---- machines

    def _crash(self, machine: Machine) -> None:
        if machine.driver is None:
            return
        self._marks.crashes += 1
        machine.crash()
        if self._rng.random() < 0.7:
            self._network.down(dead=self._rng.random() < 0.8)
        self._boot_later(machine)

    def _power_loss(self, _machine: Machine) -> None:
        """The site loses power; the machines come back in any order."""
        for machine in self._machines.values():
            self._crash(machine)

    def _peer_of_solo(self, machine: Machine) -> None:
        """The owner goes away while the other one comes back: who may lead?"""
        if machine.driver is not None and machine.driver.core.role is Role.LEADER:
            self._crash(machine)
        self._boot(self._machines[machine.peer_id])

    def _boot_later(self, machine: Machine) -> None:
        boots = machine.boots

        def boot() -> None:
            if machine.boots == boots:
                self._boot(machine)

        self._time.after(self._rng.randint(10_000, 3_000_000), boot)

    def _boot(self, machine: Machine) -> None:
        if machine.driver is not None:
            return
        if not self._calm and self._rng.random() < 0.1:
            machine.disk.fail_at = machine.disk.operations + self._rng.randint(1, 3)
        machine.boot()
        if machine.tell is not None:
            up = "no boot: disk error" if machine.driver is None else "boot"
            machine.tell(machine.member_id, f"** {up}")
        if machine.driver is None:
            self._boot_later(machine)

    def _pause(self, machine: Machine) -> None:
        if machine.driver is not None and not machine.paused:
            self._marks.pauses += 1
            machine.pause()
            self._time.after(self._rng.randint(50_000, 4_000_000), machine.resume)

    def _fail_disk(self, machine: Machine) -> None:
        """The log's disk answers with errors; the member has to stop."""
        if machine.driver is not None:
            machine.disk.fail_at = machine.disk.operations + self._rng.randint(1, 6)

    def _failed(self, machine: Machine) -> None:
        if machine.driver is not None:
            self._marks.disk_failures += 1
            machine.end()
            self._network.down(dead=True)
            self._boot_later(machine)
            if machine.tell is not None:
                machine.tell(machine.member_id, "** disk failed, stopped")

    def _stop(self, machine: Machine) -> None:
        """SIGTERM: hand over, then end."""
        member, boots = machine.member, machine.boots
        if member is None or machine.paused:
            return
        self._marks.stops += 1
        until_us = self._time.now_us + _HAND_OVER_US
        member.hand_over()

        def look() -> None:
            driver = machine.driver
            if driver is None or machine.boots != boots:
                return
            leads = driver.core.role is Role.LEADER and self._network.connected()
            if leads and self._time.now_us < until_us:
                machine.later(_LOOK_US, look)
                return
            member.stopping = True
            member.fail_all()
            machine.end()
            self._network.down(dead=True)
            self._boot_later(machine)

        machine.later(1, look)

    def _transfer(self, machine: Machine) -> None:
        member = machine.member
        if member is not None and not machine.paused and member.has_leader():
            leads = member.driver.core.role is Role.LEADER
            self._marks.transfers += leads
            member.move_leader(machine.peer_id, lambda _error: None)

    # ---- link and witness

    def _cut(self, _machine: Machine) -> None:
        self._marks.cuts += 1
        self._network.cut = not self._network.cut

    def _one_way(self, machine: Machine) -> None:
        silent = None if self._network.one_way else machine.member_id
        self._network.one_way = silent

    def _hole(self, _machine: Machine) -> None:
        """Packets vanish, and nobody is told."""
        self._marks.holes += 1
        self._network.hole = not self._network.hole

    def _cut_witness(self, machine: Machine) -> None:
        self._marks.witness_cuts += 1
        self._medium.cut_from ^= {machine.member_id}
