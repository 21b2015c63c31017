"""Memory of one member: with 100 000 keys of 1 kB, and idle with 100 connections."""

from __future__ import annotations

import asyncio
import time

import grpc.aio

from bench.figures import Figure
from bench.fill import fill
from bench.setting import clusters, parse, report, say
from twofold.testing.etcd_client import EtcdClient
from twofold.testing.processes import Cluster

CONNECTIONS = 100
_MEGABYTE = 1 << 20
_CALM_S = 5.0


def _note(figures: tuple[Figure, Figure], system: str, cluster: Cluster) -> None:
    usage = cluster.usage()
    rss, pss = figures
    rss.add(system, usage.rss_bytes / _MEGABYTE)
    pss.add(system, usage.pss_bytes / _MEGABYTE)


async def _hold_connections(cluster: Cluster, seconds: float) -> tuple[int, int]:
    """Keep 100 connections with one watch each; return memory in the middle."""

    async def hold(client: EtcdClient, number: int) -> None:
        try:
            async for _ in client.watch(f"idle/{number}".encode()):
                pass
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            return

    clients = [EtcdClient.of(cluster.members[0]) for _ in range(CONNECTIONS)]
    tasks = [asyncio.create_task(hold(one, n)) for n, one in enumerate(clients)]
    await asyncio.sleep(seconds)
    usage = cluster.usage()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        await client.__aexit__(None, None, None)
    return usage.rss_bytes, usage.pss_bytes


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=1)
    keys = 10_000 if options.quick else 100_000
    loaded = (
        Figure(f"{keys} keys of 1 kB: RSS", "MB", ratio_max=1.2),
        Figure(f"{keys} keys of 1 kB: PSS", "MB"),
    )
    again = (
        Figure("the same after a restart: RSS", "MB"),
        Figure("the same after a restart: PSS", "MB"),
    )
    idle = (
        Figure(f"empty, {CONNECTIONS} connections + watches: RSS", "MB", ratio_max=1.2),
        Figure(f"empty, {CONNECTIONS} connections + watches: PSS", "MB"),
    )
    for turn in range(options.rounds):
        with clusters(options, f"memory-{turn}", pair=False) as running:
            for system, cluster in running.items():
                rss, pss = asyncio.run(_hold_connections(cluster, _CALM_S))
                idle[0].add(system, rss / _MEGABYTE)
                idle[1].add(system, pss / _MEGABYTE)
                fill(cluster, keys, 1000)
                time.sleep(_CALM_S)
                _note(loaded, system, cluster)
                cluster.members[0].kill()
                cluster.start()
                time.sleep(_CALM_S)
                _note(again, system, cluster)
                say(f"memory: {system}, round {turn + 1} of {options.rounds}")
    note = "Sum over a member's processes; PSS counts what they share once."
    report(options, "memory", [*idle, *loaded, *again], note)


if __name__ == "__main__":
    main()
