"""The repository keeps its own style, and the checker sees what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tidy

ROOT = Path(__file__).resolve().parents[3]


def test_the_repository_is_tidy() -> None:
    found = tidy.check_all(ROOT)
    assert not found, "\n" + "\n".join(map(str, found))


GOOD = '"""Says what it is."""\n'


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("src/a.py", GOOD + "x = 1\n" * 600, "file-size"),
        ("src/a.py", GOOD + "x = '" + "y" * 90 + "'\n", "line-length"),
        (
            "src/a.py",
            GOOD + "def f():\n" + "    x = 1\n" * 70,
            "function-size",
        ),
        (
            "src/a.py",
            GOOD + "class A:\n" + "".join(f"    def m{n}(s): ...\n" for n in range(21)),
            "class-size",
        ),
        ("src/a.py", GOOD + "assert True\n", "no-assert"),
        ("src/a.py", "x = 1\n", "docstring"),
        ("src/a.py", "", "docstring"),
        ("src/a/__init__.py", '"""' + "a\n" * 16 + '"""\n', "docstring"),
        ("src/a.py", GOOD + "class E(ValueError): ...\n", "error-root"),
        (
            "src/a.py",
            GOOD + "try:\n    f()\nexcept Exception:\n    pass\n",
            "no-broad-except",
        ),
        (
            "src/a.py",
            GOOD + "try:\n    f()\nexcept:\n    pass\n",
            "no-broad-except",
        ),
        ("tests/unit/a.py", GOOD + "import unittest.mock\n", "no-mock"),
        ("tests/unit/a.py", GOOD + "monkeypatch.setattr(a, 'b', 1)\n", "no-patch"),
        ("tests/unit/a.py", GOOD + "time.sleep(1)\n", "no-sleep"),
        ("src/a.py", GOOD + "random.random()\n", "no-global-random"),
    ],
)
def test_a_broken_rule_is_found(path: str, text: str, rule: str) -> None:
    assert rule in {finding.rule for finding in tidy.check_text(path, text)}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/a.py", GOOD + "def f():\n" + "    x = 1\n" * 69),
        ("tests/unit/a.py", GOOD + "assert True\n"),
        ("tests/system/a.py", GOOD + "time.sleep(1)\n"),
        ("src/a.py", GOOD + "# except Exception: says the comment\n"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, text: str) -> None:
    assert tidy.check_text(path, text) == []


def test_tests_are_no_packages() -> None:
    found = list(tidy.check_names(["tests/unit/__init__.py", "src/a/__init__.py"]))
    assert [finding.rule for finding in found] == ["test-layout"]


def test_the_lock_names_versions_and_no_host() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        requirement = line.split(" ;")[0]
        assert requirement.count("==") == 1, line
        assert "/" not in requirement, line
        assert not requirement.startswith("-"), line
