"""Watches: who wants which events, and from which revision on.

A watcher is *synced* when it has got every event up to now; then `notify` serves
it from what was just applied. Otherwise `catch_up` serves it from history. Both
encode an event once for all watchers that want it in the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from twofold.store.mvcc.encoding import event, key_of
from twofold.store.mvcc.interest import Interests, Selection
from twofold.store.mvcc.revision import first_of, is_tombstone, main_of
from twofold.store.mvcc.writer import Change

if TYPE_CHECKING:
    from twofold.store.mvcc.store import MvccStore

REVISIONS_MAX = 1_000
"""How many revisions one delivery from history may span."""

Group = tuple[int, bytes]
"""A main revision and its events, encoded as WatchResponse.events."""


class Sink(Protocol):
    """Where a watcher's events go; may call the hub back from within."""

    def events(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
        """Take events, oldest first; the list is shared: do not change it.

        ``revision`` is the store's, for the header. A sink that cannot take them
        calls ``WatchHub.stall``, at once or later.
        """

    def compacted(self, watcher: Watcher, compact_revision: int) -> None:
        """The watcher is over: what it should get next is compacted."""


class Watcher:
    """One watch; ``next_revision`` is the first it has not been given."""

    __slots__ = (
        "held",
        "next_revision",
        "selection",
        "sink",
        "start_revision",
        "synced",
        "watch_id",
    )

    def __init__(
        self, sink: Sink, watch_id: int, selection: Selection, start_revision: int
    ) -> None:
        self.sink = sink
        self.watch_id = watch_id
        self.selection = selection
        self.start_revision = start_revision
        self.next_revision = start_revision
        self.synced = False
        self.held = False


class _Event(NamedTuple):
    key: bytes
    main: int
    data: bytes
    deleted: bool


class WatchHub:
    """All watchers of a store."""

    def __init__(self, store: MvccStore) -> None:
        self._store = store
        self._interests: Interests[Watcher] = Interests()
        self._unsynced: dict[Watcher, None] = {}
        self._pending: list[tuple[int, list[Change]]] = []
        # The first revision of the delivery under way, else 0.
        self._delivering = 0
        # Called when ``catch_up`` gets work: the driver schedules it.
        self.on_behind: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._interests) + len(self._unsynced)

    @property
    def behind(self) -> bool:
        """Whether ``catch_up`` has work."""
        return any(not watcher.held for watcher in self._unsynced)

    # ---- watchers

    def watch(
        self,
        sink: Sink,
        watch_id: int,
        key: bytes,
        end: bytes = b"",
        start_revision: int = 0,
        no_put: bool = False,
        no_delete: bool = False,
        prev_kv: bool = False,
    ) -> Watcher:
        """Begin; no event comes before the caller's turn of the loop ends.

        Shape: ``end`` empty = one key, ``b"\\0"`` = from ``key`` on.
        ``start_revision`` 0 = what comes after now.
        """
        self.notify()
        current = self._store.current_revision
        selection = Selection(key, end, no_put, no_delete, prev_kv)
        watcher = Watcher(sink, watch_id, selection, start_revision)
        if start_revision <= 0:
            watcher.start_revision = 0
            watcher.next_revision = current + 1
        if watcher.next_revision > current:
            self._sync(watcher)
        else:
            self._unsynced[watcher] = None
            self._fell_behind()
        return watcher

    def cancel(self, watcher: Watcher) -> None:
        """End a watch; nothing is delivered any more. Idempotent."""
        if watcher.synced:
            self._interests.remove(watcher.selection, watcher)
            watcher.synced = False
        else:
            self._unsynced.pop(watcher, None)

    def stall(self, watcher: Watcher, next_revision: int | None = None) -> None:
        """The sink is full: give nothing more until ``resume``. Idempotent.

        ``next_revision``: the first that it has not taken; None = it took all
        that it was given.
        """
        if watcher.synced:
            self._interests.remove(watcher.selection, watcher)
            self._unsync(watcher, self.reached)
        elif watcher not in self._unsynced:
            return
        if next_revision is not None:
            watcher.next_revision = next_revision
        watcher.held = True

    def _unsync(self, watcher: Watcher, reached: int) -> None:
        """Note where a synced watcher, no longer among the interests, stands.

        Nothing moves it on while nothing concerns it; left there, it would seem to
        need what may be compacted.
        """
        watcher.synced = False
        watcher.next_revision = max(watcher.next_revision, reached)
        self._unsynced[watcher] = None

    @property
    def reached(self) -> int:
        """The first revision that some synced watcher may not have been given."""
        if self._delivering:
            return self._delivering
        return (
            self._pending[0][0] if self._pending else self._store.current_revision + 1
        )

    def resume(self, watcher: Watcher) -> None:
        """The sink takes events again; ``catch_up`` goes on with it."""
        if watcher.held:
            watcher.held = False
            self._fell_behind()

    def _fell_behind(self) -> None:
        if self.on_behind is not None:
            self.on_behind()

    def synced(self, watchers: Iterable[Watcher]) -> bool:
        """Whether all have got everything up to the current revision.

        Delivers what waits first, so that a progress answer which follows is
        never ahead of an event. A watch that starts in the future is not synced.
        """
        self.notify()
        current = self._store.current_revision
        return all(
            watcher.synced and watcher.start_revision <= current for watcher in watchers
        )

    def _sync(self, watcher: Watcher) -> None:
        watcher.synced = True
        watcher.held = False
        self._interests.add(watcher.selection, watcher)

    # ---- new events

    def add(self, main: int, changes: list[Change]) -> None:
        """A revision was applied; ``notify`` will deliver it."""
        self._pending.append((main, changes))

    def notify(self) -> None:
        """Deliver what was applied since the last call to synced watchers.

        Cost: nothing for changes that nobody watches; each event is encoded once
        for all watchers with equal options.
        """
        pending = self._pending
        if not pending:
            return
        self._pending = []
        if not self._interests:
            return
        groups: dict[Selection, list[Group]] = {}
        find = self._interests.find
        for main, changes in pending:
            parts: dict[Selection, list[bytes]] = {}
            for change in changes:
                selections = find(change[0])
                if selections:
                    self._encode(main, change, selections, parts)
            for selection, events in parts.items():
                groups.setdefault(selection, []).append((main, b"".join(events)))
        current = self._store.current_revision
        self._delivering = pending[0][0]
        for selection, batch in groups.items():
            first = batch[0][0]
            for watcher in self._interests.of(selection):
                if not watcher.synced:
                    continue  # An earlier sink of this round stopped it.
                if watcher.next_revision <= first:
                    self._deliver(watcher, current, batch)
                else:
                    self._deliver(watcher, current, _from(watcher, batch))
        self._delivering = 0

    def _deliver(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
        if groups:
            # Before the call: the sink may stall, which sets it back.
            watcher.next_revision = max(watcher.next_revision, groups[-1][0] + 1)
            watcher.sink.events(watcher, revision, groups)

    def _encode(
        self,
        main: int,
        change: Change,
        selections: Iterable[Selection],
        parts: dict[Selection, list[bytes]],
    ) -> None:
        _, rev_key, former, data = change
        deleted = is_tombstone(rev_key)
        plain: bytes | None = None
        full: bytes | None = None
        for selection in selections:
            if selection.no_delete if deleted else selection.no_put:
                continue
            if selection.prev_kv:
                if full is None:
                    previous = self._store.backend.get(former) if former else None
                    full = event(data, main, deleted, previous)
                encoded = full
            else:
                if plain is None:
                    plain = event(data, main, deleted, None)
                encoded = plain
            parts.setdefault(selection, []).append(encoded)

    # ---- history

    def catch_up(self, budget_revisions: int = REVISIONS_MAX) -> bool:
        """Serve watchers that are behind; gives whether any still is.

        Cost: reads at most ``budget_revisions`` (and at most 1000) revisions,
        from where the last watcher stands, once for all that are there.
        """
        self.notify()
        self._end_compacted()
        waiting = [watcher for watcher in self._unsynced if not watcher.held]
        if not waiting:
            return False
        current = self._store.current_revision
        first = min(watcher.next_revision for watcher in waiting)
        stop = min(first + min(budget_revisions, REVISIONS_MAX), current + 1)
        here = [watcher for watcher in waiting if watcher.next_revision < stop]
        served = _Served(self._store, self._history(first, stop))
        for watcher in here:
            if watcher.held or watcher not in self._unsynced:
                continue  # An earlier sink of this round stopped it.
            groups = _from(watcher, served.groups(watcher.selection))
            watcher.next_revision = stop
            if groups:
                watcher.sink.events(watcher, current, groups)
        self._promote()
        return self.behind

    def _promote(self) -> None:
        """Watchers that have reached the present become synced."""
        self.notify()
        current = self._store.current_revision
        for watcher in list(self._unsynced):
            if watcher.next_revision > current and not watcher.held:
                del self._unsynced[watcher]
                self._sync(watcher)

    def _end_compacted(self) -> None:
        compact_revision = self._store.compact_revision
        for watcher in list(self._unsynced):
            if watcher.next_revision < compact_revision:
                del self._unsynced[watcher]
                watcher.sink.compacted(watcher, compact_revision)

    def _history(self, first: int, stop: int) -> list[_Event]:
        pairs = self._store.backend.scan(first_of(first), first_of(stop))
        return [
            _Event(key_of(data), main_of(rev_key), data, is_tombstone(rev_key))
            for rev_key, data in pairs
        ]

    def restored(self, reached: int) -> None:
        """The store has another history now: everyone reads on from there.

        ``reached``: what it was just before.
        """
        self._pending = []
        for watcher in self._interests.clear():
            self._unsync(watcher, reached)
        self._promote()
        if self.behind:
            self._fell_behind()


class _Served:
    """A stretch of history, grouped and encoded once per selection."""

    def __init__(self, store: MvccStore, events: list[_Event]) -> None:
        self._store = store
        self._events = events
        self._groups: dict[Selection, list[Group]] = {}
        self._encoded: dict[tuple[int, bool], bytes] = {}

    def groups(self, selection: Selection) -> list[Group]:
        """Everything of the stretch that ``selection`` wants."""
        known = self._groups.get(selection)
        if known is None:
            known = self._groups[selection] = self._build(selection)
        return known

    def _build(self, selection: Selection) -> list[Group]:
        groups: list[Group] = []
        parts: list[bytes] = []
        last = 0
        for at, found in enumerate(self._events):
            if not selection.wants(found.key, found.deleted):
                continue
            if found.main != last and parts:
                groups.append((last, b"".join(parts)))
                parts = []
            last = found.main
            parts.append(self._encode(at, found, selection.prev_kv))
        if parts:
            groups.append((last, b"".join(parts)))
        return groups

    def _encode(self, at: int, found: _Event, with_previous: bool) -> bytes:
        known = self._encoded.get((at, with_previous))
        if known is None:
            previous = None
            if with_previous:
                previous = self._store.previous(found.key, found.main - 1)
            known = event(found.data, found.main, found.deleted, previous)
            self._encoded[at, with_previous] = known
        return known


def _from(watcher: Watcher, groups: list[Group]) -> list[Group]:
    first = watcher.next_revision
    if not groups or groups[0][0] >= first:
        return groups
    return [group for group in groups if group[0] >= first]
