"""Numbers that are cheap to keep: plain integers and arrays, no locks.

Everything runs on the loop's thread, so a counter is an attribute. What etcd
calls these numbers is in ``exposition.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


def doubling(first: float, count: int) -> tuple[float, ...]:
    """Bucket bounds, each twice the one before."""
    return tuple(first * 2**step for step in range(count))


FSYNC_BOUNDS_S = doubling(0.001, 14)
ROUND_TRIP_BOUNDS_S = doubling(0.0001, 16)
APPLY_BOUNDS_S = doubling(0.0001, 20)


class Histogram:
    """Observations in seconds, counted by bucket."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value_s: float) -> None:
        """Count one observation; a bound belongs to the bucket it ends."""
        self.counts[bisect_left(self.bounds, value_s)] += 1
        self.sum += value_s

    def cumulative(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus wants them: (le, number up to there)."""
        total = 0
        buckets = []
        names = [format(bound, ".15g") for bound in self.bounds] + ["+Inf"]
        for name, count in zip(names, self.counts, strict=True):
            total += count
            buckets.append((name, float(total)))
        return buckets


class MethodCounts:
    """Calls of one gRPC method; ``failed`` by status code."""

    __slots__ = ("failed", "kind", "method", "service", "started", "succeeded")

    def __init__(self, service: str, method: str, kind: str) -> None:
        self.service = service
        self.method = method
        self.kind = kind
        self.started = 0
        self.succeeded = 0
        self.failed: dict[int, int] = {}

    def fail(self, code: int) -> None:
        """Count a call that ended with ``code``."""
        self.failed[code] = self.failed.get(code, 0) + 1


class Meter:
    """All counters and histograms of one member.

    Shape: attributes only ever grow; sizes in bytes, histograms in seconds.
    """

    def __init__(self) -> None:
        self.ranges = 0
        self.puts = 0
        self.deletes = 0
        self.txns = 0
        self.leases_granted = 0
        self.leases_revoked = 0
        self.leases_renewed = 0
        self.leases_expired = 0
        self.proposals_failed = 0
        self.slow_applies = 0
        self.slow_reads = 0
        self.reads_failed = 0
        self.heartbeat_send_failures = 0
        self.wal_bytes_written = 0
        self.health_successes = 0
        self.health_failures = 0
        self.wal_fsync = Histogram(FSYNC_BOUNDS_S)
        self.backend_commit = Histogram(FSYNC_BOUNDS_S)
        self.apply = Histogram(APPLY_BOUNDS_S)
        self.methods: dict[str, MethodCounts] = {}
        self.peers: dict[str, PeerCounts] = {}

    def method(self, path: str, kind: str) -> MethodCounts:
        """The counts of ``/package.Service/Method``; made on first use."""
        found = self.methods.get(path)
        if found is None:
            service, _, name = path.lstrip("/").partition("/")
            found = self.methods[path] = MethodCounts(service, name, kind)
        return found

    def peer(self, member: str) -> PeerCounts:
        """The counts of the link to ``member`` (its id in hex)."""
        return self.peers.setdefault(member, PeerCounts())


class PeerCounts:
    """Traffic with the other member."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "receive_failures",
        "round_trip",
        "send_failures",
    )

    def __init__(self) -> None:
        self.bytes_sent = 0
        self.bytes_received = 0
        self.send_failures = 0
        self.receive_failures = 0
        self.round_trip = Histogram(ROUND_TRIP_BOUNDS_S)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is read at scrape time; sizes in bytes."""

    member_id: str = ""
    version: str = ""
    cluster_version: str = ""
    has_leader: bool = False
    is_leader: bool = False
    is_learner: bool = False
    leader_changes: int = 0
    proposals_committed: int = 0
    proposals_applied: int = 0
    proposals_pending: int = 0
    quota: int = 0
    db_size: int = 0
    db_size_in_use: int = 0
    current_revision: int = 0
    compact_revision: int = 0
    keys: int = 0
    watchers: int = 0
    watch_streams: int = 0
    slow_watchers: int = 0
    pending_events: int = 0
    client_bytes_received: int = 0
    client_bytes_sent: int = 0
    alarms: tuple[tuple[str, str], ...] = ()
    """Active alarms as (member id in hex, name)."""
    peers: tuple[tuple[str, bool], ...] = ()
    """Other members' ids in hex, and whether each is connected."""
    witness_reachable: bool | None = None
    """None: no witness is configured."""
    witness_operations: int = 0
    mode: str = ""
    safe_to_stop: bool = False
