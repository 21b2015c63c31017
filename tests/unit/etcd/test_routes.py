"""Which paths are served."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.etcd.routes import build_routes
from twofold.proto import rpc_pb2
from twofold.testing.fakes_facade import FakeFacade

Wire = Any


@pytest.mark.parametrize("service", ["KV", "Watch", "Lease", "Cluster", "Maintenance"])
def test_every_method_has_an_answer(service: str) -> None:
    routes = build_routes(FakeFacade())
    served = {*routes.unary, *routes.streams}
    methods = rpc_pb2.DESCRIPTOR.services_by_name[service].methods_by_name
    missing = {
        name for name in methods if f"/etcdserverpb.{service}/{name}" not in served
    }
    assert missing <= {"RangeStream"}


def test_auth_is_not_served() -> None:
    assert not [path for path in build_routes(FakeFacade()).unary if "Auth" in path]


def test_the_monitoring_port_serves_no_keys(wire: Wire) -> None:
    monitoring = wire.services.monitoring
    assert not monitoring.unary
    assert not monitoring.streams
    assert monitoring.http is wire.services.routes.http
