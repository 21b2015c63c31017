"""Faults on a running cluster, each undone before it returns.

`Fault` is a coroutine that takes the scene, breaks one thing, waits, and mends
it. `wait_settled` then waits until the cluster is whole again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from twofold.base.errors import Failure
from twofold.testing.etcd_client import EtcdClient, leader_of
from twofold.testing.netns import Network
from twofold.testing.processes import Cluster, Member


class NotSettled(Failure):
    """The cluster did not become whole again in time."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A cluster, and what it stands on."""

    cluster: Cluster
    network: Network | None = None
    witness: Path | None = None

    def other(self, member: Member) -> Member:
        """A member that is not this one."""
        return next(one for one in self.cluster.members if one is not member)


Fault = Callable[[Scene, float], Coroutine[None, None, None]]


async def victim(scene: Scene, leader: bool) -> Member:
    """The leader or a follower, whoever that is now."""
    leads = await leader_of(scene.cluster.members)
    if leads is None:
        raise NotSettled("nobody leads")
    return leads if leader else scene.other(leads)


async def kill_leader(scene: Scene, down_s: float) -> None:
    """kill -9, then start again."""
    await _kill(await victim(scene, True), down_s)


async def kill_follower(scene: Scene, down_s: float) -> None:
    """kill -9, then start again."""
    await _kill(await victim(scene, False), down_s)


async def _kill(member: Member, down_s: float) -> None:
    member.kill()
    await asyncio.sleep(down_s)
    member.start()


async def pause_leader(scene: Scene, down_s: float) -> None:
    """SIGSTOP, then SIGCONT: it wakes up believing that it leads."""
    await _pause(await victim(scene, True), down_s)


async def pause_follower(scene: Scene, down_s: float) -> None:
    """SIGSTOP, then SIGCONT."""
    await _pause(await victim(scene, False), down_s)


async def _pause(member: Member, down_s: float) -> None:
    member.pause()
    await asyncio.sleep(down_s)
    member.resume()


async def cut_members(scene: Scene, down_s: float) -> None:
    """Both live and reach clients and witness, but not each other."""
    assert scene.network is not None
    scene.network.cut(0, 1)
    await asyncio.sleep(down_s)
    scene.network.heal()


async def cut_one_way(scene: Scene, down_s: float) -> None:
    """The leader hears nothing from the other, who hears it well."""
    assert scene.network is not None
    leader = await victim(scene, True)
    number = scene.cluster.members.index(leader)
    scene.network.cut_one_way(1 - number, number)
    await asyncio.sleep(down_s)
    scene.network.heal()


async def isolate_leader(scene: Scene, down_s: float) -> None:
    """The leader's cable is pulled: neither peer, client nor witness is there."""
    assert scene.network is not None
    assert scene.witness is not None
    leader = await victim(scene, True)
    process = leader.process_id
    scene.network.isolate(scene.cluster.members.index(leader))
    scene.network.hide(process, scene.witness)
    await asyncio.sleep(down_s)
    scene.network.reveal(process, scene.witness)
    scene.network.heal()


async def isolate_follower(scene: Scene, down_s: float) -> None:
    """The same for the follower."""
    assert scene.network is not None
    assert scene.witness is not None
    follower = await victim(scene, False)
    process = follower.process_id
    scene.network.isolate(scene.cluster.members.index(follower))
    scene.network.hide(process, scene.witness)
    await asyncio.sleep(down_s)
    scene.network.reveal(process, scene.witness)
    scene.network.heal()


async def lose_witness(scene: Scene, down_s: float) -> None:
    """The witness's folder is gone for a while; nothing else is."""
    assert scene.witness is not None
    away = scene.witness.with_suffix(".away")
    scene.witness.rename(away)
    await asyncio.sleep(down_s)
    away.rename(scene.witness)


async def kill_leader_without_witness(scene: Scene, down_s: float) -> None:
    """The other may not go on alone: it cannot know that it has every write."""
    assert scene.witness is not None
    leader = await victim(scene, True)
    away = scene.witness.with_suffix(".away")
    scene.witness.rename(away)
    leader.kill()
    await asyncio.sleep(down_s)
    away.rename(scene.witness)
    leader.start()


async def kill_leader_while_the_witness_is_slow(scene: Scene, down_s: float) -> None:
    """The survivor's claim hangs for a while: its witness process is stopped."""
    leader = await victim(scene, True)
    program = scene.other(leader).program
    assert program is not None
    slow = program.children()
    for process in slow:
        os.kill(process, signal.SIGSTOP)
    leader.kill()
    await asyncio.sleep(down_s / 2)
    for process in slow:
        # One that the member gave up on and replaced is gone by now.
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
    await asyncio.sleep(down_s / 2)
    leader.start()


async def cut_members_without_witness(scene: Scene, down_s: float) -> None:
    """Neither may go on alone until peer or witness is back."""
    assert scene.network is not None
    assert scene.witness is not None
    away = scene.witness.with_suffix(".away")
    scene.witness.rename(away)
    scene.network.cut(0, 1)
    await asyncio.sleep(down_s)
    scene.network.heal()
    await asyncio.sleep(down_s / 2)
    away.rename(scene.witness)


async def kill_all(scene: Scene, down_s: float) -> None:
    """The power fails."""
    for member in scene.cluster.members:
        member.kill()
    await asyncio.sleep(down_s / 3)
    for member in scene.cluster.members:
        member.start()


async def wait_settled(cluster: Cluster, timeout_s: float = 90.0) -> None:
    """Wait until every member serves and, for twofold, both disks count again.

    Faults that follow each other closely make that take up to a minute: the
    hold-down doubles each time.

    Raises:
        NotSettled: with what each member says of itself.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        words = await _unsettled(cluster)
        if not words:
            return
        if time.monotonic() > deadline_s:
            raise NotSettled(f"after {timeout_s} s: {words}")
        await asyncio.sleep(0.05)


async def _unsettled(cluster: Cluster) -> str:
    applied = []
    leaders = set()
    for member in cluster.members:
        async with EtcdClient.of(member) as client:
            try:
                status = await client.status()
            except grpc.aio.AioRpcError as error:
                return f"{member.name}: {error.code().name} {error.details()}"
        applied.append(status.raftIndex)
        leaders.add(status.leader)
    if len(leaders) != 1 or 0 in leaders:
        return f"leaders {leaders}"
    for member in cluster.members:
        if not await asyncio.to_thread(member.healthy):
            return f"{member.name} is not healthy"
        if cluster.kind == "twofold" and len(cluster.members) > 1:
            safe = await asyncio.to_thread(member.metric, "twofold_safe_to_stop")
            if safe != 1.0:
                return f"{member.name}: not safe to stop ({safe})"
    if cluster.kind == "etcd" and max(applied) - min(applied) > 1000:
        return f"applied indices are far apart: {applied}"
    return ""
