"""What two members promise beside linearizable histories."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import grpc.aio
import pytest

from twofold.testing.etcd_client import EtcdClient, leader_of
from twofold.testing.faults import Scene, kill_leader, wait_settled
from twofold.testing.history import Workload
from twofold.testing.netns import Network
from twofold.testing.processes import Member, Usage, twofold_cluster


async def _write(members: list[Member], seconds: float) -> Workload:
    workload = Workload(members, clients=4)
    working = asyncio.create_task(workload.run())
    await asyncio.sleep(seconds)
    workload.stop()
    await working
    return workload


def _witness_operations(members: list[Member]) -> list[float | None]:
    return [one.metric("twofold_witness_operations_total") for one in members]


def test_steady_writing_leaves_the_witness_alone(
    network: Network, folder: Path
) -> None:
    async def scenario() -> None:
        await wait_settled(cluster)
        before = _witness_operations(cluster.members)
        files = sorted(path.name for path in witness.iterdir())
        workload = await _write(cluster.members, 3.0)
        assert len(workload.operations) > 100
        assert workload.errors == {}
        assert _witness_operations(cluster.members) == before
        assert sorted(path.name for path in witness.iterdir()) == files

    witness = folder / "witness"
    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        asyncio.run(scenario())


def test_a_watch_on_the_survivor_misses_and_repeats_nothing(
    network: Network, folder: Path
) -> None:
    async def scenario() -> None:
        await wait_settled(cluster)
        leader = await leader_of(cluster.members)
        assert leader is not None
        other = scene.other(leader)
        revisions: list[int] = []
        async with EtcdClient.of(other) as client:

            async def follow() -> None:
                async for reply in client.watch(b"\0", b"\0", timeout_s=60.0):
                    revisions.extend(one.kv.mod_revision for one in reply.events)

            watching = asyncio.create_task(follow())
            await asyncio.sleep(0.2)
            writing = asyncio.create_task(_write([other], 4.0))
            await asyncio.sleep(1.0)
            await kill_leader(scene, 1.0)
            workload = await writing
            assert workload.errors == {}
            written = sorted(
                one.revision for one in workload.operations if one.acknowledged_write
            )
            await asyncio.sleep(0.5)
            watching.cancel()
        assert len(written) > 100
        assert revisions == sorted(set(revisions))
        assert set(written) == set(revisions)

    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        scene = Scene(cluster, network, folder / "witness")
        asyncio.run(scenario())


@pytest.mark.parametrize("victim", ["leader", "follower"])
def test_a_write_in_flight_succeeds(
    network: Network, folder: Path, victim: str
) -> None:
    async def scenario() -> None:
        await wait_settled(cluster)
        leader = await leader_of(cluster.members)
        assert leader is not None
        lost = leader if victim == "leader" else scene.other(leader)
        async with EtcdClient.of(scene.other(lost)) as client:
            writes = [
                asyncio.create_task(client.put(f"k{n}".encode(), b"v", prev_kv=True))
                for n in range(200)
            ]
            # Some are answered by now, most are not.
            await asyncio.sleep(0.005)
            lost.kill()
            answers = await asyncio.gather(*writes)
            # Each exactly once: a second would have seen the first.
            assert not any(answer.HasField("prev_kv") for answer in answers)
            assert len({answer.header.revision for answer in answers}) == 200
            got = await client.get(b"k", b"l")
            assert got.count == 200
            assert all(pair.version == 1 for pair in got.kvs)

    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        scene = Scene(cluster, network, folder / "witness")
        asyncio.run(scenario())


def test_a_lease_outlives_the_leader_and_then_ends(
    network: Network, folder: Path
) -> None:
    async def scenario() -> None:
        await wait_settled(cluster)
        leader = await leader_of(cluster.members)
        assert leader is not None
        async with EtcdClient.of(scene.other(leader)) as client:
            lease = await client.grant(3)
            await client.put(b"leased", b"v", lease=lease)
            leader.kill()
            # Clients renew again after half a second; so do we.
            with suppress(grpc.aio.AioRpcError):
                await client.keep_alive(lease)
            for _ in range(4):
                await asyncio.sleep(1.0)
                await client.keep_alive(lease)
                assert (await client.get(b"leased")).count == 1
            leader.start()
            await wait_settled(cluster)
            deadline_s = time.monotonic() + 12.0
            while (await client.get(b"leased")).count:
                assert time.monotonic() < deadline_s, "the lease never ended"
                await asyncio.sleep(0.1)
        for member in cluster.members:
            async with EtcdClient.of(member) as client:
                assert (await client.get(b"leased")).count == 0

    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        scene = Scene(cluster, network, folder / "witness")
        asyncio.run(scenario())


def test_nothing_of_a_member_outlives_its_main_process(
    network: Network, folder: Path
) -> None:
    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        asyncio.run(wait_settled(cluster))
        member = cluster.members[0]
        assert member.usage() != Usage()
        os.kill(member.process_id, signal.SIGKILL)
        deadline_s = time.monotonic() + 5.0
        while member.usage() != Usage():
            assert time.monotonic() < deadline_s, "orphans live on"
            time.sleep(0.1)


def test_a_member_ends_by_itself_when_asked_to(network: Network, folder: Path) -> None:
    async def scenario() -> None:
        await wait_settled(cluster)
        leader = await leader_of(cluster.members)
        assert leader is not None
        async with EtcdClient.of(scene.other(leader)) as client:
            await client.put(b"k", b"before")
            assert leader.program is not None
            code = await asyncio.to_thread(leader.program.terminate)
            begun_s = time.monotonic()
            await client.put(b"k", b"after")
            assert time.monotonic() - begun_s < 2.0
        assert code == 0, leader.program.log_tail()

    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        scene = Scene(cluster, network, folder / "witness")
        asyncio.run(scenario())


def test_one_member_serves_alone_and_keeps_its_data(folder: Path) -> None:
    async def write() -> None:
        async with EtcdClient.of(cluster.members[0]) as client:
            for number in range(50):
                await client.put(b"k", str(number).encode())

    async def read() -> int:
        async with EtcdClient.of(cluster.members[0]) as client:
            (pair,) = (await client.get(b"k")).kvs
            assert pair.value == b"49"
            return pair.version

    with twofold_cluster(folder, 1) as cluster:
        asyncio.run(write())
        cluster.members[0].kill()
        with pytest.raises(grpc.aio.AioRpcError):
            asyncio.run(read())
        cluster.members[0].start()
        cluster.members[0].wait_healthy()
        assert asyncio.run(read()) == 50
