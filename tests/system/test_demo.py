"""The main job, as README tells a newcomer to run it.

Needs nothing but this package: two member processes on loopback.
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest


@pytest.mark.timeout(120)
def test_the_demo_loses_a_leader_and_no_write_within_a_minute() -> None:
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "twofold.cli.main", "demo", "--plain"],
        capture_output=True,
        text=True,
        check=False,
    )
    took_s = time.monotonic() - started_s
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was lost" in done.stdout
    assert "both members hold the same data" in done.stdout
    assert "1 witness writes" in done.stdout
    assert took_s < 60, done.stdout
