"""Every script must produce exactly the trace that it contains.

TWOFOLD_REWRITE=1 writes the real traces into the scripts; review the diff.
"""

import os
from pathlib import Path

import pytest

from twofold.testing.script import run_script

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_traces_as_written(path: Path) -> None:
    text = path.read_text()
    traced = run_script(text)
    if os.environ.get("TWOFOLD_REWRITE") == "1":
        path.write_text(traced)
        return
    assert traced == text
