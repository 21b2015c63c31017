"""Run the simulator: ``python -m twofold.testing SEED`` or ``--range A B``."""

from __future__ import annotations

import argparse
import sys
import time

from twofold.base.errors import TwofoldError
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.world import World


def main(arguments: list[str] | None = None) -> int:
    """Run one seed with its trace, or a range of them; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m twofold.testing")
    parser.add_argument("seed", type=int, nargs="?", help="run it and tell all")
    parser.add_argument(
        "--range", type=int, nargs=2, metavar=("A", "B"), help="run A to B - 1"
    )
    parser.add_argument("--quiet", action="store_true", help="no trace lines")
    options = parser.parse_args(arguments)
    if options.range is not None:
        return _campaign(range(*options.range))
    if options.seed is None:
        parser.error("name a seed, or a range")
    return _one(options.seed, not options.quiet)


def _one(seed: int, trace: bool) -> int:
    world = World(seed, trace=trace)
    try:
        marks = world.run()
    except TwofoldError as error:
        at_s = world.time.now_us / 1e6
        _say(f"seed {seed} at {at_s:.6f} s: {type(error).__name__}: {error}")
        return 1
    _say("\n".join(marks.lines()))
    _say(f"digest {world.digest:08x}")
    return 0


def _campaign(seeds: range) -> int:
    total, failed = Marks(), 0
    started_s = time.monotonic()
    for seed in seeds:
        try:
            total.add(World(seed).run())
        except TwofoldError as error:
            failed += 1
            _say(f"{type(error).__name__}: {error}\n  python -m twofold.testing {seed}")
    _say("\n".join(total.lines()))
    _say(f"{len(seeds)} seeds, {failed} failed, {time.monotonic() - started_s:.1f} s")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
