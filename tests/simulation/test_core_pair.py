"""Two cores under random faults: safety after each step, then progress.

``World`` checks one leader a term, leader completeness, one entry an index and
no stale read. A failure names its seed; ``play(seed)`` repeats it exactly.
"""

import os
from random import Random

import pytest

from twofold.base.invariant import check
from twofold.raft.types import (
    Mode,
    PeerAlive,
    Role,
    StopRequested,
    TransferRequested,
)
from twofold.testing.pair_world import Member, World

SEEDS = int(os.environ.get("TWOFOLD_SEEDS", "40"))
STEPS = 150


class Chaos:
    """One run: the seed decides everything."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.world = World(witness=seed % 10 != 9, trace=bool(os.environ.get("TRACE")))
        self.loss = self.chance.choice([0.0, 0.0, 0.02, 0.2])
        self.spread_ms = self.chance.choice([0, 0, 5, 40])
        self.twice = self.chance.choice([0.0, 0.0, 0.1])
        self.payload = 0
        self.world.copies = lambda: 2 if self.chance.random() < self.twice else 1
        self.world.net_ms = self._net_ms
        self.world.witness_ms = lambda: self.chance.choice([2, 5, 60, 450])
        for member in self.world.members.values():
            member.disk_ms = self.chance.choice([0, 1, 1, 20])
        for number in (1, 2):
            self.world.boot(number)

    def _net_ms(self) -> int | None:
        if self.loss and self.chance.random() < self.loss:
            return None
        return 1 + (self.chance.randrange(self.spread_ms) if self.spread_ms else 0)

    def _up(self) -> list[Member]:
        members = self.world.members.values()
        return [m for m in members if m.core is not None and not m.paused]

    def act(self) -> None:
        world, chance = self.world, self.chance
        for member in self._up():
            if chance.random() < 0.6:
                self.payload += 1
                world.propose(member.member_id, b"%d" % self.payload)
            if member.core is not None and chance.random() < 0.6:
                world.read(member.member_id)
        dice = chance.random()
        number = chance.choice([1, 2])
        member = world.members[number]
        if dice < 0.08:
            world.cut()
        elif dice < 0.2:
            if not world.link_up:
                world.heal()
        elif dice < 0.27:
            if member.core is not None:
                self.crash(member)
        elif dice < 0.4:
            for other in world.members.values():
                if other.core is None:
                    world.boot(other.member_id)
        elif dice < 0.46:
            member.witness_up = chance.random() < 0.6
        elif dice < 0.5:
            member.witness_late_ms = chance.choice([0, 0, 20, 400, 900, 3_000])
        elif dice < 0.51:
            member.disk_ms = chance.choice([1, 1, 40, 4_000])
        elif dice < 0.53:
            member.paused = member.core is not None
        elif dice < 0.6:
            member.paused = False
        elif member.core is not None and not member.paused:
            self._act_on(member, dice)
        world.advance(chance.choice([1, 2, 5, 20, 60, 200, 400]))

    def _act_on(self, member: Member, dice: float) -> None:
        world = self.world
        if dice < 0.68:
            world.compact(member.member_id)
        elif dice < 0.71:
            world.step(member, TransferRequested(world.now_ms))
        elif dice < 0.72:
            world.step(member, StopRequested(world.now_ms))
        elif dice < 0.8:
            world.step(member, PeerAlive(world.now_ms))

    def crash(self, member: Member) -> None:
        chance = self.chance
        self.world.crash(member.member_id, seen=chance.random() < 0.5)
        # The state machine trails the log: some of it is applied again.
        floor = member.disk.snapshot_index
        keep = chance.randint(floor, max(floor, len(member.applied)))
        del member.applied[keep:]

    def heal(self) -> None:
        world = self.world
        self.loss, self.spread_ms, self.twice = 0.0, 0, 0.0
        for member in world.members.values():
            member.paused = False
            member.witness_up, member.witness_late_ms = True, 0
            member.disk_ms = 1
            # A member that was told to stop is started anew.
            if member.core is not None:
                world.crash(member.member_id, seen=False)
            world.boot(member.member_id)
        world.heal()

    def must_serve(self, within_ms: int) -> None:
        world = self.world
        world.advance(within_ms)
        leader = world.leader()
        check(leader is not None, "somebody leads")
        if leader is not None:
            top, reads = world.top, world.reads_done
            world.propose(leader, b"last")
            world.read(leader)
            world.advance(200)
            check(world.top > top, "a write commits")
            check(world.reads_done > reads, "a read is answered")


def play(seed: int) -> Chaos:
    chaos = Chaos(seed)
    world = chaos.world
    for _ in range(STEPS):
        chaos.act()
    chaos.heal()
    chaos.must_serve(3_000)
    settle(world)
    one, two = world.members.values()
    check(one.applied == two.applied, "both hold the same in the end")

    leader = must_be_pair(world)
    if world.has_witness:
        # Solo and back: the marker must let the other one take over.
        world.crash(3 - leader, seen=seed % 4 < 2)
        chaos.must_serve(1_600)
        world.boot(3 - leader)
        settle(world)
        leader = must_be_pair(world)
        world.crash(leader, seen=seed % 2 == 0)
        chaos.must_serve(1_600)
        check(world.leader() == 3 - leader, "the other one leads")
    return chaos


def settle(world: World) -> None:
    """Wait for the pair, as long as the longest hold-down may take."""
    for _ in range(35):
        world.advance(2_000)
        leader = world.leader()
        if leader is not None:
            status = world.members[leader].running.status()
            if status.mode is Mode.PAIR and status.peer_match == status.last_index:
                break
    world.advance(200)


def must_be_pair(world: World) -> int:
    leader = world.leader()
    assert leader is not None
    status = world.members[leader].running.status()
    check(status.mode is Mode.PAIR, "both disks count again", mode=status.mode)
    check(status.peer_promotable == world.has_witness, "the peer could take over")
    return leader


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_faults_break_nothing_and_end(seed: int) -> None:
    play(seed)


def test_takeovers_did_happen() -> None:
    runs = [play(seed) for seed in range(1_000, 1_008)]
    assert sum(run.world.witness.writes for run in runs) > 8
    assert sum(run.world.reads_done for run in runs) > 100
    roles = {m.running.status().role for r in runs for m in r._up()}
    assert Role.LEADER in roles
