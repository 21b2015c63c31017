"""A member's state as the metrics page wants it."""

from __future__ import annotations

from typing import Any

from twofold.proto import rpc_pb2

Wire = Any


def test_facts_count_watches_and_traffic(wire: Wire) -> None:
    stream, handler = wire.open("/etcdserverpb.Watch/Watch")
    create = rpc_pb2.WatchCreateRequest(key=b"k")
    request = rpc_pb2.WatchRequest(create_request=create)
    handler.message(request.SerializeToString())
    wire.services.traffic = lambda: (5, 6)
    facts = wire.services.facts()
    assert (facts.watchers, facts.watch_streams) == (1, 1)
    assert (facts.client_bytes_received, facts.client_bytes_sent) == (5, 6)
    assert facts.peers == (("b1", False),)
    assert stream.alive
