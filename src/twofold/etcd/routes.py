"""All services of one member, by path."""

from __future__ import annotations

from collections.abc import Callable

from twofold.etcd import (
    cluster,
    grpc_health,
    kv,
    lease,
    maintenance,
    unsupported,
    watch,
)
from twofold.etcd.cluster import ClusterService
from twofold.etcd.context import Context, WireOptions
from twofold.etcd.facts import facts_of
from twofold.etcd.front.port import Routes, UnaryHandler
from twofold.etcd.grpc_health import HealthWatch
from twofold.etcd.health import HealthPages
from twofold.etcd.kv import KvService
from twofold.etcd.leader import LeaderGuard
from twofold.etcd.lease import LeaseService
from twofold.etcd.maintenance import MaintenanceService
from twofold.etcd.timers import Later, loop_later
from twofold.etcd.watch import WatchService
from twofold.member.facade import Facade
from twofold.telemetry.exposition import Exposition
from twofold.telemetry.metrics import Facts, Meter


class Services:
    """What serves one member's clients.

    Paths that are not here, such as those of Auth, Lock or RangeStream, the front
    itself answers with Unimplemented.
    """

    def __init__(
        self,
        facade: Facade,
        options: WireOptions | None = None,
        meter: Meter | None = None,
        later: Later = loop_later,
    ) -> None:
        context = Context(facade, options or WireOptions(), meter or Meter(), later)
        guard = LeaderGuard(context)
        self.context = context
        self.watches = WatchService(context, guard)
        self.traffic: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Bytes received and sent, as the fronts count them; set by the owner."""
        leases = LeaseService(context)
        unary = {
            path: guard.unary(path, handler)
            for path, handler in _unary(context, leases).items()
        }
        unary[grpc_health.PATH + "Check"] = grpc_health.check
        unary |= unsupported.unary_handlers(context)
        pages = HealthPages(context, Exposition(context.meter, self.facts).page)
        self.monitoring = Routes(unary={}, streams={}, http=pages)
        """For a port that only probes and Prometheus use."""
        self.routes = Routes(
            unary=unary,
            streams={
                watch.PATH: self.watches.watch,
                lease.PATH + "LeaseKeepAlive": leases.keep_alive,
                grpc_health.PATH + "Watch": HealthWatch,
                **unsupported.stream_factories(),
            },
            http=pages,
        )

    def facts(self) -> Facts:
        """The member's gauges, for the metrics page."""
        context = self.context
        streams = len(self.watches.streams)
        return facts_of(context.facade, context.options, streams, self.traffic())

    def stop(self) -> None:
        """End the watches so that clients resume them elsewhere."""
        self.watches.cut_all("STOPPED")


def _unary(context: Context, leases: LeaseService) -> dict[str, UnaryHandler]:
    keys = KvService(context)
    members = ClusterService(context)
    upkeep = MaintenanceService(context)
    return {
        kv.PATH + "Range": keys.range,
        kv.PATH + "Put": keys.put,
        kv.PATH + "DeleteRange": keys.delete_range,
        kv.PATH + "Txn": keys.txn,
        kv.PATH + "Compact": keys.compact,
        lease.PATH + "LeaseGrant": leases.grant,
        lease.PATH + "LeaseRevoke": leases.revoke,
        lease.PATH + "LeaseTimeToLive": leases.time_to_live,
        lease.PATH + "LeaseLeases": leases.leases,
        cluster.PATH + "MemberList": members.member_list,
        maintenance.PATH + "Status": upkeep.status,
        maintenance.PATH + "Alarm": upkeep.alarm,
        maintenance.PATH + "Hash": upkeep.hash,
        maintenance.PATH + "HashKV": upkeep.hash_kv,
        maintenance.PATH + "Defragment": upkeep.defragment,
        maintenance.PATH + "MoveLeader": upkeep.move_leader,
    }


def build_routes(facade: Facade, options: WireOptions | None = None) -> Routes:
    """The routes of a member, for callers with nothing to stop."""
    return Services(facade, options).routes
