"""Histories of real processes under faults are linearizable and lose nothing."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from twofold.testing.etcd_client import EtcdClient
from twofold.testing.faults import (
    Fault,
    Scene,
    cut_members,
    cut_members_without_witness,
    cut_one_way,
    isolate_follower,
    isolate_leader,
    kill_all,
    kill_follower,
    kill_leader,
    kill_leader_while_the_witness_is_slow,
    kill_leader_without_witness,
    lose_witness,
    pause_follower,
    pause_leader,
    wait_settled,
)
from twofold.testing.history import (
    Workload,
    check_events,
    check_linearizable,
    check_revisions,
    equal_hashes,
    read_events,
    write_history,
)
from twofold.testing.netns import Network
from twofold.testing.processes import Cluster, etcd_cluster, twofold_cluster

ROUNDS = 2
QUIET_S = 0.7
DOWN_S = 1.5

ALL_FAULTS: list[Fault] = [
    kill_leader,
    kill_follower,
    pause_leader,
    pause_follower,
    cut_members,
    cut_one_way,
    isolate_leader,
    isolate_follower,
    lose_witness,
    kill_leader_without_witness,
    kill_leader_while_the_witness_is_slow,
    cut_members_without_witness,
    kill_all,
]


async def _scenario(scene: Scene, faults: list[Fault], folder: Path) -> None:
    cluster = scene.cluster
    await wait_settled(cluster)
    workload = Workload(cluster.members)
    working = asyncio.create_task(workload.run())
    try:
        for fault in faults:
            await asyncio.sleep(QUIET_S)
            await fault(scene, DOWN_S)
            await wait_settled(cluster)
        await asyncio.sleep(QUIET_S)
    finally:
        workload.stop()
        await working
    await _judge(cluster, workload, folder)


async def _judge(cluster: Cluster, workload: Workload, folder: Path) -> None:
    operations = workload.operations
    history = folder / "history.jsonl"
    write_history(operations, history)
    done = [operation for operation in operations if not operation.unknown]
    print(  # noqa: T201 - shown with -s and on failure
        f"{len(done)} answered of {len(operations)}; errors: {workload.errors}"
    )
    assert len(done) > 500
    assert check_revisions(operations) == []
    async with EtcdClient.of(cluster.members[0]) as client:
        final = (await client.get(b"\0", b"\0")).header.revision
    told = [await read_events(member, final) for member in cluster.members]
    for events in told:
        assert check_events(operations, events) == []
    assert all(events == told[0] for events in told)
    assert check_linearizable(history) == "Ok"
    equal, words = await equal_hashes(cluster.members)
    assert equal, words


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=lambda fault: fault.__name__)
def test_two_members_under_one_kind_of_fault(
    fault: Fault, network: Network, folder: Path, need: Callable[..., None]
) -> None:
    need("porcupine-check")
    cluster = twofold_cluster(folder, 2, machines=network.machines)
    with cluster:
        scene = Scene(cluster, network, folder / "witness")
        asyncio.run(_scenario(scene, [fault] * ROUNDS, folder))


@pytest.mark.timeout(420)
def test_two_members_under_all_faults_in_a_random_order(
    network: Network, folder: Path, need: Callable[..., None]
) -> None:
    need("porcupine-check")
    seed = int(os.environ.get("TWOFOLD_SEED", str(secrets.randbelow(1 << 30))))
    print(f"TWOFOLD_SEED={seed}")  # noqa: T201 - to try that order again
    faults = [*ALL_FAULTS]
    random.Random(seed).shuffle(faults)
    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        scene = Scene(cluster, network, folder / "witness")
        asyncio.run(_scenario(scene, faults, folder))


def test_the_harness_finds_nothing_wrong_with_etcd(
    folder: Path, need: Callable[..., None]
) -> None:
    need("etcd", "porcupine-check")
    with etcd_cluster(folder, 3) as cluster:
        faults: list[Fault] = [kill_leader, pause_leader]
        asyncio.run(_scenario(Scene(cluster), faults, folder))
