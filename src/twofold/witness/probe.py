"""Is a medium fit to be a witness? Tried out, and said in plain words."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from twofold.base.errors import Failure
from twofold.witness.backends.directory import Mount, mount_of, open_directory
from twofold.witness.backends.exclusive import CreateBackend, RenameBackend
from twofold.witness.backends.files import Files
from twofold.witness.backends.numbered import NumberedFiles
from twofold.witness.backends.share import ShareBackend
from twofold.witness.errors import (
    PublishUnknown,
    RecordIncomplete,
    WitnessUnreachable,
)
from twofold.witness.record import RECORD_BYTES

BACKENDS: dict[str, type[NumberedFiles]] = {
    "link": ShareBackend,
    "rename": RenameBackend,
    "create": CreateBackend,
}
_WORDS = {
    "link": "hard links (safe on shares and disks)",
    "rename": "rename without replacing (safe while one machine has the disk)",
    "create": "exclusive creation (a crash in mid-write needs an operator)",
}
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_SLOW_MS = 500.0
_CLAIM_TIMEOUT_MS = 2_000.0


@dataclass(slots=True)
class RaceOutcome:
    """What one racer saw; versions it was told it had won."""

    won: list[int] = field(default_factory=list)
    placed: list[int] = field(default_factory=list)
    """Versions that held its bytes right after its publish."""
    unknown_count: int = 0
    lost_count: int = 0


@dataclass(slots=True)
class ProbeReport:
    """Findings in plain words; ``problems`` make the medium unfit."""

    method: str = ""
    mount: Mount | None = None
    publish_p50_ms: float = 0.0
    publish_p99_ms: float = 0.0
    read_p50_ms: float = 0.0
    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def fit(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems


def race(directory: Path, method: str, swaps: int) -> RaceOutcome:
    """Try to publish the next version ``swaps`` times, against whoever else does.

    A module's function with plain arguments, so that processes can run it.
    """
    backend = BACKENDS[method](Files(directory))
    outcome = RaceOutcome()
    for _ in range(swaps):
        data = os.urandom(RECORD_BYTES)
        try:
            stored = backend.load()
        except RecordIncomplete:
            outcome.lost_count += 1
            continue
        version = 1 if stored is None else stored.version + 1
        try:
            won = backend.publish(data, version)
        except PublishUnknown:
            outcome.unknown_count += 1
            continue
        if won:
            outcome.won.append(version)
        else:
            outcome.lost_count += 1
        if won or backend.holds(data, version):
            outcome.placed.append(version)
    return outcome


def probe_directory(
    directory: Path, *, processes: int = 4, swaps: int = 40
) -> ProbeReport:
    """Try atomicity with several processes and measure, in a scratch directory.

    Cost: some seconds; leaves nothing behind and never touches the record.
    """
    report = ProbeReport()
    scratch = directory / f"probe-{os.urandom(6).hex()}"
    try:
        backend = open_directory(directory)
        scratch.mkdir()
    except (WitnessUnreachable, OSError) as error:
        report.problems.append(f"It cannot be used at all: {error}.")
        return report
    try:
        report.method = next(
            name for name, kind in BACKENDS.items() if type(backend) is kind
        )
        _describe(directory, report)
        _measure(BACKENDS[report.method](Files(scratch)), report)
        _try_race(scratch, report, processes, swaps)
    except (Failure, OSError) as error:
        report.problems.append(f"It failed during the test: {error}.")
    finally:
        with suppress(OSError):
            shutil.rmtree(scratch)
    return report


def _describe(directory: Path, report: ProbeReport) -> None:
    mount = report.mount = mount_of(directory)
    report.facts.append(
        f"File system: {mount.kind} from {mount.source}, mounted at {mount.point}."
    )
    report.facts.append(f"Method: {_WORDS[report.method]}.")
    if mount.kind in _IN_MEMORY:
        report.problems.append(
            "It is in memory: a restart loses the record, and then nobody may"
            " serve alone."
        )
    if mount.point == "/":
        report.warnings.append(
            "It is this machine's own system disk: if the machine is lost, so is"
            " the witness. Is the share mounted?"
        )
    if report.method == "create":
        report.warnings.append(
            "It has neither hard links nor a safe rename: a machine that dies in"
            " mid-write blocks takeovers until the file is removed by hand."
        )


def _measure(backend: NumberedFiles, report: ProbeReport, rounds: int = 50) -> None:
    publishes_ms: list[float] = []
    reads_ms: list[float] = []
    for version in range(1, rounds + 1):
        data = os.urandom(RECORD_BYTES)
        started_s = time.perf_counter()
        won = backend.publish(data, version)
        published_s = time.perf_counter()
        stored = backend.load()
        read_s = time.perf_counter()
        publishes_ms.append((published_s - started_s) * 1000)
        reads_ms.append((read_s - published_s) * 1000)
        if not won or stored is None or stored != (data, version):
            report.problems.append(
                f"Version {version} was written and something else was read."
            )
            return
    publishes_ms.sort()
    report.publish_p50_ms = publishes_ms[rounds // 2]
    report.publish_p99_ms = publishes_ms[-1 - rounds // 100]
    report.read_p50_ms = sorted(reads_ms)[rounds // 2]
    report.facts.append(
        f"A claim takes {report.publish_p50_ms:.1f} ms as a rule and"
        f" {report.publish_p99_ms:.1f} ms at worst; a read takes"
        f" {report.read_p50_ms:.1f} ms."
    )
    if report.publish_p99_ms > _CLAIM_TIMEOUT_MS:
        report.problems.append("It is slower than the 2 s a claim may take.")
    elif report.publish_p99_ms > _SLOW_MS:
        report.warnings.append("It is slow: every takeover waits for it.")


def _try_race(scratch: Path, report: ProbeReport, processes: int, swaps: int) -> None:
    outcomes = run_race(scratch, report.method, processes, swaps)
    wins = Counter(version for outcome in outcomes for version in outcome.won)
    doubles = [version for version, count in wins.items() if count > 1]
    unknown = sum(outcome.unknown_count for outcome in outcomes)
    report.facts.append(
        f"{processes} processes wrote against each other {processes * swaps} times:"
        f" {len(wins)} versions won, {sum(o.lost_count for o in outcomes)} tries"
        " refused."
    )
    if doubles:
        report.problems.append(
            f"{len(doubles)} versions had more than one winner: two members could"
            " both serve alone. Do not use it."
        )
    if unknown:
        report.warnings.append(f"{unknown} writes ended without a clear answer.")
    if not wins:
        report.problems.append("Not one write was accepted.")


def run_race(
    directory: Path, method: str, processes: int, swaps: int
) -> list[RaceOutcome]:
    """Run `race` in several fresh processes at once."""
    # Spawned, not forked: a fork may share what makes creations exclusive.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        racers = [pool.submit(race, directory, method, swaps) for _ in range(processes)]
        return [racer.result() for racer in racers]
