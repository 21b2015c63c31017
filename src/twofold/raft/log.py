"""The log in memory: what follows the snapshot, and how far it is durable."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.base.ids import Index, Term
from twofold.base.invariant import check
from twofold.raft.types import Entry, Position


class Log:
    """Entries in a list; the entry ``i`` sits at ``i - snapshot_index - 1``.

    ``persisted`` is the highest index known to be on our disk; it falls when
    entries are replaced and only rises through ``persist``.
    """

    __slots__ = (
        "_entries",
        "last_index",
        "last_position",
        "persisted",
        "snapshot",
        "snapshot_index",
    )

    def __init__(
        self, snapshot_index: Index, snapshot: Position, entries: Sequence[Entry]
    ) -> None:
        """Start from what was durable."""
        self.snapshot_index = snapshot_index
        self.snapshot = snapshot
        self._entries: list[Entry] = list(entries)
        if entries:
            check(entries[0].index == snapshot_index + 1, "the log has no gap")
        self.last_index = snapshot_index
        self.last_position = snapshot
        self._set_last()
        self.persisted = self.last_index

    def _set_last(self) -> None:
        if self._entries:
            last = self._entries[-1]
            self.last_index = last.index
            self.last_position = Position(last.term, last.subterm)
        else:
            self.last_index = self.snapshot_index
            self.last_position = self.snapshot

    def term_at(self, index: int) -> Term | None:
        """The term of the entry at ``index``; None if it is not here."""
        offset = index - self.snapshot_index - 1
        if 0 <= offset < len(self._entries):
            return self._entries[offset].term
        return self.snapshot.term if offset == -1 else None

    def append(self, entries: Sequence[Entry]) -> None:
        """Add ``entries`` behind the last one."""
        first, last = entries[0], entries[-1]
        check(first.index == self.last_index + 1, "the log has no gap")
        self._entries.extend(entries)
        self.last_index = last.index
        if last.subterm != self.last_position[1] or last.term != self.last_position[0]:
            self.last_position = Position(last.term, last.subterm)

    def cut(self, first: int) -> None:
        """Forget everything from index ``first`` on."""
        del self._entries[first - self.snapshot_index - 1 :]
        self._set_last()
        self.persisted = min(self.persisted, self.last_index)

    def persist(self, index: Index, term: Term) -> bool:
        """Note a finished sync; False when the entry was replaced meanwhile."""
        if index <= self.persisted or self.term_at(index) != term:
            return False
        self.persisted = index
        return True

    def slice(self, first: int, last: int) -> list[Entry]:
        """The entries ``first`` to ``last``, both included.

        Cost: copies the references asked for, nothing else.
        """
        base = self.snapshot_index + 1
        return self._entries[first - base : last - base + 1]

    def batch(self, first: int, bytes_max: int) -> list[Entry]:
        """Entries from ``first`` on worth about ``bytes_max``; at least one."""
        offset = first - self.snapshot_index - 1
        entries = self._entries
        size = 0
        end = offset
        count = len(entries)
        while end < count:
            size += len(entries[end].data)
            if size > bytes_max and end > offset:
                break
            end += 1
        return entries[offset:end]

    def before_term(self, index: int) -> Index:
        """The last index before the run of equal terms that ``index`` ends."""
        term = self.term_at(index)
        while index > self.snapshot_index and self.term_at(index) == term:
            index -= 1
        return Index(index)

    def compact(self, index: Index) -> None:
        """Drop entries up to ``index`` from memory."""
        if index <= self.snapshot_index:
            return
        check(index <= self.last_index, "compact only what is there", index=index)
        offset = index - self.snapshot_index - 1
        entry = self._entries[offset]
        self.snapshot = Position(entry.term, entry.subterm)
        self.snapshot_index = index
        del self._entries[: offset + 1]
        self._set_last()

    def restore(self, index: Index, position: Position) -> None:
        """Start over behind an installed snapshot, or keep a tail that fits it."""
        if self.term_at(index) == position.term:
            self.compact(index)
            self.persisted = index  # The tail is handed out and synced again.
            return
        self._entries.clear()
        self.snapshot_index = index
        self.snapshot = position
        self._set_last()
        self.persisted = index
