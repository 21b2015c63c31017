"""What applying a command gives; the member that took the request answers with it.

Bytes here are etcd's own encoding, complete but for the member's header.
"""

from __future__ import annotations

from typing import NamedTuple

from twofold.store.errors import ApplyRefused as ApplyRefused


class PutOutcome(NamedTuple):
    """``previous``: serialized mvccpb.KeyValue, if asked for and there was one."""

    revision: int
    previous: bytes | None


class DeleteOutcome(NamedTuple):
    """``previous``: serialized KeyValues, if asked for."""

    revision: int
    deleted: int
    previous: tuple[bytes, ...]


class TxnOutcome(NamedTuple):
    """``responses``: the encoded field 3 of TxnResponse, repeated, ready to join."""

    revision: int
    succeeded: bool
    responses: bytes


class CompactOutcome(NamedTuple):
    """The compaction is decided; removal goes on in the background."""

    revision: int


class LeaseGrantOutcome(NamedTuple):
    """The granted lease; ``ttl_s`` as raised to the minimum."""

    revision: int
    lease_id: int
    ttl_s: int


class LeaseRevokeOutcome(NamedTuple):
    """The lease is gone and so are its keys."""

    revision: int


class AlarmOutcome(NamedTuple):
    """Alarms that changed: (member id, alarm type)."""

    revision: int
    alarms: tuple[tuple[int, int], ...]


class AttributesOutcome(NamedTuple):
    """A member's name and client URLs are recorded."""

    revision: int


Outcome = (
    PutOutcome
    | DeleteOutcome
    | TxnOutcome
    | CompactOutcome
    | LeaseGrantOutcome
    | LeaseRevokeOutcome
    | AlarmOutcome
    | AttributesOutcome
)
