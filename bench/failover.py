"""How long writes wait when the leader dies (SIGKILL) or falls silent (SIGSTOP).

Two of twofold's members and a witness folder beside three members of etcd. Each
kill: clients of the members that live on write in closed loops, so that writes
are in flight at that moment; from then on a new write starts every 5 ms on each
of those members. *New writes*: from the signal to the first success of a write
begun after it. *In flight*: how long a write begun before the signal took, and
how many of them failed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import grpc.aio

from bench.figures import BASE, OURS, Figure, percentile
from bench.setting import Options, clusters, parse, report, say
from twofold.testing.etcd_client import EtcdClient, leader_of
from twofold.testing.faults import wait_settled
from twofold.testing.processes import Cluster, Member

IN_FLIGHT = 4
_EVERY_S = 0.005
_LIMIT_S = 12.0
# Each costs etcd the 7 s of a write in flight, and hardly varies.
_BASE_ROUNDS_MAX = 10


@dataclass
class Loss:
    """What one loss of the leader did to the writes of the others."""

    new_gap_s: float = _LIMIT_S
    in_flight_s: list[float] = field(default_factory=list)
    in_flight_failed: int = 0


@dataclass
class Writers:
    """Writes against the members that are not the leader."""

    clients: list[EtcdClient]
    lost_at_s: float = 0.0
    loss: Loss = field(default_factory=Loss)
    recovered: asyncio.Event = field(default_factory=asyncio.Event)
    _new: set[asyncio.Task[None]] = field(default_factory=set)

    async def keep_in_flight(self, client: EtcdClient, number: int) -> None:
        """A closed loop that ends with the first write after the loss."""
        key, count = f"in-flight/{number}".encode(), 0
        while True:
            count += 1
            begun_s = time.monotonic()
            try:
                await client.put(key, str(count).encode(), timeout_s=_LIMIT_S)
            except grpc.aio.AioRpcError:
                self.loss.in_flight_failed += 1
            ended_s = time.monotonic()
            if self.lost_at_s:
                if begun_s < self.lost_at_s < ended_s:
                    self.loss.in_flight_s.append(ended_s - self.lost_at_s)
                return

    async def begin_new(self) -> None:
        """Start a write on each member every 5 ms until one succeeds."""
        number = 0
        while not self.recovered.is_set():
            for client in self.clients:
                number += 1
                task = asyncio.create_task(self._write_once(client, number))
                self._new.add(task)
                task.add_done_callback(self._new.discard)
            await asyncio.sleep(_EVERY_S)
            if time.monotonic() - self.lost_at_s > _LIMIT_S:
                return

    async def _write_once(self, client: EtcdClient, number: int) -> None:
        try:
            await client.put(b"new", str(number).encode(), timeout_s=_LIMIT_S)
        except grpc.aio.AioRpcError:
            return
        if not self.recovered.is_set():
            self.loss.new_gap_s = time.monotonic() - self.lost_at_s
            self.recovered.set()

    async def close(self) -> None:
        """End what is still under way."""
        for task in list(self._new):
            task.cancel()
        await asyncio.gather(*self._new, return_exceptions=True)
        for client in self.clients:
            await client.__aexit__(None, None, None)


async def lose_leader(cluster: Cluster, *, kill: bool) -> Loss:
    """Lose the leader once, measure, and bring it back."""
    await wait_settled(cluster)
    leader = await leader_of(cluster.members)
    assert leader is not None
    others = [member for member in cluster.members if member is not leader]
    writers = Writers([EtcdClient.of(member) for member in others])
    loops = [
        asyncio.create_task(writers.keep_in_flight(client, number * IN_FLIGHT + n))
        for number, client in enumerate(writers.clients)
        for n in range(IN_FLIGHT)
    ]
    await asyncio.sleep(0.5)
    writers.loss.in_flight_failed = 0
    writers.lost_at_s = time.monotonic()
    _lose(leader, kill=kill)
    await writers.begin_new()
    await asyncio.gather(*loops)
    await writers.close()
    # A stopped member would come back with its old hold-down, which doubles with
    # each loss: the next one would have to wait for up to a minute.
    leader.kill()
    leader.start()
    return writers.loss


def _lose(leader: Member, *, kill: bool) -> None:
    if kill:
        leader.kill()
    else:
        leader.pause()


@dataclass
class Rows:
    """The figures of one way to lose a leader."""

    name: str
    limit_s: float
    gaps: dict[str, list[float]] = field(default_factory=dict)
    in_flight: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, system: str, loss: Loss) -> None:
        """Note one loss."""
        self.gaps.setdefault(system, []).append(loss.new_gap_s)
        self.in_flight.setdefault(system, []).extend(loss.in_flight_s)
        failed, of = self.failed.get(system, (0, 0))
        self.failed[system] = (
            failed + loss.in_flight_failed,
            of + len(loss.in_flight_s),
        )

    def figures(self) -> list[Figure]:
        """As the table shows them."""
        limit = self.limit_s
        new = Figure(f"{self.name}: gap of new writes, p50", "s", samples=self.gaps)
        worst = Figure(
            f"{self.name}: gap of new writes, p99",
            "s",
            percent=99.0,
            value_max=limit,
            samples=self.gaps,
        )
        flight = Figure(
            f"{self.name}: a write in flight, p99",
            "s",
            percent=99.0,
            value_max=limit,
            samples=self.in_flight,
        )
        lost = Figure(f"{self.name}: writes in flight that failed", "%", value_max=0.0)
        for system, (failed, of) in self.failed.items():
            lost.add(system, 100.0 * failed / of if of else 0.0)
        return [new, worst, flight, lost]


async def _measure(options: Options, running: dict[str, Cluster]) -> list[Rows]:
    tables = [Rows("kill -9", 0.3), Rows("SIGSTOP", 0.7)]
    for turn in range(options.rounds):
        for rows in tables:
            for system, cluster in running.items():
                if system == BASE and turn >= _BASE_ROUNDS_MAX:
                    continue
                loss = await lose_leader(cluster, kill=rows.name == "kill -9")
                rows.add(system, loss)
                slowest = percentile(loss.in_flight_s or [0.0], 100.0)
                say(
                    f"{turn + 1}/{options.rounds} {rows.name} {system}: new "
                    f"{loss.new_gap_s:.3f} s, in flight {slowest:.3f} s, "
                    f"{loss.in_flight_failed} of {len(loss.in_flight_s)} failed"
                )
    return tables


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=10)
    with clusters(options, "failover", pair=True) as running:
        tables = asyncio.run(_measure(options, running))
        if OURS in running:
            counts = [
                member.metric("twofold_witness_operations_total") or 0.0
                for member in running[OURS].members
            ]
            say(f"witness operations since each member's last start: {counts}")
    figures = [figure for rows in tables for figure in rows.figures()]
    note = f"{options.rounds} losses of each kind; etcd 3 members, twofold 2 + witness."
    report(options, "failover", figures, note)


if __name__ == "__main__":
    main()
