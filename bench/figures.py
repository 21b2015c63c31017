"""Samples, their medians, and the table that compares systems."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

BASE = "etcd"
OURS = "twofold"


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that ``percent`` of all do not exceed."""
    ordered = sorted(samples)
    rank = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[int(rank)]


@dataclass
class Figure:
    """One measured quantity: its samples of each system, and what it must reach.

    Shape: ``ratio_max`` and ``ratio_min`` bound twofold's value over etcd's,
    ``value_max`` twofold's value itself; ``percent`` is the percentile that
    stands for the samples.
    """

    what: str
    unit: str
    percent: float = 50.0
    ratio_max: float | None = None
    ratio_min: float | None = None
    value_max: float | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, system: str, sample: float) -> None:
        """Note one sample."""
        self.samples.setdefault(system, []).append(sample)

    def value(self, system: str) -> float | None:
        """What stands for the samples; None if there are none."""
        samples = self.samples.get(system)
        if not samples:
            return None
        if self.percent == 50.0:
            return statistics.median(samples)
        return percentile(samples, self.percent)

    @property
    def ratio(self) -> float | None:
        """Twofold's value over etcd's."""
        base, ours = self.value(BASE), self.value(OURS)
        return ours / base if base and ours is not None else None

    @property
    def target(self) -> str:
        """The bounds in words."""
        words = []
        if self.ratio_max is not None:
            words.append(f"≤ {self.ratio_max:g}×")
        if self.ratio_min is not None:
            words.append(f"≥ {self.ratio_min:g}×")
        if self.value_max is not None:
            words.append(f"≤ {self.value_max:g} {self.unit}")
        return ", ".join(words)

    @property
    def reached(self) -> bool | None:
        """If every bound is kept; None if it cannot be told."""
        ratio, ours = self.ratio, self.value(OURS)
        verdicts: list[bool] = []
        for bound, value, sign in (
            (self.ratio_max, ratio, 1),
            (self.ratio_min, ratio, -1),
            (self.value_max, ours, 1),
        ):
            if bound is not None:
                if value is None:
                    return None
                verdicts.append(sign * value <= sign * bound)
        return all(verdicts) if verdicts else None

    def cell(self, system: str) -> str:
        """Value and range, as the table shows them."""
        value = self.value(system)
        if value is None:
            return "–"
        samples = self.samples[system]
        if len(samples) == 1:
            return _short(value)
        return f"{_short(value)} [{_short(min(samples))}–{_short(max(samples))}]"


def _short(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def machine() -> str:
    """Where this ran, in one line."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def markdown(title: str, figures: Sequence[Figure], note: str = "") -> str:
    """A table: medians (or the named percentile) with [min–max]."""
    lines = [f"### {title}", "", f"{machine()}. {note}".strip(), ""]
    lines.append("| what | unit | etcd | twofold | ratio | must reach | |")
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for figure in figures:
        ratio = f"{figure.ratio:.2f}×" if figure.ratio is not None else "–"
        mark = {True: "yes", False: "**no**", None: ""}[figure.reached]
        cells = (
            figure.what,
            figure.unit,
            figure.cell(BASE),
            figure.cell(OURS),
            ratio,
            figure.target,
            mark,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(title: str, figures: Sequence[Figure]) -> str:
    """All samples, for later comparison."""
    rows = [
        {
            "what": figure.what,
            "unit": figure.unit,
            "etcd": figure.value(BASE),
            "twofold": figure.value(OURS),
            "ratio": figure.ratio,
            "target": figure.target,
            "reached": figure.reached,
            "samples": figure.samples,
        }
        for figure in figures
    ]
    table = {"title": title, "machine": machine(), "figures": rows}
    return json.dumps(table, indent=1, ensure_ascii=False)
