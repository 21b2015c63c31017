"""The parts that a member is made of; tests put broken ones in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twofold.base.ids import MemberId
from twofold.member.driver import Driver
from twofold.member.proposals import Proposals
from twofold.raft.core import Core
from twofold.raft.types import Effects
from twofold.testing.sim.log import SimLog
from twofold.testing.sim.model import CommandId, SimApplier
from twofold.testing.sim.witness import SimWitness, Versions
from twofold.witness.session import Session


class SimProposals(Proposals):
    """Tells which id the last command got."""

    @property
    def last_command(self) -> CommandId:
        """The id of the command that was added last."""
        return self.origin, self._sequence


class SimDriver(Driver):
    """The driver, telling what its core does and why."""

    tell: Callable[[str], None] | None = None

    def _carry_out(self, effects: Effects) -> None:
        if self.tell is not None:
            for line in effects.trace:
                self.tell(line)
        super()._carry_out(effects)


@dataclass(frozen=True)
class Parts:
    """Each class does its work as in production unless a test says otherwise."""

    core: type[Core] = Core
    applier: type[SimApplier] = SimApplier
    log: type[SimLog] = SimLog
    proposals: type[SimProposals] = SimProposals
    session: type[Session] = Session
    witness: type[SimWitness] = SimWitness
    versions: type[Versions] = Versions


SOUND = Parts()
MEMBERS = A, B = MemberId(1), MemberId(2)
