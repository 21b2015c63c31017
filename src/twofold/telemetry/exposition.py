"""The numbers of ``metrics`` under the names that etcd's dashboards use.

Source: etcd ``server/etcdserver/metrics.go``, ``server/storage/mvcc/metrics.go``;
alerts and panels in ``contrib/mixin``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Metric,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from twofold.telemetry.metrics import Facts, Histogram, Meter

CODE_NAMES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Writes the metrics page; ``facts`` is asked once a scrape."""

    def __init__(self, meter: Meter, facts: Callable[[], Facts]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_EtcdCollector(meter, facts))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def page(self) -> bytes:
        """The page in Prometheus' text format."""
        return generate_latest(self._registry)


class _EtcdCollector(Collector):
    def __init__(self, meter: Meter, facts: Callable[[], Facts]) -> None:
        self._meter = meter
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts()
        yield from _server(self._meter, facts)
        yield from _labelled(facts)
        yield from _store(self._meter, facts)
        yield from _disk(self._meter)
        yield from _network(self._meter, facts)
        yield from _grpc(self._meter)
        yield from _witness(facts)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=float(value))


def _histogram(name: str, text: str, value: Histogram) -> HistogramMetricFamily:
    buckets = value.cumulative()
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=value.sum)


def _server(meter: Meter, facts: Facts) -> Iterator[Metric]:
    name = "etcd_server_"
    yield _gauge(name + "has_leader", "A leader is known.", facts.has_leader)
    yield _gauge(name + "is_leader", "This member leads.", facts.is_leader)
    yield _gauge(name + "is_learner", "This member is a learner.", facts.is_learner)
    yield _counter(
        name + "leader_changes_seen", "Changes of leader seen.", facts.leader_changes
    )
    # etcd has these two as gauges, under names that end like a counter's.
    yield _gauge(
        name + "proposals_committed_total",
        "Highest committed log index.",
        facts.proposals_committed,
    )
    yield _gauge(
        name + "proposals_applied_total",
        "Highest applied log index.",
        facts.proposals_applied,
    )
    yield _gauge(
        name + "proposals_pending", "Writes not yet answered.", facts.proposals_pending
    )
    yield _counter(
        name + "proposals_failed", "Writes that failed.", meter.proposals_failed
    )
    yield _gauge(
        name + "quota_backend_bytes", "Quota of the store in bytes.", facts.quota
    )
    yield _counter(
        name + "heartbeat_send_failures",
        "Heartbeats that could not be sent.",
        meter.heartbeat_send_failures,
    )
    yield _counter(name + "slow_apply", "Slow applies.", meter.slow_applies)
    yield _counter(
        name + "slow_read_indexes", "Slow read confirmations.", meter.slow_reads
    )
    yield _counter(
        name + "read_indexes_failed", "Failed read confirmations.", meter.reads_failed
    )
    yield _counter(
        name + "health_success", "Health checks passed.", meter.health_successes
    )
    yield _counter(
        name + "health_failures", "Health checks failed.", meter.health_failures
    )
    yield _histogram(
        name + "apply_duration_seconds", "Duration of an apply.", meter.apply
    )
    yield _counter(
        "etcd_debugging_server_lease_expired",
        "Leases that ran out.",
        meter.leases_expired,
    )


def _labelled(facts: Facts) -> Iterator[Metric]:
    member = GaugeMetricFamily(
        "etcd_server_id", "This member's id.", labels=["server_id"]
    )
    member.add_metric([facts.member_id], 1)
    yield member
    version = GaugeMetricFamily(
        "etcd_server_version", "Version announced.", labels=["server_version"]
    )
    version.add_metric([facts.version], 1)
    yield version
    cluster = GaugeMetricFamily(
        "etcd_cluster_version", "Cluster's version.", labels=["cluster_version"]
    )
    cluster.add_metric([facts.cluster_version], 1)
    yield cluster
    alarms = GaugeMetricFamily(
        "etcd_debugging_server_alarms",
        "Active alarms.",
        labels=["server_id", "alarm_type"],
    )
    for member_id, alarm in facts.alarms:
        alarms.add_metric([member_id, alarm], 1)
    yield alarms


def _store(meter: Meter, facts: Facts) -> Iterator[Metric]:
    name = "etcd_mvcc_"
    yield _gauge(name + "db_total_size_in_bytes", "Bytes of the store.", facts.db_size)
    yield _gauge(
        name + "db_total_size_in_use_in_bytes",
        "Bytes of the store in use.",
        facts.db_size_in_use,
    )
    yield _counter(name + "range", "Ranges read.", meter.ranges)
    yield _counter(name + "put", "Puts.", meter.puts)
    yield _counter(name + "delete", "Deletes.", meter.deletes)
    yield _counter(name + "txn", "Transactions.", meter.txns)
    name = "etcd_debugging_mvcc_"
    yield _gauge(name + "keys_total", "Live keys.", facts.keys)
    yield _gauge(name + "watcher_total", "Watchers.", facts.watchers)
    yield _gauge(name + "watch_stream_total", "Watch streams.", facts.watch_streams)
    yield _gauge(name + "slow_watcher_total", "Watchers behind.", facts.slow_watchers)
    yield _gauge(
        name + "pending_events_total", "Events to be sent.", facts.pending_events
    )
    yield _gauge(name + "current_revision", "Current revision.", facts.current_revision)
    yield _gauge(name + "compact_revision", "Compact revision.", facts.compact_revision)
    name = "etcd_debugging_lease_"
    yield _counter(name + "granted", "Leases granted.", meter.leases_granted)
    yield _counter(name + "revoked", "Leases revoked.", meter.leases_revoked)
    yield _counter(name + "renewed", "Leases renewed.", meter.leases_renewed)


def _disk(meter: Meter) -> Iterator[Metric]:
    yield _histogram(
        "etcd_disk_wal_fsync_duration_seconds",
        "Duration of a sync of the log.",
        meter.wal_fsync,
    )
    yield _histogram(
        "etcd_disk_backend_commit_duration_seconds",
        "Duration of a commit of the backend.",
        meter.backend_commit,
    )
    yield _counter(
        "etcd_disk_wal_write_bytes",
        "Bytes written to the log.",
        meter.wal_bytes_written,
    )


def _network(meter: Meter, facts: Facts) -> Iterator[Metric]:
    name = "etcd_network_"
    yield _counter(
        name + "client_grpc_received_bytes",
        "Bytes from clients.",
        facts.client_bytes_received,
    )
    yield _counter(
        name + "client_grpc_sent_bytes", "Bytes to clients.", facts.client_bytes_sent
    )
    active = GaugeMetricFamily(
        name + "active_peers", "Connected peers.", labels=["Local", "Remote"]
    )
    known = GaugeMetricFamily(
        name + "known_peers", "Known peers.", labels=["Local", "Remote"]
    )
    for peer, connected in facts.peers:
        active.add_metric([facts.member_id, peer], float(connected))
        known.add_metric([facts.member_id, peer], 1)
    yield active
    yield known
    yield from _peers(name + "peer_", meter)


def _peers(name: str, meter: Meter) -> Iterator[Metric]:
    round_trip = HistogramMetricFamily(
        name + "round_trip_time_seconds", "Round trip to a peer.", labels=["To"]
    )
    sent = CounterMetricFamily(name + "sent_bytes", "Bytes sent.", labels=["To"])
    received = CounterMetricFamily(
        name + "received_bytes", "Bytes received.", labels=["From"]
    )
    not_sent = CounterMetricFamily(
        name + "sent_failures", "Failed sends.", labels=["To"]
    )
    not_received = CounterMetricFamily(
        name + "received_failures", "Failed receives.", labels=["From"]
    )
    for peer, counts in meter.peers.items():
        buckets = counts.round_trip.cumulative()
        round_trip.add_metric([peer], buckets, counts.round_trip.sum)
        sent.add_metric([peer], counts.bytes_sent)
        received.add_metric([peer], counts.bytes_received)
        not_sent.add_metric([peer], counts.send_failures)
        not_received.add_metric([peer], counts.receive_failures)
    yield from (round_trip, sent, received, not_sent, not_received)


def _grpc(meter: Meter) -> Iterator[Metric]:
    labels = ["grpc_type", "grpc_service", "grpc_method"]
    started = CounterMetricFamily(
        "grpc_server_started", "Calls started.", labels=labels
    )
    handled = CounterMetricFamily(
        "grpc_server_handled", "Calls ended.", labels=[*labels, "grpc_code"]
    )
    for counts in meter.methods.values():
        values = [counts.kind, counts.service, counts.method]
        started.add_metric(values, counts.started)
        handled.add_metric([*values, CODE_NAMES[0]], counts.succeeded)
        for code, number in counts.failed.items():
            known = 0 <= code < len(CODE_NAMES)
            name = CODE_NAMES[code] if known else f"Code({code})"
            handled.add_metric([*values, name], number)
    yield started
    yield handled


def _witness(facts: Facts) -> Iterator[Metric]:
    """Numbers that etcd has no names for: twofold's own."""
    yield _gauge(
        "twofold_safe_to_stop",
        "Stopping this member would not stop the service.",
        facts.safe_to_stop,
    )
    mode = GaugeMetricFamily(
        "twofold_mode", "How this member can commit.", labels=["mode"]
    )
    mode.add_metric([facts.mode], 1)
    yield mode
    if facts.witness_reachable is not None:
        yield _gauge(
            "twofold_witness_reachable",
            "The witness answers.",
            facts.witness_reachable,
        )
        yield _counter(
            "twofold_witness_operations",
            "Operations on the witness.",
            facts.witness_operations,
        )
