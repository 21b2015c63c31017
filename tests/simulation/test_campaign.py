"""Many seeds of the simulator: no promise broken, and every fault met.

``TWOFOLD_SIM_SEEDS`` says how many seeds (2 000 if unset). A failing seed is
replayed by the line that its failure prints.
"""

import os
import subprocess
import sys

import pytest

from twofold.base.errors import TwofoldError
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.world import World

SEEDS = int(os.environ.get("TWOFOLD_SIM_SEEDS", "2000"))
CHUNK = 25
MARKED_SEEDS = 100

pytestmark = pytest.mark.timeout(600)


def run_seed(seed: int) -> Marks:
    try:
        return World(seed).run()
    except TwofoldError as error:
        pytest.fail(
            f"{type(error).__name__}: {error}\nreplay: python -m twofold.testing {seed}"
        )


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    for seed in range(first, min(first + CHUNK, SEEDS)):
        run_seed(seed)


def test_every_kind_of_fault_and_answer_to_it_happens() -> None:
    total = Marks()
    for seed in range(min(SEEDS, MARKED_SEEDS)):
        total.add(run_seed(seed))
    text = "\n".join(total.lines())
    for name in Marks.__slots__:
        assert getattr(total, name) > 0, f"never happened: {name}\n{text}"
    assert total.takeovers >= 20, text
    assert total.pairs_again >= 10, text
    assert total.answered > 10 * total.unknown, text


def test_a_run_replays_bit_by_bit_here_and_in_another_process() -> None:
    first, second = World(3), World(3)
    first.run()
    second.run()
    assert first.digest == second.digest
    other = World(4)
    other.run()
    assert other.digest != first.digest
    for hash_seed in ("1", "2"):
        text = subprocess.run(
            [sys.executable, "-m", "twofold.testing", "3", "--quiet"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert f"digest {first.digest:08x}" in text
