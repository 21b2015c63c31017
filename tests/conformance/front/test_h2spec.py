"""RFC 9113 and RFC 7541 by h2spec, strict cases included."""

import json
import os
import re
import subprocess

import pytest

from twofold.testing.front_server import running_front
from twofold.testing.processes import peer_binary

# Case -> why the front does otherwise. Empty: everything must pass.
DEVIATIONS: dict[str, str] = {}
_SUMMARY = re.compile(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed")


@pytest.mark.parametrize("path", ["/health", "/test.Test/Echo"])
def test_h2spec_passes(path: str) -> None:
    h2spec = peer_binary("h2spec")
    if h2spec is None:
        reason = "h2spec is not built: python tools/build_peers.py h2spec"
        if os.environ.get("TWOFOLD_REQUIRE_PEERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with running_front() as front:
        command = [str(h2spec), "--strict", "--host", "127.0.0.1", "--path", path]
        command += ["--port", str(front.port), "--timeout", "3"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    summary = _SUMMARY.search(run.stdout)
    assert summary is not None, run.stdout + run.stderr
    total, passed, _, failed = (int(count) for count in summary.groups())
    report = json.dumps({"total": total, "passed": passed, "failed": failed})
    failures = run.stdout.partition("Failures:")[2]
    assert failed == len(DEVIATIONS), report + failures
    assert total > 100, report
