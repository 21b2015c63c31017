"""Which watchers want a key: by exact key, and by range."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

Who = TypeVar("Who")

_OPEN_END = b"\0"


class Selection(NamedTuple):
    """What a watcher wants; watchers with equal selections share their events."""

    key: bytes
    end: bytes
    no_put: bool
    no_delete: bool
    prev_kv: bool

    def covers(self, key: bytes) -> bool:
        """Whether ``key`` is in the range."""
        if not self.end:
            return key == self.key
        return key >= self.key and (self.end == _OPEN_END or key < self.end)

    def wants(self, key: bytes, deleted: bool) -> bool:
        """Whether an event of ``key`` passes range and filters."""
        if self.no_delete if deleted else self.no_put:
            return False
        return self.covers(key)


class Interests(Generic[Who]):
    """Watchers by selection, found by key.

    The ends of all ranges cut the key space into segments. What covers a segment
    is worked out when a key first falls into it and kept until a range comes or
    goes, so that a write costs one binary search, however many ranges there are.
    """

    def __init__(self) -> None:
        self._members: dict[Selection, dict[Who, None]] = {}
        self._by_key: dict[bytes, tuple[Selection, ...]] = {}
        self._ranges: dict[Selection, None] = {}
        self._cuts: list[bytes] | None = None
        self._covers: dict[int, tuple[Selection, ...]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, selection: Selection, who: Who) -> None:
        """Add a watcher."""
        self._count += 1
        members = self._members.get(selection)
        if members is not None:
            members[who] = None
            return
        self._members[selection] = {who: None}
        if selection.end:
            self._ranges[selection] = None
            self._forget()
        else:
            known = self._by_key.get(selection.key, ())
            self._by_key[selection.key] = (*known, selection)

    def remove(self, selection: Selection, who: Who) -> None:
        """Remove a watcher that is there."""
        self._count -= 1
        members = self._members[selection]
        del members[who]
        if members:
            return
        del self._members[selection]
        if selection.end:
            del self._ranges[selection]
            self._forget()
            return
        rest = tuple(
            other for other in self._by_key[selection.key] if other != selection
        )
        if rest:
            self._by_key[selection.key] = rest
        else:
            del self._by_key[selection.key]

    def clear(self) -> list[Who]:
        """Remove all watchers; gives them."""
        everyone = [who for members in self._members.values() for who in members]
        self._members.clear()
        self._by_key.clear()
        self._ranges.clear()
        self._forget()
        self._count = 0
        return everyone

    def of(self, selection: Selection) -> Iterator[Who]:
        """The watchers of a selection, as they are now."""
        return iter(list(self._members.get(selection, ())))

    def find(self, key: bytes) -> tuple[Selection, ...]:
        """The selections that cover ``key``."""
        exact = self._by_key.get(key, ())
        if not self._ranges:
            return exact
        if self._cuts is None:
            self._cuts = self._cut()
        segment = bisect_right(self._cuts, key)
        cover = self._covers.get(segment)
        if cover is None:
            # Any key of the segment is as good as another.
            cover = tuple(range_ for range_ in self._ranges if range_.covers(key))
            self._covers[segment] = cover
        return exact + cover if exact else cover

    def _cut(self) -> list[bytes]:
        cuts = set()
        for selection in self._ranges:
            cuts.add(selection.key)
            if selection.end != _OPEN_END:
                cuts.add(selection.end)
        return sorted(cuts)

    def _forget(self) -> None:
        self._cuts = None
        self._covers.clear()
