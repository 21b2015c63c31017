"""The runner of the stages says truly what ran."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import run_tests


def _stage(code: str, limit_s: int = 20) -> run_tests.Stage:
    return run_tests.Stage("one", ((sys.executable, "-c", code),), limit_s)


def test_a_stage_that_ends_well_is_ok(tmp_path: Path) -> None:
    assert run_tests.run(_stage("pass"), tmp_path).outcome == "ok"


def test_a_stage_that_fails_makes_the_run_fail(tmp_path: Path) -> None:
    report = run_tests.run(_stage("raise SystemExit(3)"), tmp_path)
    assert report.outcome == "FAILED"
    assert report.bad


def test_an_empty_folder_is_named_not_passed(tmp_path: Path) -> None:
    stage = run_tests.Stage("one", (("false",),), 1, tests="tests/none")
    report = run_tests.run(stage, tmp_path)
    assert report.outcome == "skipped: no tests there yet"
    assert not report.bad


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    stage = run_tests.Stage("one", (("false",),), 1, needs="no-such-tool")
    assert "no-such-tool" in run_tests.why_skipped(stage, tmp_path)


def test_an_unknown_stage_is_refused_with_the_list() -> None:
    with pytest.raises(SystemExit, match=r"no stage is called 'unt'.*unit"):
        run_tests.chosen(["unt"])


def test_stages_keep_their_order() -> None:
    names = [stage.name for stage in run_tests.chosen(["unit", "lint"])]
    assert names == ["lint", "unit"]


def test_the_table_has_a_line_a_stage() -> None:
    text = run_tests.table([run_tests.Report("unit", "ok", 1.5)])
    assert text.splitlines()[1].split() == ["unit", "1.5", "ok"]
