"""Clients of both members: what they ask, and what they were answered."""

from __future__ import annotations

import random

from twofold.base.errors import OutcomeUnknown, TwofoldError
from twofold.base.ids import MemberId
from twofold.member.facade import Stopping, TooManyRequests
from twofold.proto import kv_pb2, rpc_pb2
from twofold.store.apply.commands import Command, CommandKind
from twofold.store.apply.outcomes import (
    ApplyRefused,
    CompactOutcome,
    DeleteOutcome,
    LeaseGrantOutcome,
    PutOutcome,
    TxnOutcome,
)
from twofold.testing.sim.check import Operation, OperationKind
from twofold.testing.sim.marks import Marks
from twofold.testing.sim.member import Machine
from twofold.testing.sim.model import Expected, Ledger, Violation
from twofold.testing.sim.parts import MEMBERS
from twofold.testing.sim.time import VirtualTime

_KEYS = 4
_REQUEST_MS = 5_000
_TTL_S = 1
_CLOCK_ERROR = 0.95
"""Clocks differ by up to so much: see `World`."""


class Clients:
    """Sends requests to random members through the facade."""

    def __init__(
        self, time: VirtualTime, rng: random.Random, ledger: Ledger, marks: Marks
    ) -> None:
        self.machines: dict[MemberId, Machine] = {}
        self.operations: list[Operation] = []
        self.quiet = False
        self._time = time
        self._rng = rng
        self._ledger = ledger
        self._marks = marks
        self._values = 0
        self._known: dict[bytes, int] = {}
        self._leases: list[int] = []
        self._valid_until_us: dict[int, int] = {}
        ledger.on_command = self._committed

    def request(self) -> None:
        """Ask a random member for something."""
        machine = self.machines[self._rng.choice(MEMBERS)]
        if machine.member is None or machine.paused or self.quiet:
            return
        key = b"key%d" % self._rng.randrange(_KEYS)
        dice = self._rng.random()
        if dice < 0.4:
            self._read(machine, key)
        elif dice < 0.7:
            self._put(machine, key)
        elif dice < 0.85:
            self._swap(machine, key)
        elif dice < 0.92:
            request = rpc_pb2.DeleteRangeRequest(key=key)
            body = request.SerializeToString()
            self._propose(machine, key, CommandKind.DELETE_RANGE, body)
        elif dice < 0.95:
            self._grant(machine)
        elif dice < 0.97:
            revision = self._ledger.model.revision - self._rng.randrange(12)
            compaction = rpc_pb2.CompactionRequest(revision=max(1, revision))
            body = compaction.SerializeToString()
            self._propose(machine, key, CommandKind.COMPACT, body)
        else:
            self._keep_alive(machine)

    def renew(self) -> None:
        """Renew a random lease at a random member."""
        machine = self.machines[self._rng.choice(MEMBERS)]
        if not machine.paused and not self.quiet:
            self._keep_alive(machine)

    def expired(self, now_us: int, allowed_us: int) -> None:
        """Check that no lease outlives its last renewal for long.

        Raises:
            Violation: one does.
        """
        for lease_id in self._ledger.model.leases:
            if self._valid_until_us.get(lease_id, 0) + allowed_us < now_us:
                raise Violation(f"lease {lease_id} has not expired")

    # ---- requests

    def _value(self) -> bytes:
        self._values += 1
        return b"value%d" % self._values

    def _put(self, machine: Machine, key: bytes) -> None:
        lease = 0
        if self._leases and self._rng.random() < 0.3:
            lease = self._rng.choice(self._leases)
        request = rpc_pb2.PutRequest(key=key, value=self._value(), lease=lease)
        self._propose(machine, key, CommandKind.PUT, request.SerializeToString())

    def _swap(self, machine: Machine, key: bytes) -> None:
        compare = rpc_pb2.Compare(
            key=key,
            target=rpc_pb2.Compare.MOD,
            result=rpc_pb2.Compare.EQUAL,
            mod_revision=self._known.get(key, 0),
        )
        put = rpc_pb2.PutRequest(key=key, value=self._value())
        request = rpc_pb2.TxnRequest(
            compare=[compare], success=[rpc_pb2.RequestOp(request_put=put)]
        )
        self._propose(machine, key, CommandKind.TXN, request.SerializeToString())

    def _grant(self, machine: Machine) -> None:
        lease_id = self._rng.getrandbits(62) | 1
        request = rpc_pb2.LeaseGrantRequest(ID=lease_id, TTL=_TTL_S)
        body = request.SerializeToString()
        self._propose(machine, b"", CommandKind.LEASE_GRANT, body)

    def _propose(
        self, machine: Machine, key: bytes, kind: CommandKind, body: bytes
    ) -> None:
        member, proposals = machine.member, machine.proposals
        if member is None or proposals is None:
            return
        operation = self._begin(OperationKind.WRITE, machine, key)
        before = proposals.last_command
        member.propose(kind, body, lambda o: self._written(operation, o), _REQUEST_MS)
        if proposals.last_command != before:
            operation.command = proposals.last_command

    def _written(self, operation: Operation, outcome: object) -> None:
        match outcome:
            case (
                PutOutcome()
                | DeleteOutcome()
                | TxnOutcome()
                | LeaseGrantOutcome()
                | CompactOutcome()
            ):
                operation.revision = outcome.revision
                self._remember(operation, outcome)
            case ApplyRefused():
                operation.invalid = True
            case Stopping() | TooManyRequests():
                operation.refused = True
            case OutcomeUnknown():
                self._marks.unknown += 1
                return
            case _:
                raise Violation(f"{operation} was answered with {outcome!r}")
        operation.end_us = self._time.now_us
        self._marks.answered += 1

    def _remember(self, operation: Operation, outcome: object) -> None:
        match outcome:
            case PutOutcome():
                self._known[operation.key] = outcome.revision
            case DeleteOutcome():
                operation.fact = outcome.deleted
                self._known[operation.key] = 0
            case TxnOutcome():
                operation.fact = int(outcome.succeeded)
                self._marks.cas_failed += not outcome.succeeded
            case LeaseGrantOutcome():
                self._leases = [*self._leases[-5:], outcome.lease_id]
                self._prolong(outcome.lease_id, operation.start_us)

    def _read(self, machine: Machine, key: bytes) -> None:
        member = machine.member
        if member is None:
            return
        operation = self._begin(OperationKind.READ, machine, key)

        def confirmed(error: TwofoldError | None) -> None:
            if error is not None:
                self._marks.unknown += 1
                return
            found = member.store.range(key, b"").kvs
            kv = kv_pb2.KeyValue.FromString(found[0]) if found else None
            operation.value = kv.value if kv else None
            operation.revision = member.store.current_revision
            operation.end_us = self._time.now_us
            self._known[key] = kv.mod_revision if kv else 0
            self._marks.answered += 1

        member.confirm_read(confirmed, _REQUEST_MS)

    def _begin(self, kind: OperationKind, machine: Machine, key: bytes) -> Operation:
        operation = Operation(kind, machine.member_id, key, self._time.now_us)
        self.operations.append(operation)
        return operation

    # ---- leases

    def _keep_alive(self, machine: Machine) -> None:
        if machine.member is None or not self._leases:
            return
        lease_id = self._rng.choice(self._leases)
        start_us = self._time.now_us

        def done(ttl_s: int | TwofoldError) -> None:
            if isinstance(ttl_s, int) and ttl_s > 0:
                self._prolong(lease_id, start_us)

        machine.member.keep_alive(lease_id, done)

    def _prolong(self, lease_id: int, start_us: int) -> None:
        until_us = start_us + int(_TTL_S * 1_000_000 * _CLOCK_ERROR)
        former_us = self._valid_until_us.get(lease_id, 0)
        self._valid_until_us[lease_id] = max(former_us, until_us)

    def _committed(self, command: Command, expected: Expected) -> None:
        """A command was applied somewhere for the first time."""
        if command.kind is not CommandKind.LEASE_REVOKE or expected.refused:
            return
        lease_id = rpc_pb2.LeaseRevokeRequest.FromString(command.body).ID
        self._marks.leases_expired += 1
        if self._time.now_us < self._valid_until_us.get(lease_id, 0):
            raise Violation(f"lease {lease_id} expired before its time")
