"""Programs are measured and signalled as a group."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from twofold.testing.processes import (
    Member,
    ProcessFailed,
    Program,
    Usage,
    clear_folder,
    free_ports,
    required_binary,
)


def test_a_killed_program_is_gone(tmp_path: Path) -> None:
    code = "import signal; signal.pause()"
    program = Program([sys.executable, "-c", code], tmp_path / "log")
    assert program.usage() == Usage()
    program.start()
    program.pause()
    assert program.running
    program.kill()
    assert not program.running
    program.kill()
    assert program.usage() == Usage()


def test_usage_adds_up() -> None:
    assert Usage(1.0, 2, 3, 4) + Usage(1.0, 2, 3, 4) == Usage(2.0, 4, 6, 8)


def test_free_ports_differ() -> None:
    assert len(set(free_ports(8))) == 8


def test_a_member_names_its_urls(tmp_path: Path) -> None:
    member = Member("a", "127.0.0.1", 1, 2, tmp_path)
    assert member.client_url == "http://127.0.0.1:1"
    assert member.peer_url == "http://127.0.0.1:2"
    with pytest.raises(ProcessFailed):
        member.kill()


def test_a_peer_that_is_not_built_is_named() -> None:
    with pytest.raises(ProcessFailed, match="no-such-peer is not built"):
        required_binary("no-such-peer")


def test_clear_folder_empties(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    assert list(clear_folder(tmp_path / "x").iterdir()) == []
