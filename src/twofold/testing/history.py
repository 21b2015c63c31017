"""What clients did and were told, and whether that can be true.

`Workload` drives clients against members and records each operation; then
`check_linearizable` asks porcupine, `check_revisions` compares revisions with
real time, and `check_events` holds the acknowledged writes against the store's
own event history: none lost, none applied twice, none out of nowhere.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from twofold.proto import kv_pb2 as kv
from twofold.proto import rpc_pb2 as rpc
from twofold.testing.etcd_client import EtcdClient
from twofold.testing.processes import Member, required_binary

_PAUSE_AFTER_ERROR_S = 0.05
# The status text of a call that never left: its channel had no connection.
_NEVER_SENT = "failed to connect to all addresses"


@dataclass
class Operation:
    """One call; the fields are those of ``tests/peers/porcupine/model.go``."""

    client: int
    op: str
    key: str
    value: str = ""
    expect_mod: int = 0
    call_ns: int = 0
    return_ns: int = 0
    unknown: bool = False
    revision: int = 0
    succeeded: bool = False
    seen_found: bool = False
    seen_value: str = ""
    seen_mod: int = 0

    @property
    def acknowledged_write(self) -> bool:
        """If the client was told that this changed the store."""
        if self.unknown:
            return False
        held = self.op == "put" or (self.op == "cas" and self.succeeded)
        return held or (self.op == "delete" and self.seen_found)

    def see(self, found: Sequence[kv.KeyValue]) -> None:
        """Note what the key held."""
        for pair in found:
            self.seen_found = True
            self.seen_value = pair.value.decode()
            self.seen_mod = pair.mod_revision


@dataclass
class Workload:
    """Clients that put, get, compare-and-swap and delete a few keys.

    Shape: client ``n`` talks to member ``n`` modulo their number, and to no
    other; each value is written at most once. ``errors`` counts answers other
    than success by grpc status, reads and writes alike.
    """

    members: list[Member]
    clients: int = 12
    keys: int = 6
    seed: int = 1
    timeout_s: float = 10.0
    pause_s: float = 0.005
    operations: list[Operation] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Work until `stop`; every started operation is recorded."""
        await asyncio.gather(*(self._client(n) for n in range(self.clients)))

    def stop(self) -> None:
        """Let each client finish its current operation."""
        self._stopping.set()

    async def _client(self, number: int) -> None:
        dice = random.Random(self.seed * 1000 + number)  # noqa: S311 - replayable
        known: dict[str, int] = {}
        member = self.members[number % len(self.members)]
        async with EtcdClient.of(member) as client:
            count = 0
            while not self._stopping.is_set():
                count += 1
                operation = Operation(
                    client=number,
                    op=dice.choice(
                        ("put", "put", "get", "get", "cas", "cas", "delete")
                    ),
                    key=f"k{dice.randrange(self.keys)}",
                    value=f"{number}.{count}",
                )
                operation.expect_mod = known.get(operation.key, 0)
                if await self._perform(client, operation):
                    seen = operation.revision
                    if not operation.acknowledged_write:
                        seen = operation.seen_mod
                    gone = operation.op == "delete"
                    known[operation.key] = 0 if gone else seen
                    await asyncio.sleep(self.pause_s * dice.random())
                else:
                    await asyncio.sleep(_PAUSE_AFTER_ERROR_S)

    async def _perform(self, client: EtcdClient, operation: Operation) -> bool:
        operation.call_ns = time.monotonic_ns()
        try:
            await perform(client, operation, self.timeout_s)
        except grpc.aio.AioRpcError as error:
            operation.return_ns = time.monotonic_ns()
            name = f"{error.code().name}: {error.details()}"
            self.errors[name] = self.errors.get(name, 0) + 1
            if not (error.details() or "").startswith(_NEVER_SENT):
                operation.unknown = True
                self.operations.append(operation)
            return False
        operation.return_ns = time.monotonic_ns()
        self.operations.append(operation)
        return True


async def perform(client: EtcdClient, operation: Operation, timeout_s: float) -> None:
    """Carry one operation out and note the answer.

    Raises:
        grpc.aio.AioRpcError: no answer, or a refusal.
    """
    key, value = operation.key.encode(), operation.value.encode()
    match operation.op:
        case "put":
            put = await client.put(key, value, prev_kv=True, timeout_s=timeout_s)
            operation.revision = put.header.revision
            operation.see([put.prev_kv] if put.HasField("prev_kv") else [])
        case "get":
            got = await client.get(key, timeout_s=timeout_s)
            operation.revision = got.header.revision
            operation.see(got.kvs)
        case "cas":
            expected = operation.expect_mod
            swapped = await client.swap(key, value, expected, timeout_s=timeout_s)
            operation.revision = swapped.header.revision
            operation.succeeded = swapped.succeeded
            if not swapped.succeeded:
                operation.see(swapped.responses[0].response_range.kvs)
        case "delete":
            deleted = await client.delete(key, prev_kv=True, timeout_s=timeout_s)
            operation.revision = deleted.header.revision
            operation.see(deleted.prev_kvs)


def write_history(operations: Sequence[Operation], path: Path) -> None:
    """Write JSON lines, one an operation."""
    lines = (json.dumps(asdict(operation)) for operation in operations)
    path.write_text("".join(f"{line}\n" for line in lines))


def check_linearizable(history: Path, timeout_s: int = 60) -> str:
    """Porcupine's verdict: ``Ok``, or what is wrong and where the picture is."""
    picture = history.with_suffix(".html")
    flags = ["-timeout", f"{timeout_s}s", "-visualize", str(picture)]
    command = [required_binary("porcupine-check"), *flags, str(history)]
    done = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return "Ok"
    return f"{done.stdout.strip()}{done.stderr.strip()} ({history}, {picture})"


def check_revisions(operations: Sequence[Operation]) -> list[str]:
    """What contradicts real time across keys.

    An operation that began after another had ended cannot be told an older
    revision, and a write's must be newer. Source: etcd's API guarantees.
    """
    faults = []
    answered = [operation for operation in operations if not operation.unknown]
    ended = sorted(answered, key=lambda operation: operation.return_ns)
    newest, position = 0, 0
    for operation in sorted(answered, key=lambda operation: operation.call_ns):
        while position < len(ended) and ended[position].return_ns < operation.call_ns:
            newest = max(newest, ended[position].revision)
            position += 1
        floor = newest + 1 if operation.acknowledged_write else newest
        if operation.revision < floor:
            faults.append(f"revision {newest} was known before {operation}")
    return faults


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One change as the store's watch history tells it; a delete has no value."""

    revision: int
    key: str
    value: str | None


async def read_events(member: Member, until: int) -> list[StoredEvent]:
    """Every change from the first revision to ``until``, as a watch tells it."""
    events: list[StoredEvent] = []
    if until < 2:
        return events
    async with EtcdClient.of(member) as client:
        watch = client.watch(b"\0", b"\0", start_revision=1, timeout_s=60.0)
        async for reply in watch:
            events += [_stored(event) for event in reply.events]
            if events and events[-1].revision >= until:
                break
        await watch.aclose()
    return [event for event in events if event.revision <= until]


def _stored(event: kv.Event) -> StoredEvent:
    deleted = event.type == kv.Event.DELETE
    value = None if deleted else event.kv.value.decode(errors="replace")
    return StoredEvent(event.kv.mod_revision, event.kv.key.decode(), value)


def check_events(
    operations: Sequence[Operation], events: Sequence[StoredEvent]
) -> list[str]:
    """Which acknowledged writes are missing, and which writes happened twice."""
    faults = []
    stored = set(events)
    sent = {
        (operation.key, operation.value)
        for operation in operations
        if operation.op in ("put", "cas")
    }
    for operation in operations:
        if operation.acknowledged_write:
            value = None if operation.op == "delete" else operation.value
            if StoredEvent(operation.revision, operation.key, value) not in stored:
                faults.append(f"lost: {operation}")
    applied: dict[tuple[str, str], int] = {}
    for event in events:
        if event.value is None:
            continue
        written = (event.key, event.value)
        if written in applied:
            faults.append(f"applied twice: {event}, first at {applied[written]}")
        if written not in sent:
            faults.append(f"nobody wrote: {event}")
        applied[written] = event.revision
    return faults


async def equal_hashes(members: Sequence[Member]) -> tuple[bool, str]:
    """If all members hold the same key space at their common revision."""
    statuses: list[rpc.StatusResponse] = []
    for member in members:
        async with EtcdClient.of(member) as client:
            statuses.append(await client.status())
    revision = min(status.header.revision for status in statuses)
    told = {}
    for member in members:
        async with EtcdClient.of(member) as client:
            answer = await client.hash_kv(revision)
            told[member.name] = (answer.hash, answer.compact_revision)
    return len(set(told.values())) == 1, f"at revision {revision}: {told}"
