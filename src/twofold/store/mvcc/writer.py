"""Changes of one revision: the only code that adds to index, bytes and events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from twofold.proto.kv_pb2 import KeyValue
from twofold.store.backend.port import Backend
from twofold.store.mvcc.index import Index
from twofold.store.mvcc.revision import live_key, tombstone_key

Change = tuple[bytes, bytes, bytes, bytes]
"""Key, revision key, previous revision key (or empty), stored bytes."""


class Leases(Protocol):
    """What the store must know of leases."""

    def exists(self, lease_id: int) -> bool:
        """Whether a key may be attached to it."""

    def lease_of(self, key: bytes) -> int:
        """The lease a live key hangs on, or 0."""

    def attach(self, key: bytes, lease_id: int) -> None:
        """Hang ``key`` on a lease, or on none by 0; the former one lets go."""


class Writer:
    """One open revision at a time; ``changes`` is empty between two."""

    def __init__(self, backend: Backend, index: Index, leases: Leases) -> None:
        self.changes: list[Change] = []
        self.main = 0
        self._backend = backend
        self._index = index
        self._leases = leases

    def put(self, key: bytes, value: bytes, lease_id: int) -> bytes:
        """Put; gives the previous revision key, empty if the key did not live."""
        main = self.main
        rev_key = live_key(main, len(self.changes))
        created, version, previous = self._index.put(key, rev_key, main)
        # A fresh one: what a message once held stays in its arena till it dies.
        kv = KeyValue()
        kv.key = key
        kv.create_revision = created
        kv.mod_revision = main
        kv.version = version
        kv.value = value
        kv.lease = lease_id
        data = kv.SerializeToString()
        self._backend.put(rev_key, data)
        if lease_id or previous:
            self._leases.attach(key, lease_id)
        self.changes.append((key, rev_key, previous, data))
        return previous

    def delete(self, keys: Iterable[bytes]) -> list[bytes]:
        """Delete live keys; gives their previous revision keys."""
        removed = []
        for key in keys:
            rev_key = tombstone_key(self.main, len(self.changes))
            previous = self._index.tombstone(key, rev_key)
            data = KeyValue(key=key).SerializeToString()
            self._backend.put(rev_key, data)
            self._leases.attach(key, 0)
            self.changes.append((key, rev_key, previous, data))
            removed.append(previous)
        return removed
