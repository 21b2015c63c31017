"""Seeds that once failed, each with what was wrong."""

import pytest

from twofold.testing.sim.world import World

SEEDS = {
    4: "a stopping member called a write refused that was in the log already",
    5: "the same, forwarded to the leader",
    264: "a failed checkpoint ended all snapshots: the peer never caught up",
    408: "the same, after a claim by the sitting leader",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_once_failed(seed: int) -> None:
    World(seed).run()
