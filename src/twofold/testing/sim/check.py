"""What must be true of a run: linearizable, nothing lost, nothing twice.

Every write has a revision, which is its place in the one order of the store.
So a history is linearizable when (1) each answered operation agrees with the
final order at its own revision and (2) real time agrees with that order. This
is exact for a store whose answers carry revisions, and linear in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from twofold.base.errors import TwofoldError


class OperationKind(Enum):
    """What a simulated client asks for."""

    WRITE = "write"
    READ = "read"


@dataclass(slots=True)
class Operation:
    """One client request; ``revision`` and ``end_us`` stay None if unanswered.

    ``value``: what was written, or what a read saw (None: no such key).
    """

    kind: OperationKind
    member: int
    key: bytes
    value: bytes | None
    start_us: int
    end_us: int | None = None
    revision: int | None = None
    refused: bool = False


class Violation(TwofoldError):
    """A promise was broken; the message says which, and by which operation."""


FinalHistory = Mapping[int, tuple[bytes, bytes]]
"""Revision -> (key, value), of every write that took effect."""


def check_history(operations: Iterable[Operation], final: FinalHistory) -> None:
    """Check a whole run against the order that the members agree on.

    Raises:
        Violation: with the operation in question.
    """
    answered = [o for o in operations if o.end_us is not None and not o.refused]
    _check_writes(answered, final)
    _check_once(operations, final)
    _check_reads(answered, final)
    _check_real_time(answered)


def _check_writes(answered: Iterable[Operation], final: FinalHistory) -> None:
    for operation in answered:
        if operation.kind is OperationKind.WRITE:
            assert_revision = operation.revision or 0
            found = final.get(assert_revision)
            if found != (operation.key, operation.value):
                raise Violation(f"acknowledged write lost: {operation}, found {found}")


def _check_once(operations: Iterable[Operation], final: FinalHistory) -> None:
    seen: set[bytes] = set()
    for _, value in final.values():
        if value in seen:
            raise Violation(f"applied twice: {value!r}")
        seen.add(value)
    for operation in operations:
        if operation.refused and _writes(operation) and operation.value in seen:
            raise Violation(f"refused, and yet applied: {operation}")


def _check_reads(answered: Iterable[Operation], final: FinalHistory) -> None:
    """Each read saw the newest write of its key at its revision."""
    by_key: dict[bytes, list[tuple[int, bytes]]] = {}
    for revision in sorted(final):
        key, value = final[revision]
        by_key.setdefault(key, []).append((revision, value))
    for operation in answered:
        if operation.kind is not OperationKind.READ:
            continue
        newest: bytes | None = None
        for revision, value in by_key.get(operation.key, ()):
            if revision > (operation.revision or 0):
                break
            newest = value
        if newest != operation.value:
            raise Violation(f"stale or invented read: {operation}, not {newest!r}")


def _check_real_time(answered: Iterable[Operation]) -> None:
    """Whatever began after another ended stands after it in the order."""
    events: list[tuple[int, int, Operation]] = []
    for operation in answered:
        events.append((operation.start_us, 0, operation))
        events.append((operation.end_us or 0, 1, operation))
    events.sort(key=lambda event: event[:2])
    highest, floors = 0, dict[int, int]()
    for _, is_end, operation in events:
        revision = operation.revision or 0
        if not is_end:
            floors[id(operation)] = highest
            continue
        floor = floors[id(operation)]
        late = revision <= floor if _writes(operation) else revision < floor
        if late:
            raise Violation(f"went back in time: {operation}, {floor} was visible")
        highest = max(highest, revision)


def _writes(operation: Operation) -> bool:
    return operation.kind is OperationKind.WRITE
