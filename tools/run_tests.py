"""Runs the test stages one after the other and ends with a table of them.

Usage: ``./run-tests [STAGE ...]``. Without a name all stages run. A stage whose
folder holds no test yet is named as such and does not count as passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"


@dataclass(frozen=True)
class Stage:
    """One line of the final table; the commands stop at the first failure."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    limit_s: int
    tests: str = ""
    needs: str = ""


def pytest(path: str, *extra: str) -> tuple[str, ...]:
    """The call of pytest for one folder of tests; its last line is the summary."""
    return (str(BIN / "pytest"), "-q", "--no-header", path, *extra)


STAGES = (
    Stage("format", ((str(BIN / "ruff"), "format", "--check", "."),), 60),
    Stage("lint", ((str(BIN / "ruff"), "check", "."),), 60),
    Stage("types", ((str(BIN / "mypy"),),), 300),
    Stage("contracts", ((str(BIN / "lint-imports"), "--no-cache"),), 60),
    Stage("unit", (pytest("tests/unit", "-n", "2"),), 300, "tests/unit"),
    Stage(
        "interaction",
        (pytest("tests/interaction"),),
        300,
        "tests/interaction",
    ),
    Stage(
        "simulation",
        (pytest("tests/simulation", "-n", "2", "--timeout", "900"),),
        900,
        "tests/simulation",
    ),
    Stage(
        "peers",
        ((str(BIN / "python"), "tools/build_peers.py"),),
        1200,
        "",
        "go",
    ),
    Stage(
        "conformance",
        (pytest("tests/conformance", "--timeout", "600"),),
        900,
        "tests/conformance",
    ),
    Stage(
        "system",
        (pytest("tests/system", "--timeout", "600"),),
        1200,
        "tests/system",
    ),
)


@dataclass(frozen=True)
class Report:
    """How a stage ended: ``ok``, ``FAILED``, ``TIMEOUT`` or ``skipped: why``."""

    name: str
    outcome: str
    seconds: float

    @property
    def bad(self) -> bool:
        """Whether the whole run must fail because of this stage."""
        return self.outcome in {"FAILED", "TIMEOUT"}


def why_skipped(stage: Stage, root: Path) -> str:
    """Why the stage cannot run here, or an empty text."""
    if stage.needs and shutil.which(stage.needs) is None:
        return f"skipped: {stage.needs} is not installed"
    if stage.tests and not list((root / stage.tests).rglob("test_*.py")):
        return "skipped: no tests there yet"
    for command in stage.commands:
        if command[1:] and command[1].endswith(".py"):
            script = root / command[1]
            if not script.exists():
                return f"skipped: no {command[1]} yet"
    return ""


def run(stage: Stage, root: Path) -> Report:
    """Run one stage with its output passed through."""
    reason = why_skipped(stage, root)
    if reason:
        return Report(stage.name, reason, 0.0)
    print(f"\n=== {stage.name}", flush=True)
    started = time.monotonic()
    outcome = "ok"
    for command in stage.commands:
        left_s = stage.limit_s - (time.monotonic() - started)
        try:
            code = subprocess.run(
                command,
                cwd=root,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                timeout=max(1.0, left_s),
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            outcome = "TIMEOUT"
            break
        if code != 0:
            outcome = "FAILED"
            break
    seconds = time.monotonic() - started
    print(f"=== {stage.name}: {outcome} in {seconds:.1f} s", flush=True)
    return Report(stage.name, outcome, seconds)


def chosen(names: list[str]) -> list[Stage]:
    """The stages named, in their own order; all of them for no name."""
    known = {stage.name for stage in STAGES}
    for name in names:
        if name not in known:
            listed = ", ".join(stage.name for stage in STAGES)
            raise SystemExit(f"no stage is called {name!r}; there are: {listed}")
    return [stage for stage in STAGES if not names or stage.name in names]


def table(reports: list[Report]) -> str:
    """The summary, one line a stage."""
    lines = [f"{'stage':<14}{'seconds':>9}  outcome"]
    lines += [f"{r.name:<14}{r.seconds:>9.1f}  {r.outcome}" for r in reports]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the stages; 1 if any of them failed."""
    if arguments == ["--list"]:
        print("\n".join(stage.name for stage in STAGES))
        return 0
    reports = [run(stage, ROOT) for stage in chosen(arguments)]
    print("\n" + table(reports))
    failed = [report.name for report in reports if report.bad]
    print("failed: " + ", ".join(failed) if failed else "all stages that ran passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
