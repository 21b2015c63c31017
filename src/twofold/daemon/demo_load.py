"""The demo's load: workers that write one key after the other and keep count.

A worker goes on to its next key only when the last is acknowledged, and its
values follow from its keys. So a number a worker is the whole ledger of what
must be there in the end.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twofold.base.errors import OutcomeUnknown
from twofold.client.errors import NotConnected, RpcError
from twofold.proto import kv_pb2

PREFIX = b"demo/"
_CALL_TIMEOUT_MS = 10_000
_RETRY_S = 0.02


def key_of(worker: int, number: int) -> bytes:
    """The key of a worker's n-th write."""
    return PREFIX + f"{worker}/{number:08}".encode()


def value_of(worker: int, number: int) -> bytes:
    """The value under that key."""
    return f"value {number} of worker {worker}".encode()


class Store(Protocol):
    """What of a client the load uses."""

    async def put(
        self, key: bytes, value: bytes, *, timeout_ms: int | None = None
    ) -> int:
        """See EtcdClient.put."""

    async def range(self, key: bytes, range_end: bytes) -> list[kv_pb2.KeyValue]:
        """See EtcdClient.range."""

    def close(self) -> None:
        """See EtcdClient.close."""


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledged write: when its first try began, and when it ended."""

    worker: int
    began_s: float
    ended_s: float
    tries: int = 1


@dataclass(slots=True)
class Ledger:
    """What was acknowledged, in the order of the answers."""

    written: list[int]
    recent: deque[Ack] = field(default_factory=lambda: deque(maxlen=200_000))
    repeats: int = 0

    def add(self, ack: Ack) -> None:
        """One more write is acknowledged."""
        self.written[ack.worker] += 1
        self.recent.append(ack)

    @property
    def total(self) -> int:
        """All acknowledged writes."""
        return sum(self.written)

    def rate(self, now_s: float, window_s: float = 1.0) -> float:
        """Acknowledged writes a second, over the last window."""
        count = 0
        for ack in reversed(self.recent):
            if ack.ended_s < now_s - window_s:
                break
            count += 1
        return count / window_s

    def gap_ms(self, since_s: float, until_s: float) -> float | None:
        """Longest time without an answer that begins before ``until_s``.

        Shape: the first one looked at begins just before ``since_s``. None: no
        write was acknowledged after that yet.
        """
        ends: list[float] = []
        for ack in reversed(self.recent):
            if ends and ack.ended_s > until_s:
                ends.clear()
            ends.append(ack.ended_s)
            if ack.ended_s < since_s:
                break
        if not ends or ends[0] < since_s:
            return None
        ends.reverse()
        gaps = [later - earlier for earlier, later in itertools.pairwise(ends)]
        return max(gaps, default=ends[0] - since_s) * 1000

    def first_new_ms(self, since_s: float) -> float | None:
        """From ``since_s`` to the first answer of a write begun after it."""
        ends = [ack.ended_s for ack in self.recent if ack.began_s >= since_s]
        return (min(ends) - since_s) * 1000 if ends else None

    def in_flight(self, at_s: float) -> list[Ack]:
        """Writes that had begun at that time and were acknowledged after it."""
        return [ack for ack in self.recent if ack.began_s < at_s <= ack.ended_s]


@dataclass(slots=True)
class Load:
    """Workers over all members; ``clients`` in the members' order."""

    clients: Sequence[Store]
    workers: int = 8
    clock_s: Callable[[], float] = time.monotonic
    ledger: Ledger = field(init=False)
    failure: str = field(default="", init=False)
    pause_s: float = 0.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """An empty ledger."""
        self.ledger = Ledger([0] * self.workers)

    def start(self) -> None:
        """Let the workers run."""
        self._tasks = [
            asyncio.create_task(self._work(worker)) for worker in range(self.workers)
        ]

    async def stop(self) -> None:
        """Let each worker end its write, then no more."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        for client in self.clients:
            client.close()

    async def abandon(self) -> None:
        """End at once, whatever is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self.clients:
            client.close()

    async def _work(self, worker: int) -> None:
        member = worker % len(self.clients)
        number = 0
        while not self._stopping:
            member = await self._write(worker, number, member)
            number += 1
            if self.pause_s:
                await asyncio.sleep(self.pause_s)

    async def _write(self, worker: int, number: int, member: int) -> int:
        """Write until it is acknowledged; gives the member that did it.

        The same key and value may be written twice: an unknown outcome is
        asked again at the other member, and the result is the same.
        """
        began_s = self.clock_s()
        for tries in itertools.count(1):
            try:
                await self.clients[member].put(
                    key_of(worker, number),
                    value_of(worker, number),
                    timeout_ms=_CALL_TIMEOUT_MS,
                )
            except (OutcomeUnknown, NotConnected, RpcError):
                self.ledger.repeats += 1
                member = (member + 1) % len(self.clients)
                await asyncio.sleep(_RETRY_S)
                # A service that never comes back must not hold the end up.
                if self._stopping:
                    self.failure = "a write was still not acknowledged at the end"
                    break
            else:
                self.ledger.add(Ack(worker, began_s, self.clock_s(), tries))
                break
        return member


async def missing(client: Store, ledger: Ledger) -> list[bytes]:
    """Keys whose acknowledged write is not there, read linearizably."""
    lost: list[bytes] = []
    for worker, count in enumerate(ledger.written):
        found = {
            pair.key: pair.value
            for pair in await client.range(
                PREFIX + f"{worker}/".encode(), PREFIX + f"{worker}0".encode()
            )
        }
        lost += [
            key_of(worker, number)
            for number in range(count)
            if found.get(key_of(worker, number)) != value_of(worker, number)
        ]
    return lost
