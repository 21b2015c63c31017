"""What the state machine may ask of its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from twofold.base.errors import Failure

Pair = tuple[bytes, bytes]
CheckpointDone = Callable[[Failure | None], None]

KEY_MAP = b"key"
META_MAP = b"meta"
LEASE_MAP = b"lease"
MAPS = (KEY_MAP, META_MAP, LEASE_MAP)


class View(Protocol):
    """The durable maps at one moment, untouched by later checkpoints.

    May be used from one other thread than the one that made it.
    """

    def meta(self, name: str) -> bytes | None:
        """A meta value of that moment."""

    def scan(self, map_name: bytes) -> Iterator[Pair]:
        """Every pair of a map, in key order."""

    def close(self) -> None:
        """Let go of the moment; idempotent."""


class Backend(Protocol):
    """The three maps, with what is not yet durable already visible.

    Every method belongs to the loop's thread; only ``checkpoint`` calls back
    from another one.
    """

    def get(self, rev_key: bytes) -> bytes | None:
        """The stored KeyValue of a revision."""

    def get_many(self, rev_keys: Sequence[bytes]) -> list[bytes]:
        """The stored KeyValues, in the order asked.

        Raises:
            InvariantError: one of them is not there.
        """

    def put(self, rev_key: bytes, value: bytes) -> None:
        """Add a revision. Shape: revision keys ascend from call to call."""

    def delete(self, rev_key: bytes) -> None:
        """Remove a revision that is there."""

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        """Revisions in [start, stop), in order; do not change it meanwhile."""

    def meta(self, name: str) -> bytes | None:
        """A meta value."""

    def put_meta(self, name: str, value: bytes | None) -> None:
        """Set a meta value, or remove it by None."""

    def metas(self) -> dict[str, bytes]:
        """All meta values."""

    def put_lease(self, lease_key: bytes, value: bytes | None) -> None:
        """Record a lease, or remove it by None."""

    def leases(self) -> dict[bytes, bytes]:
        """All recorded leases."""

    def before_freeze(self, hook: Callable[[], None]) -> None:
        """Call ``hook`` before each checkpoint: the last chance to ``put_meta``."""

    @property
    def checkpointing(self) -> bool:
        """Whether a checkpoint is under way."""

    @property
    def pending_bytes(self) -> int:
        """About how much waits in memory for the next checkpoint."""

    def checkpoint(self, done: CheckpointDone) -> bool:
        """Make everything up to now durable, atomically.

        Cost: freezes here, writes and syncs in another thread; ``done`` runs
        there. After a failure nothing is lost: the next call tries again.

        Returns:
            False: one is under way already, and ``done`` will not be called.
        """

    def view(self) -> View:
        """The state of the last durable checkpoint, for copying it."""

    def size_bytes(self) -> int:
        """What the files take."""

    def in_use_bytes(self) -> int:
        """What the content takes, waiting changes included."""

    def close(self) -> None:
        """Wait for a running checkpoint, then close. Makes nothing durable."""
