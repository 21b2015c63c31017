"""The demo starts its members as a user would."""

from __future__ import annotations

from pathlib import Path

from twofold.daemon.config import load_config
from twofold.daemon.demo_members import free_ports, make_members, witness_url


def test_the_members_flags_are_a_valid_pair(tmp_path: Path) -> None:
    members = make_members(tmp_path, [1001, 1002, 1003, 1004])
    configs = [load_config(member.flags, {}) for member in members]
    assert [config.name for config in configs] == ["a", "b"]
    assert configs[0].initial_cluster == configs[1].initial_cluster
    assert configs[0].peer_urls_of_peer == ("http://127.0.0.1:1004",)
    assert {config.witness_url for config in configs} == {witness_url(tmp_path)}
    assert [config.notes for config in configs] == [(), ()]


def test_a_member_that_never_started_is_not_running(tmp_path: Path) -> None:
    member = make_members(tmp_path, free_ports(4))[0]
    assert not member.running
    assert member.log_tail() == ""
    member.kill()
    member.stop()
