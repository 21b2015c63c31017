"""The documentation's links lead somewhere and its lengths are kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("changes/*.md"),
    ]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
CODE_PATH = re.compile(
    r"`((?:src|tests|tools|docs|bench|raft|etcd|member|peer|store|witness|daemon|cli"
    r"|client|base)/[A-Za-z0-9_./-]+\.(?:py|md|txt|sh))`"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in CODE_PATH.findall(page.read_text()):
        found = (ROOT / name, ROOT / "src" / "twofold" / name, ROOT / "docs" / name)
        assert any(path.exists() for path in found), f"{page.name}: {name}"


@pytest.mark.parametrize(
    ("name", "lines_max"), [("docs/architecture.md", 300), ("CONTRIBUTING.md", 120)]
)
def test_long_pages_stay_short(name: str, lines_max: int) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= lines_max


def test_decisions_are_numbered_without_gaps_and_say_how_to_doubt_them() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    for number, path in enumerate(records, 1):
        text = path.read_text()
        assert path.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number:04}: ")
        for heading in ("Context", "Options", "Choice", "Consequences", "How we would"):
            assert f"\n## {heading}" in text, f"{path.name}: {heading}"


def test_the_layers_in_the_docs_are_those_that_are_checked() -> None:
    contract = (ROOT / ".importlinter").read_text()
    block = contract.split("layers =\n")[1].split("exhaustive")[0]
    checked = [
        [name for name in re.findall(r"[a-z]+", line) if f"({name})" not in line]
        for line in block.strip().splitlines()
    ]
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| \d+ \| (.*) \|$", page, flags=re.MULTILINE)
    shown = [re.findall(r"`([a-z]+)`", row) for row in rows]
    assert [sorted(row) for row in shown] == [sorted(row) for row in checked]


def test_pages_that_the_code_names_exist() -> None:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name in re.findall(r"docs/[A-Za-z0-9_./-]+\.md", path.read_text()):
            assert (ROOT / name).exists(), f"{path.name}: {name}"
        for number in re.findall(r"docs/decisions/(\d{4})\b(?!-)", path.read_text()):
            found = list((ROOT / "docs" / "decisions").glob(f"{number}-*.md"))
            assert found, f"{path.name}: decision {number}"
