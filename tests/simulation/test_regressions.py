"""Seeds and scenarios that once failed, each with what was wrong.

What a seed does drifts as the code changes; a scenario does not.
"""

import pytest

from twofold.raft.types import Role
from twofold.testing.sim.model import Violation
from twofold.testing.sim.parts import Parts, SimProposals
from twofold.testing.sim.world import World

SEEDS = {
    4: "a stopping member called a write refused that was in the log already",
    5: "the same, forwarded to the leader",
    264: "a failed checkpoint ended all snapshots: the peer never caught up",
    408: "the same, after a claim by the sitting leader",
    767: "a leader that was stopped for long let leases expire after its deposal",
    973: "the same",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_once_failed(seed: int) -> None:
    World(seed).run()


class ResendsExpiries(SimProposals):
    """What a deposed leader saw expire still goes to the new one."""

    def resign(self) -> None:
        """Keep everything."""


def pause_leaders(seed: int, parts: Parts) -> None:
    """Stop each leader for so long that the other one renews its leases."""
    world = World(seed, parts=parts)
    world.start()
    world.every(20_000, world.clients.renew)
    for _ in range(6):
        for machine in world.machines.values():
            driver = machine.driver
            if driver is not None and driver.core.role is Role.LEADER:
                machine.pause()
        world.time.run_until(world.time.now_us + 2_500_000)
        for machine in world.machines.values():
            machine.resume()
        world.time.run_until(world.time.now_us + 1_500_000)
    assert world.settle().takeovers > 0


def test_a_deposed_leader_expires_no_lease() -> None:
    for seed in range(10):
        pause_leaders(seed, Parts())


def test_the_former_test_would_notice() -> None:
    def try_seeds() -> None:
        for seed in range(10):
            pause_leaders(seed, Parts(proposals=ResendsExpiries))

    with pytest.raises(Violation, match="expired before its time"):
        try_seeds()


def test_snapshots_go_on_after_a_failed_checkpoint() -> None:
    world = World(1)
    world.start()
    owner, peer = sorted(
        world.machines.values(),
        key=lambda m: m.driver is None or m.driver.core.role is not Role.LEADER,
    )

    def wait(duration_us: int) -> None:
        world.time.run_until(world.time.now_us + duration_us)

    peer.crash()
    world.network.down(dead=True)
    wait(1_500_000)
    owner.checkpoint_failures = 0.0
    owner.checkpoint()
    wait(500_000)
    owner.crash()
    owner.boot()  # Its log begins behind what the peer has now.
    wait(2_000_000)
    owner.checkpoint_failures = 1.0
    failures = world.marks.checkpoint_failures
    peer.boot()
    wait(1_500_000)
    assert world.marks.checkpoint_failures > failures
    assert world.marks.snapshots == 0
    assert world.settle().snapshots > 0
