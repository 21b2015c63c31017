"""What a member starts from: its log and its state machine, brought together."""

from __future__ import annotations

from dataclasses import replace

from twofold.base.errors import Failure
from twofold.base.ids import Index
from twofold.raft.types import Position, Restart
from twofold.store.wal.log import Wal


class DataNotWhole(Failure):
    """Log and state machine of a data directory do not belong together."""

    retry = False


def reconcile(
    wal: Wal, restart: Restart, applied: Index, position: Position
) -> Restart:
    """Give the restart for a state machine that stands at ``applied``.

    The state machine only ever holds what is committed. So where the log ends
    before it, or says otherwise there, a crash has cut the installation of a
    leader's snapshot in two, and the log's half is done now.

    Raises:
        DataNotWhole: entries between state machine and log are missing.
    """
    if applied < restart.snapshot_index:
        raise DataNotWhole(
            f"the state machine stands at {applied}, the log begins after"
            f" {restart.snapshot_index}: restore the whole data directory, or replace"
            " this member"
        )
    if _knows(restart, applied, position):
        return replace(restart, applied=applied)
    wal.mark(applied, position, reset=True)
    wal.sync()
    return Restart(restart.hard_state, applied, position, applied, ())


def _knows(restart: Restart, applied: Index, position: Position) -> bool:
    """Whether the log holds the entry that the state machine applied last."""
    if applied == restart.snapshot_index:
        return position == restart.snapshot or applied == 0
    offset = applied - restart.snapshot_index - 1
    if offset >= len(restart.entries):
        return False
    entry = restart.entries[offset]
    return (entry.term, entry.subterm) == tuple(position)
