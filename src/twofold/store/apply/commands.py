"""Commands: what one log entry of kind COMMANDS carries.

An entry holds a batch, in order. Each command has an id (origin, sequence) so
that the state machine applies it at most once, however often it was proposed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from twofold.base.errors import Failure


class CommandKind(IntEnum):
    """What the body is; the etcd kinds hold the client's serialized request."""

    PUT = 1
    DELETE_RANGE = 2
    TXN = 3
    COMPACT = 4
    LEASE_GRANT = 5
    """LeaseGrantRequest with the ID filled in (never 0) by the proposer."""
    LEASE_REVOKE = 6
    ALARM = 7
    """AlarmRequest, ACTIVATE or DEACTIVATE, member ID filled in."""
    MEMBER_ATTRIBUTES = 8
    """etcdserverpb.Member: a member publishes its name and client URLs."""


class Command(NamedTuple):
    """One command; ``origin`` names a boot of a member, ``sequence`` counts there."""

    origin: int
    sequence: int
    kind: CommandKind
    body: bytes


class Batch(NamedTuple):
    """A batch and, per origin in it, the lowest sequence still unanswered."""

    floors: tuple[tuple[int, int], ...]
    commands: tuple[Command, ...]


class BatchCorrupt(Failure):
    """A log entry's payload cannot be read: stop, never guess."""

    retry = False


_HEAD = struct.Struct("<BHI")
_FLOOR = struct.Struct("<QQ")
_COMMAND = struct.Struct("<QQBI")
_VERSION = 1


def pack(floors: Sequence[tuple[int, int]], commands: Sequence[Command]) -> bytes:
    """Encode a batch; layout in docs/formats/commands.md."""
    parts = [_HEAD.pack(_VERSION, len(floors), len(commands))]
    parts += [_FLOOR.pack(*floor) for floor in floors]
    for origin, sequence, kind, body in commands:
        parts.append(_COMMAND.pack(origin, sequence, kind, len(body)))
        parts.append(body)
    return b"".join(parts)


def unpack(data: bytes) -> Batch:
    """Decode what ``pack`` made.

    Raises:
        BatchCorrupt: the bytes are not a batch of this version.
    """
    try:
        version, floor_count, command_count = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise BatchCorrupt(f"batch version {version}, this program reads 1")
        at = _HEAD.size
        floors = []
        for _ in range(floor_count):
            floors.append(_FLOOR.unpack_from(data, at))
            at += _FLOOR.size
        commands = []
        for _ in range(command_count):
            origin, sequence, kind, size = _COMMAND.unpack_from(data, at)
            at += _COMMAND.size
            body = data[at : at + size]
            if len(body) != size:
                raise BatchCorrupt("batch ends inside a command")
            at += size
            commands.append(Command(origin, sequence, CommandKind(kind), body))
    except (struct.error, ValueError) as error:
        raise BatchCorrupt("not a batch of commands") from error
    if at != len(data):
        raise BatchCorrupt(f"{len(data) - at} bytes after the batch")
    return Batch(tuple(floors), tuple(commands))
