"""The rules of claims as a member applies them, back-off and hold-down."""

from __future__ import annotations

from twofold.base.ids import MemberId
from twofold.raft.types import OwnerView, Position

BACKOFF_FIRST_MS = 100
BACKOFF_MAX_MS = 2_000
CLAIM_LOST_MS = 10_000
"""An answer that takes longer counts as "unreachable"."""

CALM_FACTOR = 10
"""A pair that held so many hold-downs did not flap."""


def is_owner(record: OwnerView, member_id: MemberId, incarnation: int) -> bool:
    """Whether the record names this very member, with this very disk."""
    return record.owner == member_id and record.owner_incarnation == incarnation


def may_lead_alone(
    record: OwnerView, member_id: MemberId, incarnation: int, last: Position
) -> bool:
    """Whether nothing can be committed that this member lacks (rule C2).

    Strictly beyond: at the record's own position the owner may have gone on
    alone after the entry that we hold.
    """
    return is_owner(record, member_id, incarnation) or last > record.position


def refusal(record: OwnerView, last: Position) -> str:
    """Why C2 says no, in words for people."""
    if record.owner == 0:
        return "nobody has led yet: the first election needs both members"
    return (
        f"member {record.owner:x} may hold acknowledged writes that this one"
        f" lacks: it owns {record.term}.{record.subterm}, our last entry is of"
        f" {last.term}.{last.subterm}; start that member"
    )


class Backoff:
    """Doubling pauses between tries at the witness."""

    __slots__ = ("_pause_ms", "until_ms")

    def __init__(self) -> None:
        """Start ready."""
        self._pause_ms = BACKOFF_FIRST_MS
        self.until_ms = 0

    def reset(self) -> None:
        """The next try may go at once."""
        self._pause_ms = BACKOFF_FIRST_MS
        self.until_ms = 0

    def fail(self, now_ms: int, jitter_ms: int) -> None:
        """Pause, longer each time."""
        self.until_ms = now_ms + self._pause_ms + jitter_ms
        self._pause_ms = min(self._pause_ms * 2, BACKOFF_MAX_MS)


class HoldDown:
    """How long the peer must be well before both disks count again.

    Entering solo costs a write at the witness and leaving it costs none, so
    this bounds the writes that a flapping link causes.
    """

    __slots__ = ("_base_ms", "_max_ms", "_reopened_ms", "current_ms")

    def __init__(self, base_ms: int, max_ms: int) -> None:
        """Start calm."""
        self._base_ms = base_ms
        self._max_ms = max_ms
        self._reopened_ms: int | None = None
        self.current_ms = base_ms

    def enter_solo(self, now_ms: int) -> None:
        """Double after a short pair, decay with the length of a long one."""
        if self._reopened_ms is None:
            return
        calm_ms = now_ms - self._reopened_ms
        if calm_ms < CALM_FACTOR * self.current_ms:
            self.current_ms = min(self.current_ms * 2, self._max_ms)
            return
        while self.current_ms > self._base_ms:
            calm_ms -= CALM_FACTOR * self.current_ms
            if calm_ms < 0:
                break
            self.current_ms = max(self.current_ms // 2, self._base_ms)

    def reopen(self, now_ms: int) -> None:
        """The pair is open again from now."""
        self._reopened_ms = now_ms
