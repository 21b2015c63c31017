"""Commands in, outcomes out; a restart plus the log equals never stopping."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, Subterm, Term
from twofold.proto import rpc_pb2
from twofold.raft.types import Entry, EntryKind, Position
from twofold.store.apply.applier import Applier
from twofold.store.apply.commands import BatchCorrupt, Command, CommandKind, pack
from twofold.store.apply.outcomes import (
    AlarmOutcome,
    ApplyRefused,
    AttributesOutcome,
    CompactOutcome,
    DeleteOutcome,
    LeaseGrantOutcome,
    LeaseRevokeOutcome,
    Outcome,
    PutOutcome,
    TxnOutcome,
)
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.backend.memory import MemoryBackend

ORIGIN = 7


class Log:
    """Makes entries, one command each unless told otherwise."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.sequence = 0

    def command(self, kind: CommandKind, body: bytes) -> Command:
        self.sequence += 1
        return Command(ORIGIN, self.sequence, kind, body)

    def entry(self, *commands: Command, floor: int = 1) -> Entry:
        data = pack([(ORIGIN, floor)], commands)
        index = len(self.entries) + 1
        kind = EntryKind.COMMANDS if commands else EntryKind.EMPTY
        entry = Entry(Index(index), Term(1), Subterm(0), kind, data)
        self.entries.append(entry)
        return entry


class Machine:
    """An applier fed one command after the other."""

    def __init__(self, backend: MemoryBackend | None = None) -> None:
        self.backend = backend or MemoryBackend()
        self.applier = Applier(self.backend)
        self.log = Log()

    def apply(self, kind: CommandKind, body: bytes) -> Outcome | str:
        entry = self.log.entry(self.log.command(kind, body))
        ((_, outcome),) = self.applier.apply(entry)
        return outcome.error if isinstance(outcome, ApplyRefused) else outcome

    def put(self, key: bytes, value: bytes = b"v", lease: int = 0) -> Outcome | str:
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease)
        return self.apply(CommandKind.PUT, request.SerializeToString())

    def alarm(self, action: int, kind: int, member_id: int = 1) -> Outcome | str:
        request = rpc_pb2.AlarmRequest(
            action=action,  # type: ignore[arg-type]
            memberID=member_id,
            alarm=kind,  # type: ignore[arg-type]
        )
        return self.apply(CommandKind.ALARM, request.SerializeToString())

    def grant(self, lease_id: int, ttl_s: int = 60) -> Outcome | str:
        request = rpc_pb2.LeaseGrantRequest(ID=lease_id, TTL=ttl_s)
        return self.apply(CommandKind.LEASE_GRANT, request.SerializeToString())


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_every_kind_has_its_outcome(machine: Machine) -> None:
    assert machine.put(b"k") == PutOutcome(2, None)
    assert machine.grant(9, 1) == LeaseGrantOutcome(2, 9, 2)
    assert machine.put(b"leased", lease=9) == PutOutcome(3, None)
    txn = rpc_pb2.TxnRequest(
        success=[rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"t", lease=9))]
    ).SerializeToString()
    outcome = machine.apply(CommandKind.TXN, txn)
    assert isinstance(outcome, TxnOutcome)
    assert (outcome.revision, outcome.succeeded) == (4, True)
    delete = rpc_pb2.DeleteRangeRequest(key=b"k", prev_kv=True).SerializeToString()
    outcome = machine.apply(CommandKind.DELETE_RANGE, delete)
    assert isinstance(outcome, DeleteOutcome)
    assert (outcome.revision, outcome.deleted, len(outcome.previous)) == (5, 1, 1)
    revoke = rpc_pb2.LeaseRevokeRequest(ID=9).SerializeToString()
    assert machine.apply(CommandKind.LEASE_REVOKE, revoke) == LeaseRevokeOutcome(6)
    assert machine.apply(CommandKind.LEASE_REVOKE, revoke) == "LEASE_NOT_FOUND"
    assert machine.applier.store.range(b"\0", b"\0").count == 0
    compact = rpc_pb2.CompactionRequest(revision=5).SerializeToString()
    assert machine.apply(CommandKind.COMPACT, compact) == CompactOutcome(6)
    assert machine.apply(CommandKind.COMPACT, compact) == "COMPACTED"
    member = rpc_pb2.Member(ID=1, name="a", clientURLs=["u"]).SerializeToString()
    assert machine.apply(CommandKind.MEMBER_ATTRIBUTES, member) == AttributesOutcome(6)
    assert machine.applier.member_attributes() == {1: member}


def test_a_revoke_deletes_all_keys_in_one_revision(machine: Machine) -> None:
    machine.grant(9)
    for key in (b"b", b"a", b"c"):
        machine.put(key, lease=9)
    machine.put(b"b")  # Without a lease: it lets go.
    before = machine.applier.store.current_revision
    revoke = rpc_pb2.LeaseRevokeRequest(ID=9).SerializeToString()
    outcome = machine.apply(CommandKind.LEASE_REVOKE, revoke)
    assert outcome == LeaseRevokeOutcome(before + 1)
    left = machine.applier.store.range(b"\0", b"\0")
    assert left.count == 1
    machine.grant(10)
    revoke = rpc_pb2.LeaseRevokeRequest(ID=10).SerializeToString()
    outcome = machine.apply(CommandKind.LEASE_REVOKE, revoke)
    assert outcome == LeaseRevokeOutcome(before + 1)


def test_entries_come_in_order(machine: Machine) -> None:
    entry = machine.log.entry()
    assert machine.applier.apply(entry) == []
    assert machine.applier.applied_index == 1
    assert machine.applier.position == Position(Term(1), Subterm(0))
    with pytest.raises(InvariantError):
        machine.applier.apply(entry)
    machine.log.entry()
    with pytest.raises(InvariantError):
        machine.applier.apply(machine.log.entry())


def test_a_repeated_command_is_left_out(machine: Machine) -> None:
    put = rpc_pb2.PutRequest(key=b"k", value=b"v").SerializeToString()
    first = machine.log.command(CommandKind.PUT, put)
    second = machine.log.command(CommandKind.PUT, put)
    third = machine.log.command(CommandKind.PUT, put)
    apply = machine.applier.apply
    assert len(apply(machine.log.entry(first, third))) == 2
    assert [c for c, _ in apply(machine.log.entry(first, second))] == [second]
    assert apply(machine.log.entry(second, third, floor=4)) == []
    assert machine.applier.store.current_revision == 4


def test_a_refused_command_is_not_tried_again(machine: Machine) -> None:
    put = rpc_pb2.PutRequest(key=b"k", lease=9).SerializeToString()
    command = machine.log.command(CommandKind.PUT, put)
    ((_, outcome),) = machine.applier.apply(machine.log.entry(command))
    assert isinstance(outcome, ApplyRefused)
    machine.grant(9)
    assert machine.applier.apply(machine.log.entry(command)) == []


def test_what_cannot_be_read_stops_the_program(machine: Machine) -> None:
    command = machine.log.command(CommandKind.PUT, b"\xff\xff")
    with pytest.raises(BatchCorrupt):
        machine.applier.apply(machine.log.entry(command))


def test_without_space_puts_are_refused_and_deletes_are_not(machine: Machine) -> None:
    activate, deactivate = (
        rpc_pb2.AlarmRequest.ACTIVATE,
        rpc_pb2.AlarmRequest.DEACTIVATE,
    )
    machine.put(b"k")
    assert machine.alarm(activate, rpc_pb2.NOSPACE) == AlarmOutcome(2, ((1, 1),))
    assert machine.applier.alarms() == ((1, 1),)
    assert machine.put(b"x") == "NO_SPACE"
    assert machine.grant(9) == "NO_SPACE"
    put = rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"x"))
    txn = rpc_pb2.TxnRequest(failure=[put]).SerializeToString()
    assert machine.apply(CommandKind.TXN, txn) == "NO_SPACE"
    delete = rpc_pb2.RequestOp(
        request_delete_range=rpc_pb2.DeleteRangeRequest(key=b"k")
    )
    txn = rpc_pb2.TxnRequest(success=[delete]).SerializeToString()
    assert isinstance(machine.apply(CommandKind.TXN, txn), TxnOutcome)
    assert machine.alarm(deactivate, rpc_pb2.CORRUPT) == AlarmOutcome(3, ())
    assert machine.alarm(deactivate, rpc_pb2.NOSPACE, 2) == AlarmOutcome(3, ())
    assert machine.alarm(deactivate, rpc_pb2.NOSPACE) == AlarmOutcome(3, ((1, 1),))
    assert machine.put(b"x") == PutOutcome(4, None)


def test_a_corrupt_cluster_takes_no_changes(machine: Machine) -> None:
    machine.alarm(rpc_pb2.AlarmRequest.ACTIVATE, rpc_pb2.CORRUPT)
    assert machine.put(b"k") == "CORRUPT"
    compact = rpc_pb2.CompactionRequest(revision=1).SerializeToString()
    assert machine.apply(CommandKind.COMPACT, compact) == "CORRUPT"


# ---- restarts


def random_entry(log: Log, chance: random.Random) -> Entry:
    commands = []
    for _ in range(chance.randrange(4)):
        dice = chance.random()
        key = b"%d" % chance.randrange(9)
        lease = chance.choice([0, 0, 1, 2, 3])
        put = rpc_pb2.PutRequest(key=key, value=b"%d" % log.sequence, lease=lease)
        if dice < 0.5:
            kind, body = CommandKind.PUT, put.SerializeToString()
        elif dice < 0.65:
            request = rpc_pb2.DeleteRangeRequest(
                key=key, range_end=chance.choice([b"", b"9"])
            )
            kind, body = CommandKind.DELETE_RANGE, request.SerializeToString()
        elif dice < 0.75:
            grant = rpc_pb2.LeaseGrantRequest(ID=chance.randrange(1, 4), TTL=60)
            kind, body = CommandKind.LEASE_GRANT, grant.SerializeToString()
        elif dice < 0.8:
            revoke = rpc_pb2.LeaseRevokeRequest(ID=chance.randrange(1, 4))
            kind, body = CommandKind.LEASE_REVOKE, revoke.SerializeToString()
        elif dice < 0.85:
            compact = rpc_pb2.CompactionRequest(
                revision=chance.randrange(log.sequence + 2)
            )
            kind, body = CommandKind.COMPACT, compact.SerializeToString()
        else:
            compare = rpc_pb2.Compare(
                key=key, target=rpc_pb2.Compare.VERSION, version=chance.randrange(3)
            )
            other = rpc_pb2.PutRequest(key=b"t" + key, value=b"x")
            txn = rpc_pb2.TxnRequest(
                compare=[compare],
                success=[
                    rpc_pb2.RequestOp(request_put=put),
                    rpc_pb2.RequestOp(request_put=other),
                ],
            )
            kind, body = CommandKind.TXN, txn.SerializeToString()
        commands.append(log.command(kind, body))
        if chance.random() < 0.1:
            commands.append(chance.choice(commands))
    return log.entry(*commands, floor=max(1, log.sequence - 8))


def state(applier: Applier) -> tuple[object, ...]:
    store = applier.store
    lessor = applier.lessor
    return (
        applier.applied_index,
        applier.position,
        store.current_revision,
        store.compact_revision,
        store.hash_kv(),
        store.range(b"\0", b"\0"),
        sorted((lease, ttl, lessor.keys_of(lease)) for lease, ttl in lessor.leases()),
        applier.alarms(),
        applier.member_attributes(),
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_at_any_time_equals_never_stopping(seed: int) -> None:
    chance = random.Random(seed)
    log = Log()
    steady = Applier(MemoryBackend())
    backend = MemoryBackend(deferred=True)
    crashing = Applier(backend)
    for _ in range(80):
        entry = random_entry(log, chance)
        expected = [(c, str(o)) for c, o in steady.apply(entry)]
        assert [(c, str(o)) for c, o in crashing.apply(entry)] == expected
        dice = chance.random()
        if dice < 0.2:
            backend.checkpoint(lambda _failure: None)
        elif dice < 0.4:
            backend.finish()
        elif dice < 0.5:
            crashing.store.compact_step(chance.randrange(1, 6))
        elif dice < 0.6:
            steady.store.compact_step(chance.randrange(1, 6))
        elif dice < 0.75:
            backend = MemoryBackend(backend.disk, deferred=True)
            crashing = Applier(backend)
            for old in log.entries[crashing.applied_index :]:
                crashing.apply(old)
        assert state(crashing) == state(steady)


def test_a_reopened_directory_equals_the_replay(tmp_path: Path) -> None:
    chance = random.Random(1)
    log = Log()
    steady = Applier(MemoryBackend())
    backend = LmdbBackend(tmp_path / "state")
    crashing = Applier(backend)
    for round_ in range(60):
        entry = random_entry(log, chance)
        steady.apply(entry)
        crashing.apply(entry)
        if round_ % 7 == 0:
            backend.checkpoint(lambda _failure: None)
        if round_ % 20 == 19:
            backend.close()
            backend = LmdbBackend(tmp_path / "state")
            crashing = Applier(backend)
            for old in log.entries[crashing.applied_index :]:
                crashing.apply(old)
        assert state(crashing) == state(steady)
    backend.close()
