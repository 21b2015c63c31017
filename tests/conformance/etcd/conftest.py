"""twofold beside etcd. Without the peers: skipped, and said so.

``TWOFOLD_REQUIRE_PEERS=1`` turns that into a failure, as in CI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.testing.differential import Pair
from twofold.testing.differential import pair as start_pair
from twofold.testing.processes import peer_binary


@pytest.fixture(scope="session", autouse=True)
def peers() -> None:
    """Skip or fail, saying why, unless etcd is built."""
    lacking = [name for name in ("etcd", "etcdctl") if peer_binary(name) is None]
    if not lacking:
        return
    reason = f"not built: {', '.join(lacking)} (python tools/build_peers.py etcd)"
    if os.environ.get("TWOFOLD_REQUIRE_PEERS") == "1":
        pytest.fail(f"TWOFOLD_REQUIRE_PEERS=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture
def fresh(peers: None, tmp_path: Path) -> Iterator[Pair]:
    """Both servers, empty."""
    with start_pair(tmp_path) as both:
        yield both


@pytest.fixture(scope="session")
def both(peers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both servers, shared by all named cases, which keep them in lock step."""
    # Only watches that ask for it notice the interval.
    flags = ["--watch-progress-notify-interval=200ms"]
    with start_pair(tmp_path_factory.mktemp("pair"), flags) as both:
        yield both
