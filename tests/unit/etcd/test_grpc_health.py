"""The standard gRPC health service."""

from __future__ import annotations

from typing import Any

HEALTH = "/grpc.health.v1.Health/"
Wire = Any


def test_the_whole_server_is_serving(wire: Wire) -> None:
    assert wire.call(HEALTH + "Check", b"").answer == b"\x08\x01"


def test_other_services_are_unknown(wire: Wire) -> None:
    assert wire.error(HEALTH + "Check", b"\x0a\x01x")[0] == 5


def test_watching_tells_the_state_and_stays_open(wire: Wire) -> None:
    stream, handler = wire.open(HEALTH + "Watch")
    handler.message(b"")
    handler.half_closed()
    assert stream.take() == [b"\x08\x01"]
    assert stream.alive
