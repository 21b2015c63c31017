"""Decision records are numbered in order."""

from __future__ import annotations

from pathlib import Path

import new_decision
import pytest


def test_the_first_record_is_number_one(tmp_path: Path) -> None:
    path = new_decision.create(tmp_path, "Time as milliseconds, in events")
    assert path.name == "0001-time-as-milliseconds-in-events.md"
    assert path.read_text().startswith("# 0001: Time as milliseconds, in events\n")


def test_a_record_follows_the_highest(tmp_path: Path) -> None:
    (tmp_path / "0007-old.md").touch()
    assert new_decision.create(tmp_path, "Next").name == "0008-next.md"


def test_no_title_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert new_decision.main([]) == 2
    assert "usage" in capsys.readouterr().err
