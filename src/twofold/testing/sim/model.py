"""The order that was committed, and what a plain store makes of it.

The ledger sees each entry that any member applies. The model runs the commands
in that order on its own dicts: what the members answer must be what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twofold.base.errors import InvariantError, TwofoldError
from twofold.base.ids import MemberId
from twofold.proto import rpc_pb2
from twofold.raft.types import Entry, EntryKind
from twofold.store.apply.applier import Applied, Applier
from twofold.store.apply.commands import Command, CommandKind, unpack
from twofold.store.apply.outcomes import ApplyRefused, DeleteOutcome, TxnOutcome

CommandId = tuple[int, int]


class Violation(TwofoldError):
    """A promise was broken; the message says which, and by what."""


class Change(NamedTuple):
    """One event: ``value`` None is a delete."""

    key: bytes
    value: bytes | None


class Expected(NamedTuple):
    """What a command must have given. ``wrote``: it made a revision."""

    revision: int
    wrote: bool
    refused: bool = False
    fact: int = 0
    """Keys deleted, or 1 for a transaction that succeeded."""


class Model:
    """A store of a few dicts: every revision's changes, whatever is compacted."""

    def __init__(self) -> None:
        self.revision = 1
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.changes: dict[int, tuple[Change, ...]] = {}
        self.versions: dict[bytes, list[tuple[int, bytes | None]]] = {}
        self.leases: dict[int, int] = {}
        self.compacted = -1
        self._lease_of: dict[bytes, int] = {}

    def run(self, command: Command) -> Expected | None:
        """Carry out a command; None if it is none of the store's."""
        body = command.body
        match command.kind:
            case CommandKind.PUT:
                return self._put(rpc_pb2.PutRequest.FromString(body))
            case CommandKind.DELETE_RANGE:
                key = rpc_pb2.DeleteRangeRequest.FromString(body).key
                deleted = self._delete([key])
                return Expected(self.revision, deleted > 0, fact=deleted)
            case CommandKind.TXN:
                return self._txn(rpc_pb2.TxnRequest.FromString(body))
            case CommandKind.LEASE_GRANT:
                grant = rpc_pb2.LeaseGrantRequest.FromString(body)
                if grant.ID in self.leases:
                    return Expected(self.revision, False, refused=True)
                self.leases[grant.ID] = grant.TTL
                return Expected(self.revision, False)
            case CommandKind.LEASE_REVOKE:
                return self._revoke(rpc_pb2.LeaseRevokeRequest.FromString(body).ID)
            case CommandKind.COMPACT:
                revision = rpc_pb2.CompactionRequest.FromString(body).revision
                refused = not self.compacted < revision <= self.revision
                if not refused:
                    self.compacted = revision
                return Expected(self.revision, False, refused)
            case _:
                return None

    def _put(self, request: rpc_pb2.PutRequest) -> Expected:
        if request.lease and request.lease not in self.leases:
            return Expected(self.revision, False, refused=True)
        self._write([Change(request.key, request.value)])
        self._lease_of.pop(request.key, None)
        if request.lease:
            self._lease_of[request.key] = request.lease
        return Expected(self.revision, True)

    def _txn(self, request: rpc_pb2.TxnRequest) -> Expected:
        compare = request.compare[0]
        _, mod_revision = self.values.get(compare.key, (b"", 0))
        if mod_revision != compare.mod_revision:
            return Expected(self.revision, False)
        return self._put(request.success[0].request_put)._replace(fact=1)

    def _revoke(self, lease_id: int) -> Expected:
        if self.leases.pop(lease_id, None) is None:
            return Expected(self.revision, False, refused=True)
        keys = sorted(k for k, lease in self._lease_of.items() if lease == lease_id)
        return Expected(self.revision + bool(keys), self._delete(keys) > 0)

    def _delete(self, keys: Sequence[bytes]) -> int:
        found = [key for key in keys if key in self.values]
        if found:
            self._write([Change(key, None) for key in found])
        return len(found)

    def _write(self, changes: list[Change]) -> None:
        self.revision = revision = self.revision + 1
        self.changes[revision] = tuple(changes)
        for key, value in changes:
            self.versions.setdefault(key, []).append((revision, value))
            if value is None:
                del self.values[key]
                self._lease_of.pop(key, None)
            else:
                self.values[key] = (value, revision)

    def at(self, key: bytes, revision: int) -> bytes | None:
        """The value that a read of ``revision`` must see."""
        newest: bytes | None = None
        for version, value in self.versions.get(key, ()):
            if version > revision:
                break
            newest = value
        return newest


class Ledger:
    """All that was ever applied, by whom it was applied first."""

    def __init__(self) -> None:
        self.model = Model()
        self.entries: list[Entry] = []
        self.expected: dict[CommandId, Expected] = {}
        self.on_command: Callable[[Command, Expected], None] = lambda _c, _e: None
        self._results: list[list[tuple[Command, object]]] = []
        self._floors: dict[int, int] = {}

    def applied(
        self, member: MemberId, entry: Entry, results: Sequence[Applied]
    ) -> None:
        """A member has applied ``entry``.

        Raises:
            Violation: another entry, or another outcome, stands there already.
        """
        at = entry.index - 1
        plain = [(command, _plain(outcome)) for command, outcome in results]
        if at < len(self.entries):
            if self.entries[at] != entry:
                raise Violation(
                    f"{member} applies another entry: {entry}, not {self.entries[at]}"
                )
            if self._results[at] != plain:
                raise Violation(
                    f"{member} computes another outcome at {entry.index}:"
                    f" {plain}, not {self._results[at]}"
                )
            return
        if at != len(self.entries):
            raise InvariantError("entries are applied in order")
        self.entries.append(entry)
        self._results.append(plain)
        self._compare(entry, results)

    def _compare(self, entry: Entry, results: Sequence[Applied]) -> None:
        wanted = []
        if entry.kind is EntryKind.COMMANDS:
            batch = unpack(entry.data)
            for origin, floor in batch.floors:
                self._floors[origin] = max(floor, self._floors.get(origin, 0))
            for command in batch.commands:
                identity = command.origin, command.sequence
                known = identity in self.expected
                if known or command.sequence < self._floors.get(command.origin, 0):
                    continue
                expected = self.model.run(command)
                self.expected[identity] = expected or Expected(0, False)
                wanted.append((command, expected))
        if [command for command, _ in results] != [command for command, _ in wanted]:
            raise Violation(
                f"applied twice or not at all at {entry.index}: {results}, not {wanted}"
            )
        for (command, outcome), (_, expected) in zip(results, wanted, strict=True):
            if expected is not None:
                _agree(command, outcome, expected)
                self.on_command(command, expected)


def _agree(command: Command, outcome: object, expected: Expected) -> None:
    refused = isinstance(outcome, ApplyRefused)
    fact = expected.fact
    if isinstance(outcome, TxnOutcome):
        fact = int(outcome.succeeded)
    elif isinstance(outcome, DeleteOutcome):
        fact = outcome.deleted
    revision = getattr(outcome, "revision", expected.revision)
    if (refused, fact, revision) != (
        expected.refused,
        expected.fact,
        expected.revision,
    ):
        raise Violation(f"wrong outcome: {command} gave {outcome}, not {expected}")


def _plain(outcome: object) -> object:
    return str(outcome) if isinstance(outcome, ApplyRefused) else outcome


class SimApplier(Applier):
    """The applier; what it applies goes into the ledger."""

    on_entry: Callable[[Entry, Sequence[Applied]], None] = staticmethod(
        lambda _entry, _results: None
    )

    def apply(self, entry: Entry) -> list[Applied]:
        """See Applier."""
        results = super().apply(entry)
        self.on_entry(entry, results)
        return results
