"""What must be true after every step of every machine."""

from __future__ import annotations

from twofold.base.ids import MemberId, Term
from twofold.raft.types import Mode, Role
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.member import Machine
from twofold.testing.sim.model import Violation


class StepChecks:
    """Looks at a machine after each thing that happened on it."""

    def __init__(self, machines: dict[MemberId, Machine], marks: Marks) -> None:
        self.digest = 0
        self._machines = machines
        self._marks = marks
        self._leaders: dict[Term, MemberId] = {}
        self._modes: dict[MemberId, Mode] = {}
        self._reached: dict[MemberId, tuple[int, int, int, int]] = {}

    def observe(self, machine: Machine) -> None:
        """Check the machine and its standing among the others.

        Raises:
            Violation: a rule of Raft or of the witness was broken.
        """
        driver, member = machine.driver, machine.member_id
        if driver is None:
            return
        core = driver.core
        status = core.status()
        reached = (
            machine.boots,
            status.term,
            status.commit_index,
            driver.applied_index,
        )
        # Within one process of this build: a hash of numbers is their own.
        self.digest = hash((self.digest, machine.now_ms(), status.last_index, reached))
        former = self._reached.get(member)
        if former == reached and self._modes.get(member) is status.mode:
            return
        self._reached[member] = reached
        if not reached[3] <= reached[2] <= status.last_index:
            raise Violation(f"applied, committed, last out of order: {status}")
        if former is not None and former[0] == reached[0]:
            self._check_forward(member, former, reached)
        if core.role is Role.LEADER:
            known = self._leaders.setdefault(status.term, member)
            if known != member:
                raise Violation(f"two leaders in term {status.term}")
        if status.mode is Mode.SOLO:
            self._check_alone(machine)
        self._mark(self._modes.get(member), status.mode)
        self._modes[member] = status.mode

    @staticmethod
    def _check_forward(
        member: MemberId, former: tuple[int, ...], reached: tuple[int, ...]
    ) -> None:
        if any(now < before for now, before in zip(reached, former, strict=True)):
            raise Violation(f"{member} went back from {former} to {reached}")

    def _check_alone(self, machine: Machine) -> None:
        peer = self._machines[machine.peer_id].driver
        if peer is not None and peer.core.mode is Mode.SOLO:
            raise Violation("both members commit alone")

    def _mark(self, before: Mode | None, mode: Mode) -> None:
        if before is mode:
            return
        marks = self._marks
        marks.solos += mode is Mode.SOLO
        marks.refusals += mode is Mode.REFUSED
        marks.takeovers += before is Mode.CLAIMING and mode is Mode.SOLO
        marks.pairs_again += before is Mode.SOLO and mode is Mode.PAIR
