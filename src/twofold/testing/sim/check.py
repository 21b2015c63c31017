"""What must be true of a run's answers: linearizable, nothing lost, nothing twice.

Every answer has a revision, which is its place in the one order of the store.
So a history is linearizable when (1) each answer agrees with the model at its
revision and (2) real time agrees with that order. This is exact for a store
whose answers carry revisions, and linear in time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from twofold.testing.sim.model import CommandId, Ledger
from twofold.testing.sim.model import Violation as Violation


class OperationKind(Enum):
    """What a simulated client asks for."""

    WRITE = "write"
    READ = "read"


@dataclass(slots=True)
class Operation:
    """One client request; ``revision`` and ``end_us`` stay None if unanswered.

    ``value``: what a read saw (None: no such key). ``command``: a write's id in
    the log. ``fact``: see Expected. ``refused``: the answer was that it has no
    effect; ``invalid``: because the state machine says so.
    """

    kind: OperationKind
    member: int
    key: bytes
    start_us: int
    value: bytes | None = None
    command: CommandId | None = None
    end_us: int | None = None
    revision: int | None = None
    fact: int = 0
    refused: bool = False
    invalid: bool = False


def check_history(operations: Iterable[Operation], ledger: Ledger) -> None:
    """Check a whole run against the order that was committed.

    Raises:
        Violation: with the operation in question.
    """
    operations = list(operations)
    answered = [o for o in operations if o.end_us is not None and not o.refused]
    for operation in operations:
        if operation.kind is OperationKind.WRITE:
            _check_write(operation, ledger)
    for operation in answered:
        if operation.kind is OperationKind.READ:
            _check_read(operation, ledger)
    _check_real_time(answered, ledger)


def _check_write(operation: Operation, ledger: Ledger) -> None:
    if operation.end_us is None or operation.command is None:
        return
    expected = ledger.expected.get(operation.command)
    if operation.refused:
        if expected is not None:
            raise Violation(f"refused, and yet applied: {operation}, {expected}")
        return
    if expected is None:
        raise Violation(f"acknowledged write lost: {operation}")
    if operation.invalid != expected.refused:
        raise Violation(f"wrong answer: {operation}, not {expected}")
    if not operation.invalid and (operation.revision, operation.fact) != (
        expected.revision,
        expected.fact,
    ):
        raise Violation(f"wrong answer: {operation}, not {expected}")


def _check_read(operation: Operation, ledger: Ledger) -> None:
    revision = operation.revision or 0
    if revision > ledger.model.revision:
        raise Violation(f"read from the future: {operation}")
    newest = ledger.model.at(operation.key, revision)
    if newest != operation.value:
        raise Violation(f"stale or invented read: {operation}, not {newest!r}")


def _check_real_time(answered: Iterable[Operation], ledger: Ledger) -> None:
    """Whatever began after another ended stands after it in the order."""
    events: list[tuple[int, int, Operation]] = []
    for operation in answered:
        if operation.revision is None:
            continue
        events.append((operation.start_us, 0, operation))
        events.append((operation.end_us or 0, 1, operation))
    # At one instant ends come last: what touches may have been concurrent.
    events.sort(key=lambda event: event[:2])
    highest, floors = 0, dict[int, int]()
    for _, is_end, operation in events:
        revision = operation.revision or 0
        if not is_end:
            floors[id(operation)] = highest
            continue
        floor = floors[id(operation)]
        late = revision <= floor if _wrote(operation, ledger) else revision < floor
        if late:
            raise Violation(f"went back in time: {operation}, {floor} was visible")
        highest = max(highest, revision)


def _wrote(operation: Operation, ledger: Ledger) -> bool:
    if operation.command is None:
        return False
    return ledger.expected[operation.command].wrote
