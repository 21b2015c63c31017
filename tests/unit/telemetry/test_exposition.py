"""The metrics page has etcd's names."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from twofold.telemetry.exposition import Exposition
from twofold.telemetry.metrics import Facts, Meter


def samples(meter: Meter, facts: Facts) -> dict[tuple[str, str], float]:
    page = Exposition(meter, lambda: facts).page().decode()
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "name",
    [
        "etcd_server_has_leader",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_applied_total",
        "etcd_server_proposals_pending",
        "etcd_server_proposals_failed_total",
        "etcd_server_quota_backend_bytes",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_network_client_grpc_sent_bytes_total",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_disk_wal_fsync_duration_seconds_count",
        "etcd_disk_backend_commit_duration_seconds_sum",
        "etcd_debugging_mvcc_keys_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ],
)
def test_dashboards_find(name: str) -> None:
    assert (name, "") in samples(Meter(), Facts())


def test_calls_are_counted_by_method_and_code() -> None:
    meter = Meter()
    counts = meter.method("/etcdserverpb.KV/Put", "unary")
    counts.started, counts.succeeded = 3, 1
    counts.fail(14)
    found = samples(meter, Facts())
    labels = "grpc_method=Put,grpc_service=etcdserverpb.KV,grpc_type=unary"
    handled = "grpc_server_handled_total"
    assert found["grpc_server_started_total", labels] == 3
    assert found[handled, f"grpc_code=OK,{labels}"] == 1
    assert found[handled, f"grpc_code=Unavailable,{labels}"] == 1


def test_peers_are_labelled_by_member() -> None:
    meter = Meter()
    meter.peer("a1").round_trip.observe(0.01)
    meter.peer("a1").bytes_sent = 5
    facts = Facts(member_id="b2", peers=(("a1", True),))
    found = samples(meter, facts)
    assert found["etcd_network_peer_round_trip_time_seconds_count", "To=a1"] == 1
    assert found["etcd_network_peer_sent_bytes_total", "To=a1"] == 5
    assert found["etcd_network_active_peers", "Local=b2,Remote=a1"] == 1


def test_without_a_witness_nothing_is_said_about_it() -> None:
    found = samples(Meter(), Facts())
    assert ("twofold_witness_reachable", "") not in found
    found = samples(Meter(), Facts(witness_reachable=True))
    assert found["twofold_witness_reachable", ""] == 1
