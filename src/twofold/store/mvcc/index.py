"""The key index: which revisions each key has, in memory.

Small on purpose, since there is one record a key. A key that was put once, ever,
is just its revision key (bytes); anything richer is a ``History``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from sortedcontainers import SortedList

from twofold.store.mvcc.revision import first_of, main_of

_LIVE_SIZE = 17


class History:
    """A key's revisions, oldest first; tombstones (18 bytes) end generations.

    ``created`` and ``version`` are those of the newest revision, 0 when that is
    a tombstone.
    """

    __slots__ = ("created", "revs", "version")

    def __init__(self, created: int, version: int, revs: list[bytes]) -> None:
        self.created = created
        self.version = version
        self.revs = revs


Record = bytes | History


class KeyState:
    """What a compare may ask of a live key without reading its value."""

    __slots__ = ("created", "rev_key", "version")

    def __init__(self, rev_key: bytes, created: int, version: int) -> None:
        self.rev_key = rev_key
        self.created = created
        self.version = version


class Index:
    """All keys in order. Shape: revisions arrive in ascending order."""

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._order: SortedList[bytes] = SortedList()
        # Keys whose newest revision is a tombstone, to count without a walk.
        self._dead: SortedList[bytes] = SortedList()
        # Keys from which a compaction could take something.
        self._garbage: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._records)

    # ---- writes

    def put(self, key: bytes, rev_key: bytes, main: int) -> tuple[int, int, bytes]:
        """Add a put; gives (create revision, version, previous revision key).

        The previous is empty when the key did not live.
        """
        record = self._records.get(key)
        if record is None:
            self._records[key] = rev_key
            self._order.add(key)
            return main, 1, b""
        if isinstance(record, bytes):
            created = int.from_bytes(record[:8], "big")
            self._records[key] = History(created, 2, [record, rev_key])
            self._garbage[key] = None
            return created, 2, record
        revs = record.revs
        previous = revs[-1]
        revs.append(rev_key)
        self._garbage[key] = None
        if len(previous) != _LIVE_SIZE:
            self._dead.discard(key)
            record.created, record.version = main, 1
            return main, 1, b""
        record.version += 1
        return record.created, record.version, previous

    def tombstone(self, key: bytes, rev_key: bytes) -> bytes:
        """Add a delete of a live key; gives the previous revision key."""
        record = self._records[key]
        if isinstance(record, bytes):
            self._records[key] = History(0, 0, [record, rev_key])
            previous = record
        else:
            previous = record.revs[-1]
            record.revs.append(rev_key)
            record.created = record.version = 0
        self._garbage[key] = None
        self._dead.add(key)
        return previous

    # ---- reads

    def newest(self, key: bytes) -> bytes | None:
        """The revision key of a live key."""
        record = self._records.get(key)
        if record is None or isinstance(record, bytes):
            return record
        newest = record.revs[-1]
        return newest if len(newest) == _LIVE_SIZE else None

    def state(self, key: bytes) -> KeyState | None:
        """The newest state of a live key."""
        record = self._records.get(key)
        if record is None:
            return None
        if isinstance(record, bytes):
            return KeyState(record, main_of(record), 1)
        newest = record.revs[-1]
        if len(newest) != _LIVE_SIZE:
            return None
        return KeyState(newest, record.created, record.version)

    def at(self, key: bytes, revision: int) -> bytes | None:
        """The revision key under which ``key`` was visible at ``revision``."""
        record = self._records.get(key)
        return None if record is None else _visible(record, first_of(revision + 1))

    def live_keys(self, start: bytes, stop: bytes | None) -> list[bytes]:
        """Keys of [start, stop) that live now, in order."""
        first, last = self._span(start, stop)
        keys = self._order.islice(first, last)
        if not self._dead:
            return list(keys)
        return [key for key in keys if self.newest(key) is not None]

    def range(
        self, start: bytes, stop: bytes | None, limit: int
    ) -> tuple[list[bytes], int]:
        """Newest revision keys of [start, stop), and how many keys live there.

        Shape: ``limit`` 0 = all, < 0 = none (only count).
        """
        first, last = self._span(start, stop)
        count = last - first
        if count and self._dead:
            dead = self._dead
            count -= (
                len(dead) if stop is None else dead.bisect_left(stop)
            ) - dead.bisect_left(start)
        if limit < 0 or count == 0:
            return [], count
        found: list[bytes] = []
        append = found.append
        wanted = limit or count
        records = self._records
        for key in self._order.islice(first, last):
            record = records[key]
            if isinstance(record, bytes):
                append(record)
            else:
                newest = record.revs[-1]
                if len(newest) != _LIVE_SIZE:
                    continue
                append(newest)
            if len(found) == wanted:
                break
        return found, count

    def range_at(self, start: bytes, stop: bytes | None, revision: int) -> list[bytes]:
        """Revision keys of [start, stop) as it was at ``revision``."""
        bound = first_of(revision + 1)
        first, last = self._span(start, stop)
        records = self._records
        found: list[bytes] = []
        for key in self._order.islice(first, last):
            record = records[key]
            if isinstance(record, bytes):
                if record < bound:
                    found.append(record)
            elif (visible := _visible(record, bound)) is not None:
                found.append(visible)
        return found

    def visible_at(self, revision: int) -> set[bytes]:
        """All revision keys visible at ``revision``, for hashes."""
        return set(self.range_at(b"", None, revision))

    def _span(self, start: bytes, stop: bytes | None) -> tuple[int, int]:
        order = self._order
        first = order.bisect_left(start)
        last = len(order) if stop is None else order.bisect_left(stop)
        return first, max(first, last)

    # ---- compaction

    def garbage(self) -> list[bytes]:
        """Keys that a compaction has to look at, in no particular order."""
        return list(self._garbage)

    def compact(self, key: bytes, revision: int) -> list[bytes]:
        """Drop what nobody can read at or after ``revision``; gives it back.

        The tombstone at exactly ``revision`` stays, so that members which have
        compacted and members which have not yet hash alike.
        """
        record = self._records.get(key)
        if record is None or isinstance(record, bytes):
            self._garbage.pop(key, None)
            return []
        revs = record.revs
        count = bisect_left(revs, first_of(revision + 1))
        if count and (
            len(revs[count - 1]) == _LIVE_SIZE or main_of(revs[count - 1]) == revision
        ):
            count -= 1
        dropped = revs[:count]
        del revs[:count]
        if not revs:
            del self._records[key], self._garbage[key]
            self._order.remove(key)
            self._dead.discard(key)
        elif len(revs) == 1 and len(revs[0]) == _LIVE_SIZE:
            self._garbage.pop(key, None)
            if record.version == 1:
                self._records[key] = revs[0]
        return dropped

    # ---- start

    def load(self, revisions: Iterable[tuple[bytes, bytes, int, int]]) -> None:
        """Rebuild from all (key, revision key, created, version), oldest first."""
        records = self._records
        for key, rev_key, created, version in revisions:
            record = records.get(key)
            if record is None:
                records[key] = (
                    rev_key
                    if version == 1 and len(rev_key) == _LIVE_SIZE
                    else History(created, version, [rev_key])
                )
                continue
            if isinstance(record, bytes):
                record = records[key] = History(created, version, [record])
            record.revs.append(rev_key)
            record.created, record.version = created, version
        self._order = SortedList(records)
        for key, record in records.items():
            if isinstance(record, History):
                dead = len(record.revs[-1]) != _LIVE_SIZE
                if dead:
                    self._dead.add(key)
                if dead or len(record.revs) > 1:
                    self._garbage[key] = None

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._order)


def _visible(record: Record, bound: bytes) -> bytes | None:
    if isinstance(record, bytes):
        return record if record < bound else None
    revs = record.revs
    newest = revs[-1]
    if newest >= bound:
        at = bisect_left(revs, bound)
        if at == 0:
            return None
        newest = revs[at - 1]
    return newest if len(newest) == _LIVE_SIZE else None
