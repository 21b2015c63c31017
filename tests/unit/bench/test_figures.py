"""Medians, percentiles, bounds and the table that shows them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """bench/figures.py as a module."""
    path = ROOT / "bench" / "figures.py"
    spec = importlib.util.spec_from_file_location("bench_figures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_figures"] = module
    spec.loader.exec_module(module)
    return module


def test_a_percentile_is_a_sample(figures: ModuleType) -> None:
    samples = [float(number) for number in range(1, 101)]
    assert figures.percentile(samples, 99.0) == 99.0
    assert figures.percentile(samples, 100.0) == 100.0
    assert figures.percentile([7.0], 50.0) == 7.0


def test_a_ratio_bound_compares_medians(figures: ModuleType) -> None:
    figure = figures.Figure("x", "put/s", ratio_min=1.3)
    assert figure.reached is None
    for sample in (100.0, 1.0, 120.0):
        figure.add("etcd", sample)
    figure.add("twofold", 130.0)
    assert figure.ratio == pytest.approx(1.3)
    assert figure.reached
    assert figure.target == "≥ 1.3×"


def test_a_missed_value_bound_is_marked(figures: ModuleType) -> None:
    figure = figures.Figure("gap", "s", percent=99.0, value_max=0.3)
    figure.add("twofold", 0.1)
    figure.add("twofold", 0.4)
    assert figure.reached is False
    table = figures.markdown("t", [figure], "A note.")
    assert "| gap | s | – | 0.4 [0.1–0.4] | – | ≤ 0.3 s | **no** |" in table
    assert "A note." in table


def test_the_samples_are_kept(figures: ModuleType) -> None:
    figure = figures.Figure("x", "ms", ratio_max=1.0)
    figure.add("etcd", 2.0)
    figure.add("twofold", 1.0)
    (row,) = json.loads(figures.as_json("t", [figure]))["figures"]
    assert row["samples"] == {"etcd": [2.0], "twofold": [1.0]}
    assert row["ratio"] == 0.5
    assert row["reached"] is True
