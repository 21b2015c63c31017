"""The link between the two machines: ordered and, while it is up, lossless."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from twofold.base.errors import Failure
from twofold.base.ids import MemberId
from twofold.raft.types import Message, SnapshotSent
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.member import AskDone, Machine
from twofold.testing.sim.parts import SimDriver
from twofold.testing.sim.time import VirtualTime


class LinkLost(Failure):
    """The answer to a request will not come."""


class SimNetwork:
    """One TCP connection at a time.

    ``cut`` breaks it; ``hole`` and ``one_way`` (who is not heard) hold up what
    is sent, until it arrives late or the connection breaks.
    ``duplicate_chance``: that after a break the receiver still sees, now or on
    the next connection, what was on the way; worse than TCP, but Raft takes it.
    """

    def __init__(self, time: VirtualTime, rng: random.Random, marks: Marks) -> None:
        self.machines: dict[MemberId, Machine] = {}
        self.latency_us = 2_000
        self.duplicate_chance = 0.0
        self.cut = False
        self.one_way: MemberId | None = None
        self.hole = False
        self._time = time
        self._rng = rng
        self._marks = marks
        self._up = False
        self._session = 0
        self._boots: list[int] = []
        self._last_us: dict[MemberId, int] = {}
        self._asked: list[AskDone] = []
        self._held: dict[MemberId, list[Callable[[SimDriver], None]]] = {}

    def connected(self) -> bool:
        """See Network."""
        return self._up

    def send(self, sender: MemberId, messages: Sequence[Message]) -> None:
        """See Network."""
        self._deliver(sender, lambda driver: driver.receive(messages))
        if self._rng.random() < self.duplicate_chance:
            self._late(sender, messages)

    def forward(self, sender: MemberId, payload: bytes) -> None:
        """See Network."""
        self._deliver(sender, lambda driver: driver.receive_forwarded(payload))

    def ask(self, sender: MemberId, method: int, body: bytes, done: AskDone) -> None:
        """See Network."""
        if not self._up:
            done(LinkLost("the link is down"))
            return
        self._asked.append(done)
        peer = self.machines[self.machines[sender].peer_id]

        def answer(result: bytes | Failure) -> None:
            if done in self._asked:
                self._asked.remove(done)
                done(result)

        def arrive(_driver: SimDriver) -> None:
            if peer.member is not None:
                peer.member.answer_peer(
                    method,
                    body,
                    lambda result: self._deliver(
                        peer.member_id,
                        lambda _driver: answer(
                            result
                            if isinstance(result, bytes)
                            else LinkLost(str(result))
                        ),
                    ),
                )

        self._deliver(sender, arrive)

    def stream(self, sender: Machine) -> None:
        """Checkpoint the sender's state, then carry it over while the link holds."""
        session, boot = self._session, sender.boots
        receiver = self.machines[sender.peer_id]

        def tell(ok: bool) -> None:
            if sender.driver is not None and sender.boots == boot:
                sender.driver.step(SnapshotSent(sender.now_ms(), ok))

        def carry() -> None:
            state = sender.state.copy()

            def arrive() -> None:
                if self._session != session or receiver.driver is None:
                    sender.later(1, lambda: tell(False))
                    return
                self._marks.snapshots += 1
                receiver.install(state)
                sender.later(500, lambda: tell(True))

            self._time.after(
                self._rng.randint(1_000, 300_000), lambda: receiver.later(1, arrive)
            )

        if not sender.checkpoint(carry, lambda: tell(False)):
            sender.later(1, lambda: tell(False))

    # ---- up and down

    def look(self) -> None:
        """Connect if nothing is in the way; break if something is."""
        machines = self.machines.values()
        both = all(machine.driver is not None for machine in machines)
        stopped = any(machine.paused for machine in machines)
        boots = [machine.boots for machine in machines]
        if self._up and (not both or self.cut or boots != self._boots):
            self.down(dead=False)
        elif not self._up and both and not (self.cut or self.hole or stopped):
            self._up = True
            self._session += 1
            self._boots = boots
            for machine in machines:
                self._tell(machine, lambda driver: driver.connected())

        for sender in list(self._held):
            if self._up and self.passes(sender):
                for action in self._held.pop(sender):
                    self._deliver(sender, action)

    def down(self, dead: bool) -> None:
        """The link is gone; ``dead``: the survivor's kernel knows why."""
        if not self._up:
            return
        self._up = False
        self._held.clear()
        self._session += 1
        asked, self._asked = self._asked, []
        for done in asked:
            done(LinkLost("the link broke"))
        for machine in self.machines.values():
            self._tell(machine, lambda driver: driver.disconnected(dead))

    def passes(self, sender: MemberId) -> bool:
        """Whether packets of ``sender`` arrive."""
        return not self.cut and not self.hole and self.one_way != sender

    def _tell(self, machine: Machine, action: Callable[[SimDriver], None]) -> None:
        def run() -> None:
            if machine.driver is not None:
                action(machine.driver)

        self._in_order(machine, self._rng.randint(50, 5_000), run)

    def _deliver(self, sender: MemberId, action: Callable[[SimDriver], None]) -> None:
        if not self._up:
            return
        if not self.passes(sender) or sender in self._held:
            self._held.setdefault(sender, []).append(action)
            return
        session, origin = self._session, self.machines[sender]
        receiver = self.machines[origin.peer_id]
        # No connection outlives one of its processes.
        boot = origin.boots
        if [machine.boots for machine in self.machines.values()] != self._boots:
            return

        def arrive() -> None:
            if (
                self._session == session
                and origin.boots == boot
                and receiver.driver is not None
            ):
                action(receiver.driver)

        self._in_order(receiver, self._rng.randint(50, self.latency_us), arrive)

    def _in_order(
        self, receiver: Machine, delay_us: int, arrive: Callable[[], None]
    ) -> None:
        """What a machine hears of the link, it hears in order."""
        now_us = self._time.now_us
        earliest_us = self._last_us.get(receiver.member_id, 0) + 1
        arrival_us = self._last_us[receiver.member_id] = max(
            now_us + delay_us, earliest_us
        )
        receiver.later(arrival_us - now_us, arrive)

    def _late(self, sender: MemberId, messages: Sequence[Message]) -> None:
        """The same messages once more, much later, whatever the link does."""
        origin = self.machines[sender]
        receiver = self.machines[origin.peer_id]
        boot = origin.boots

        def arrive() -> None:
            # Another boot of either end has another connection for sure.
            if receiver.driver is not None and origin.boots == boot:
                self._marks.duplicates += 1
                receiver.driver.receive(messages)

        receiver.later(self._rng.randint(10_000, 1_500_000), arrive)
