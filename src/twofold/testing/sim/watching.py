"""A watcher on each machine, and what it has to see."""

from __future__ import annotations

from collections.abc import Callable

from twofold.proto import kv_pb2, rpc_pb2
from twofold.store.mvcc.store import ALL
from twofold.store.mvcc.watch import Group, Watcher, WatchHub
from twofold.testing.sim.model import Change, Model, Violation


class Watching:
    """A client that watches everything at one member and resumes after a crash.

    It must see each revision once, in order, with the model's changes. What was
    compacted before it asked may be missing, and a delete then too.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.next_revision = 2
        self.seen = 0
        self.compactions = 0
        self._name = name
        self._model = model
        self._again: Callable[[], None] = lambda: None

    def begin(self, hub: WatchHub, soon: Callable[[Callable[[], None]], None]) -> None:
        """Watch at a new boot of the member."""

        def catch_up() -> None:
            if hub.catch_up():
                soon(catch_up)

        hub.on_behind = lambda: soon(catch_up)
        self._again = lambda: soon(lambda: self._watch(hub))
        self._watch(hub)

    def _watch(self, hub: WatchHub) -> None:
        hub.watch(self, 1, b"\0", ALL, self.next_revision)

    def events(self, _watcher: Watcher, revision: int, groups: list[Group]) -> None:
        """See Sink."""
        for main, encoded in groups:
            if main != self.next_revision or main > revision:
                raise Violation(
                    f"watch at {self._name}: revision {main} after"
                    f" {self.next_revision - 1}, the store is at {revision}"
                )
            self.next_revision += 1
            got = tuple(
                Change(e.kv.key, None if e.type == kv_pb2.Event.DELETE else e.kv.value)
                for e in rpc_pb2.WatchResponse.FromString(encoded).events
            )
            if got != self._model.changes.get(main):
                raise Violation(
                    f"watch at {self._name}: revision {main} is {got}, not"
                    f" {self._model.changes.get(main)}"
                )
            self.seen += 1

    def compacted(self, _watcher: Watcher, compact_revision: int) -> None:
        """See Sink: go on with what is left, as etcd's clients do."""
        if not self.next_revision < compact_revision <= self._model.compacted:
            raise Violation(
                f"watch at {self._name}: {compact_revision} is called compacted"
            )
        self.next_revision = compact_revision
        self.compactions += 1
        self._again()
