"""Real processes, in network namespaces of this process's own.

A test that lacks a peer or root is skipped with the reason, or fails where
nothing may be lacking: with ``TWOFOLD_REQUIRE_PEERS=1``, and in CI unless that
is ``0``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twofold.testing.netns import Network, enter_private_network, missing_tools
from twofold.testing.processes import peer_binary

Need = Callable[..., None]


def _lack(reason: str) -> None:
    required = os.environ.get("TWOFOLD_REQUIRE_PEERS", "")
    if required == "1" or (not required and os.environ.get("CI") == "true"):
        pytest.fail(f"nothing may be skipped here, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def need() -> Need:
    """Skip or fail, saying why, unless these peers are built."""

    def check(*names: str) -> None:
        lacking = [name for name in names if peer_binary(name) is None]
        if lacking:
            words = ", ".join(lacking)
            _lack(f"not built: {words} (run: python tools/build_peers.py)")

    return check


@pytest.fixture(scope="session", autouse=True)
def private_network() -> None:
    """No packet of a system test can leave this machine."""
    lacking = missing_tools()
    if lacking:
        _lack(f"network namespaces need {', '.join(lacking)}")
    enter_private_network()


@pytest.fixture
def network(private_network: None) -> Iterator[Network]:
    """Two machines on a bridge; their names are this process's own."""
    with Network(f"{os.getpid():x}", 2) as network:
        yield network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a cluster lives; kept by pytest for the last three runs."""
    return tmp_path
