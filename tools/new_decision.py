"""Starts a decision record: ``python tools/new_decision.py Title of it``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "decisions"

TEMPLATE = """# {number:04}: {title}

## Context

What forces the choice, with figures.

## Options

- One.
- Two.

## Choice

Which, and the reason that decided.

## Consequences

What is now easy, and what is now hard.

## How we would notice that it was wrong

A test, a figure or a complaint.
"""


def next_number(folder: Path) -> int:
    """One more than the highest number in use."""
    taken = [int(path.name[:4]) for path in folder.glob("[0-9][0-9][0-9][0-9]-*.md")]
    return max(taken, default=0) + 1


def slug(title: str) -> str:
    """The title as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def create(folder: Path, title: str) -> Path:
    """Write an empty record and give its path; never overwrites one."""
    number = next_number(folder)
    path = folder / f"{number:04}-{slug(title)}.md"
    with path.open("x") as file:
        file.write(TEMPLATE.format(number=number, title=title))
    return path


def main(words: list[str]) -> int:
    """Create the record named by the command line."""
    if not words:
        print("usage: new_decision.py Title of the decision", file=sys.stderr)
        return 2
    print(create(FOLDER, " ".join(words)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
