"""Puts keys into a cluster quickly: transactions of many puts, several at once."""

from __future__ import annotations

import asyncio

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.etcd_client import EtcdClient, put_op
from twofold.testing.processes import Cluster

PREFIX = "bench/"
# The first string that sorts after every key of the prefix.
END = "bench0"
_PER_TRANSACTION = 50
_AT_ONCE = 8


def fill(cluster: Cluster, count: int, value_bytes: int) -> None:
    """Write ``bench/000000000`` and on, ``count`` keys."""
    asyncio.run(_fill(cluster, count, value_bytes))


async def _fill(cluster: Cluster, count: int, value_bytes: int) -> None:
    starts = iter(range(0, count, _PER_TRANSACTION))
    async with EtcdClient.of(cluster.members[0]) as client:

        async def worker() -> None:
            for start in starts:
                numbers = range(start, min(start + _PER_TRANSACTION, count))
                request = rpc.TxnRequest(
                    success=[put_op(_key(n), _value(n, value_bytes)) for n in numbers]
                )
                await client.call("KV/Txn", request, rpc.TxnResponse, 60.0)

        await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))


def _key(number: int) -> bytes:
    return f"{PREFIX}{number:09}".encode()


def _value(number: int, value_bytes: int) -> bytes:
    return f"{number:09}".encode().ljust(value_bytes, b".")
