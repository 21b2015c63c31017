"""What a network is called; making one needs root and is a system test."""

from __future__ import annotations

from twofold.testing.netns import Namespace, Network


def test_names_carry_the_tag() -> None:
    network = Network("x", 2)
    assert network.bridge == "tfx"
    assert network.gateway == "10.254.77.1"


def test_a_command_runs_inside() -> None:
    machine = Namespace("tfx0", "10.254.77.11")
    assert machine.command(["true"]) == ["ip", "netns", "exec", "tfx0", "true"]
