"""The demo's story: write, lose the leader, go on, take it back, count.

It runs real processes as a user would and judges them from outside. What is
shown is up to a `View`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from twofold.base.errors import TwofoldError
from twofold.client.kv import EtcdClient
from twofold.daemon import demo_members
from twofold.daemon.demo_kubernetes import Plane
from twofold.daemon.demo_load import Load, missing
from twofold.daemon.demo_members import DemoMember
from twofold.daemon.errors import StartFailed

_TICK_S = 0.2
_READY_TIMEOUT_S = 20.0
_PAIR_TIMEOUT_S = 25.0
_RECOVER_TIMEOUT_S = 15.0
_AFTERMATH_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose."""

    kills: int = 1
    workers: int = 8
    pause_ms: int = 4
    keep: bool = False
    kubernetes: bool = False
    steady_s: float = 4.0
    alone_s: float = 4.0


@dataclass(frozen=True, slots=True)
class MemberLine:
    """A member as the view shows it; ``mode`` empty: not known."""

    name: str
    running: bool
    leads: bool
    mode: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What is true now; ``witness_writes`` are versions after the first."""

    elapsed_s: float
    phase: str
    writes_per_s: float
    acknowledged: int
    witness_writes: int
    members: tuple[MemberLine, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """One loss of a leader, as the clients saw it; times in ms."""

    name: str
    gap_ms: float
    first_new_ms: float
    in_flight: int
    in_flight_repeated: int
    in_flight_longest_ms: float


@dataclass(slots=True)
class Result:
    """How it ended; ``problems`` empty means well."""

    acknowledged: int = 0
    repeats: int = 0
    witness_writes: int = 0
    kills: list[Kill] = field(default_factory=list)
    lost: int = 0
    verified: bool = False
    same_hash: bool = False
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    endpoints: tuple[str, ...] = ()
    folder: str = ""
    pids: tuple[int, ...] = ()
    kubectl_calls: int = 0
    kubectl_slowest_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything acknowledged is there and both members agree."""
        return self.verified and not (self.lost or self.problems) and self.same_hash


class View(Protocol):
    """Shows the demo."""

    def note(self, text: str) -> None:
        """One sentence about what happens."""

    def show(self, frame: Frame) -> None:
        """The present state, about five times a second."""


class Demo:
    """One run; ``folder`` holds the members' data, logs and the witness."""

    def __init__(self, options: Options, view: View, folder: Path) -> None:
        self._options = options
        self._view = view
        self._started_s = time.monotonic()
        self._phase = "starting"
        self.members: list[DemoMember] = demo_members.make_members(
            folder, demo_members.free_ports(4)
        )
        self._folder = folder
        self._load = Load(
            [EtcdClient(member.client_url) for member in self.members],
            workers=options.workers,
            pause_s=options.pause_ms / 1000,
        )
        self._plane = Plane(view.note) if options.kubernetes else None
        self.result = Result(folder=str(folder))

    async def run(self) -> Result:
        """The whole story; problems end in the result, not in an error."""
        ticker = asyncio.create_task(self._tick())
        try:
            await self._story()
        except TwofoldError as error:
            self.result.problems.append(str(error))
        finally:
            await self._load.abandon()
            if self._plane is not None:
                await self._plane.close()
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
            self._finish()
        return self.result

    async def _story(self) -> None:
        await self._start()
        if self._plane is not None:
            self._phase = "starting Kubernetes"
            urls = [member.client_url for member in self.members]
            await self._plane.start(self._folder, urls)
        self._load.start()
        self._phase = "writing"
        self._view.note(f"{self._options.workers} clients write through both members.")
        for number in range(self._options.kills):
            await asyncio.sleep(self._options.steady_s)
            await self._lose_the_leader(replicas=4 if number % 2 == 0 else 2)
        await asyncio.sleep(1.0)
        self._phase = "counting"
        await self._load.stop()
        if self._plane is not None:
            await self._end_kubernetes(self._plane)
        await self._verify()

    async def _start(self) -> None:
        self._view.note(f"Two members and a witness directory in {self._folder}")
        demo_members.make_witness(self._folder, self.members)
        for member in self.members:
            member.start()
        for member in self.members:
            await self._wait(member.healthy, _READY_TIMEOUT_S, member, "serves")
        await self._wait_for_pair()
        self._view.note("Both members are up; both disks count.")

    async def _end_kubernetes(self, plane: Plane) -> None:
        await plane.end()
        self.result.kubectl_calls = plane.calls
        self.result.kubectl_slowest_s = plane.slowest_s
        self.result.problems += plane.problems

    async def _lose_the_leader(self, replicas: int) -> None:
        leader = next((one for one in self.members if one.facts.leads), None)
        if leader is None:
            raise StartFailed("no member says that it leads")
        ledger = self._load.ledger
        self._phase = f"{leader.name} is dead"
        killed_s = time.monotonic()
        leader.kill()
        self._view.note(f"kill -9 {leader.name}, the leader")
        deadline_s = killed_s + _RECOVER_TIMEOUT_S
        while (first_new_ms := ledger.first_new_ms(killed_s)) is None:
            if time.monotonic() > deadline_s:
                raise StartFailed(
                    f"no write was acknowledged for {_RECOVER_TIMEOUT_S:.0f} s after"
                    f" {leader.name} died"
                )
            await asyncio.sleep(0.01)
        if self._plane is not None:
            await self._plane.scale(replicas)
        await asyncio.sleep(self._options.alone_s)
        kill = self._measure(leader.name, killed_s, first_new_ms)
        self.result.kills.append(kill)
        flying = f"{kill.in_flight} were in flight; each was answered in the end"
        self._view.note(
            f"No write was answered for {kill.gap_ms:.0f} ms;"
            f" {flying if kill.in_flight else 'none was in flight'}."
        )
        self._phase = f"{leader.name} is coming back"
        leader.start()
        self._view.note(f"{leader.name} starts again with what is on its disk")
        await self._wait_for_pair()
        self._phase = "writing"
        self._view.note("Both disks count again.")

    def _measure(self, name: str, killed_s: float, first_new_ms: float) -> Kill:
        ledger = self._load.ledger
        flying = ledger.in_flight(killed_s)
        longest_s = max((ack.ended_s - killed_s for ack in flying), default=0.0)
        return Kill(
            name=name,
            gap_ms=ledger.gap_ms(killed_s, killed_s + _AFTERMATH_S) or 0.0,
            first_new_ms=first_new_ms,
            in_flight=len(flying),
            in_flight_repeated=sum(ack.tries > 1 for ack in flying),
            in_flight_longest_ms=longest_s * 1000,
        )

    async def _wait_for_pair(self) -> None:
        await self._wait(self._paired, _PAIR_TIMEOUT_S, None, "makes a pair")

    async def _paired(self) -> bool:
        return all(one.facts.mode == "pair" for one in self.members) and any(
            one.facts.leads for one in self.members
        )

    async def _wait(
        self,
        condition: Callable[[], Awaitable[bool]],
        timeout_s: float,
        member: DemoMember | None,
        what: str,
    ) -> None:
        deadline_s = time.monotonic() + timeout_s
        concerned = self.members if member is None else [member]
        while not await condition():
            dead = next((one for one in concerned if not one.running), None)
            if dead is not None or time.monotonic() > deadline_s:
                who = dead or concerned[0]
                state = "ended" if dead else f"not within {timeout_s:.0f} s"
                raise StartFailed(
                    f"{who.name} never {what} ({state}); its log ends:\n"
                    f"{who.log_tail()}"
                )
            await asyncio.sleep(0.05)

    async def _verify(self) -> None:
        result, ledger = self.result, self._load.ledger
        if self._load.failure:
            result.problems.append(self._load.failure)
        hashes = []
        for member in self.members:
            client = EtcdClient(member.client_url, timeout_ms=20_000)
            lost = await missing(client, ledger)
            result.lost = max(result.lost, len(lost))
            if lost:
                result.problems.append(f"{member.name} lacks {lost[0].decode()}")
            hashes.append((await client.hash_kv()).hash)
            client.close()
        result.verified = True
        result.same_hash = len(set(hashes)) == 1
        if not result.same_hash:
            result.problems.append(f"the members' hashes differ: {hashes}")

    async def _tick(self) -> None:
        while True:
            await asyncio.gather(*(member.poll() for member in self.members))
            now_s = time.monotonic()
            self._view.show(
                Frame(
                    elapsed_s=now_s - self._started_s,
                    phase=self._phase,
                    writes_per_s=self._load.ledger.rate(now_s),
                    acknowledged=self._load.ledger.total,
                    witness_writes=self._witness_writes(),
                    members=tuple(
                        MemberLine(
                            one.name, one.running, one.facts.leads, one.facts.mode
                        )
                        for one in self.members
                    ),
                )
            )
            await asyncio.sleep(_TICK_S)

    def _witness_writes(self) -> int:
        """Versions after the first: one a takeover, none in steady state."""
        versions = [
            int(path.stem)
            for path in (self._folder / "witness").glob("*.st")
            if path.stem.isdecimal()
        ]
        return max(versions, default=1) - 1

    def _finish(self) -> None:
        result, ledger = self.result, self._load.ledger
        result.acknowledged, result.repeats = ledger.total, ledger.repeats
        result.witness_writes = self._witness_writes()
        result.seconds = time.monotonic() - self._started_s
        result.endpoints = tuple(one.client_url for one in self.members)
        if self._options.keep and result.ok:
            result.pids = tuple(
                one.process.pid for one in self.members if one.process is not None
            )
            return
        for member in self.members:
            member.stop()


def run_demo(options: Options, view: View) -> Result:
    """Run it in a temporary folder, which stays with ``keep`` or a problem."""
    folder = Path(tempfile.mkdtemp(prefix="twofold-demo-"))
    wanted = False
    try:
        result = asyncio.run(Demo(options, view, folder).run())
        wanted = options.keep or not result.ok
    finally:
        if not wanted:
            shutil.rmtree(folder, ignore_errors=True)
    if not wanted:
        result.folder = ""
    return result
