"""The multi-version store: what the rest of the program calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from twofold.base.invariant import check
from twofold.proto.kv_pb2 import KeyValue
from twofold.proto.rpc_pb2 import TxnRequest
from twofold.store.backend.port import Backend
from twofold.store.errors import ApplyRefused
from twofold.store.mvcc import hashing, reading
from twofold.store.mvcc.index import Index
from twofold.store.mvcc.revision import is_tombstone, live_key, main_of
from twofold.store.mvcc.txn import TxnResult, run
from twofold.store.mvcc.watch import WatchHub
from twofold.store.mvcc.writer import Leases, Writer

_SCHEDULED = "scheduledCompactRev"
_FINISHED = "finishedCompactRev"
_CURRENT = "currentRevision"

ALL = b"\0"
"""As a range's end: every key from the start on."""


class RangeResult(NamedTuple):
    """``kvs``: serialized KeyValues; ``count``: all keys, whatever the limit."""

    kvs: list[bytes]
    count: int  # type: ignore[assignment]  # Shadows tuple.count on purpose.
    more: bool


class MvccStore:
    """Keys and their revisions. Deterministic; every call on one thread.

    ``current_revision`` starts at 1, ``compact_revision`` at -1.
    """

    def __init__(self, backend: Backend, leases: Leases) -> None:
        self._leases = leases
        self.current_revision = 1
        self.compact_revision = -1
        self.finished_compact_revision = -1
        self.on_compaction_finished: Callable[[int], None] | None = None
        self._job: Iterator[bytes] | None = None
        self._use(backend)
        self.hub = WatchHub(self)
        self._load()

    def restore(self, backend: Backend) -> None:
        """Go on with another backend's state: a snapshot was installed.

        Watchers stay; what they have not seen comes from the new history.
        """
        reached = self.hub.reached
        self._use(backend)
        self._load()
        self.hub.restored(reached)

    def _use(self, backend: Backend) -> None:
        self.backend = backend
        self.index = Index()
        self._writer = Writer(backend, self.index, self._leases)
        backend.before_freeze(self._freeze)

    def _freeze(self) -> None:
        self.backend.put_meta(_CURRENT, live_key(self.current_revision, 0))

    def _load(self) -> None:
        newest = 1
        attached: dict[bytes, int] = {}

        def revisions() -> Iterator[tuple[bytes, bytes, int, int]]:
            nonlocal newest
            rev_key = b""
            for rev_key, data in self.backend.scan(b"", None):
                kv = KeyValue.FromString(data)
                key = kv.key
                if is_tombstone(rev_key):
                    attached.pop(key, None)
                    yield key, rev_key, 0, 0
                    continue
                if kv.lease:
                    attached[key] = kv.lease
                else:
                    attached.pop(key, None)
                yield key, rev_key, kv.create_revision, kv.version
            if rev_key:
                newest = main_of(rev_key)

        self.index.load(revisions())
        for key, lease_id in attached.items():
            if self._leases.exists(lease_id):
                self._leases.attach(key, lease_id)
        metas = self.backend.metas()
        current, scheduled, finished = (
            main_of(metas[name]) if name in metas else -1
            for name in (_CURRENT, _SCHEDULED, _FINISHED)
        )
        # A compaction may have taken the newest revisions (tombstones): the
        # revision must not go back because of that.
        self.current_revision = max(newest, current, scheduled, finished)
        self.compact_revision = max(scheduled, finished)
        self.finished_compact_revision = finished
        self._job = None
        if scheduled > finished:
            self._job = iter(self.index.garbage())

    # ---- reads

    def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        count_only: bool = False,
        keys_only: bool = False,
        sort_target: int = 0,
        sort_order: int = 0,
        min_mod_revision: int = 0,
        max_mod_revision: int = 0,
        min_create_revision: int = 0,
        max_create_revision: int = 0,
    ) -> RangeResult:
        """Read [key, end) at a revision, as RangeRequest means it.

        Shape: ``end`` empty = one key, ``ALL`` = from ``key`` on. ``revision``
        <= 0 = newest. Enums are RangeRequest's numbers.
        Cost: without sort and filters nothing is decoded.

        Raises:
            ApplyRefused: COMPACTED, FUTURE_REVISION.
        """
        self.check_revision(revision)
        view = reading.Order(
            sort_target,
            sort_order,
            min_mod_revision,
            max_mod_revision,
            min_create_revision,
            max_create_revision,
        )
        limit = max(limit, 0)
        fetch = 0 if view.needs_all or not limit else limit + 1
        rev_keys, count = self._visible(key, end, revision, -1 if count_only else fetch)
        if count_only:
            return RangeResult([], count, False)
        kvs = self.backend.get_many(rev_keys)
        if view.decodes:
            kvs = view.arrange(kvs)
        more = 0 < limit < len(kvs)
        if more:
            del kvs[limit:]
        if keys_only:
            kvs = [reading.without_value(data) for data in kvs]
        return RangeResult(kvs, count, more)

    def check_revision(self, revision: int) -> None:
        """Refuse a read at a revision that is gone or not there yet."""
        if revision > self.current_revision:
            raise ApplyRefused("FUTURE_REVISION")
        if 0 < revision < self.compact_revision:
            raise ApplyRefused("COMPACTED")

    def _visible(
        self, key: bytes, end: bytes, revision: int, limit: int
    ) -> tuple[list[bytes], int]:
        index = self.index
        # Within a transaction the index is ahead of the current revision.
        newest = revision <= 0 or (
            revision == self.current_revision and not self._writer.changes
        )
        if not end:
            found = index.newest(key) if newest else index.at(key, revision)
            rev_keys = [] if found is None else [found]
            return rev_keys, len(rev_keys)
        stop = None if end == ALL else end
        if newest:
            return index.range(key, stop, limit)
        rev_keys = index.range_at(key, stop, revision)
        count = len(rev_keys)
        if limit > 0:
            del rev_keys[limit:]
        return rev_keys, count

    def previous(self, key: bytes, revision: int) -> bytes | None:
        """The value at ``revision``, None if there was none or it is compacted."""
        if revision < self.compact_revision:
            return None
        rev_key = self.index.at(key, revision)
        return None if rev_key is None else self.backend.get(rev_key)

    # ---- writes

    def put(
        self,
        key: bytes,
        value: bytes,
        lease_id: int = 0,
        *,
        want_previous: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
    ) -> tuple[int, bytes | None]:
        """Put in a revision of its own; gives it and the former KeyValue.

        Raises:
            ApplyRefused: LEASE_NOT_FOUND, KEY_NOT_FOUND.
        """
        if lease_id and not self._leases.exists(lease_id):
            raise ApplyRefused("LEASE_NOT_FOUND")
        if ignore_value or ignore_lease:
            value, lease_id = self.kept(
                key, value, lease_id, ignore_value, ignore_lease
            )
        writer = self._writer
        writer.main = self.current_revision + 1
        former = writer.put(key, value, lease_id)
        previous = None
        if want_previous and former:
            previous = self.backend.get(former)
        return self._end(), previous

    def kept(
        self,
        key: bytes,
        value: bytes,
        lease_id: int,
        ignore_value: bool,
        ignore_lease: bool,
    ) -> tuple[bytes, int]:
        """Value and lease of a put that keeps one or both of them."""
        rev_key = self.index.newest(key)
        data = None if rev_key is None else self.backend.get(rev_key)
        if data is None:
            raise ApplyRefused("KEY_NOT_FOUND")
        kv = KeyValue.FromString(data)
        return (
            kv.value if ignore_value else value,
            kv.lease if ignore_lease else lease_id,
        )

    def delete_range(
        self, key: bytes, end: bytes = b"", *, want_previous: bool = False
    ) -> tuple[int, int, tuple[bytes, ...]]:
        """Delete [key, end); gives revision, how many, and the former KeyValues."""
        keys = self.live_keys(key, end)
        if not keys:
            return self.current_revision, 0, ()
        self._writer.main = self.current_revision + 1
        former = self._writer.delete(keys)
        previous = tuple(self.backend.get_many(former)) if want_previous else ()
        return self._end(), len(keys), previous

    def delete_keys(self, keys: list[bytes]) -> int:
        """Delete these live keys in one revision; gives the revision."""
        if not keys:
            return self.current_revision
        self._writer.main = self.current_revision + 1
        self._writer.delete(keys)
        return self._end()

    def live_keys(self, key: bytes, end: bytes) -> list[bytes]:
        """The keys of [key, end) that live now."""
        if not end:
            return [key] if self.index.newest(key) is not None else []
        return self.index.live_keys(key, None if end == ALL else end)

    def txn(self, request: TxnRequest) -> TxnResult:
        """Run a transaction; also right for one that only reads.

        Raises:
            ApplyRefused: nothing of it has happened.
        """
        self._writer.main = self.current_revision + 1
        result = run(self, self._writer, self._leases, request)
        if self._writer.changes:
            self._end()
        return result

    def _end(self) -> int:
        writer = self._writer
        main = self.current_revision = writer.main
        self.hub.add(main, writer.changes)
        writer.changes = []
        return main

    # ---- compaction

    def compact(self, revision: int) -> None:
        """Forget history below ``revision``; ``compact_step`` removes the bytes.

        Raises:
            ApplyRefused: COMPACTED, FUTURE_REVISION.
        """
        if revision <= self.compact_revision:
            raise ApplyRefused("COMPACTED")
        if revision > self.current_revision:
            raise ApplyRefused("FUTURE_REVISION")
        self.compact_revision = revision
        self.backend.put_meta(_SCHEDULED, live_key(revision, 0))
        # A job still running is for less than this one: start over.
        self._job = iter(self.index.garbage())

    def compact_step(self, budget_entries: int) -> bool:
        """Remove some of what is compacted; gives whether there is more to do."""
        if self._job is None:
            return False
        # A waiting event may need, as its previous value, what goes away now.
        self.hub.notify()
        index, backend, revision = self.index, self.backend, self.compact_revision
        while budget_entries > 0:
            key = next(self._job, None)
            if key is None:
                self._job = None
                self.finished_compact_revision = revision
                backend.put_meta(_FINISHED, live_key(revision, 0))
                if self.on_compaction_finished is not None:
                    self.on_compaction_finished(revision)
                return False
            dropped = index.compact(key, revision)
            for rev_key in dropped:
                backend.delete(rev_key)
            budget_entries -= 1 + len(dropped)
        return True

    # ---- sizes and hashes

    def hash_kv(self, revision: int = 0) -> tuple[int, int, int]:
        """Hash, compact revision and hashed revision, as etcd's HashKV.

        Not as etcd: for the revision of one of its last ten compactions etcd, until
        it restarts, repeats the hash taken then, which counts what was removed.

        Cost: reads every stored revision; blocks the loop meanwhile.

        Raises:
            ApplyRefused: COMPACTED, FUTURE_REVISION.
        """
        self.check_revision(revision)
        check(not self._writer.changes, "no hash within a transaction")
        if revision < 0:
            # Nothing is that old.
            return hashing.hash_nothing(), self.compact_revision, revision
        revision = revision or self.current_revision
        visible = self.index.visible_at(revision)
        if not visible:
            # etcd then counts all that its compaction has left.
            visible = self.index.visible_at(self.compact_revision)
        value = hashing.hash_kv(
            self.backend.scan(b"", None),
            visible,
            self.compact_revision,
            revision,
        )
        return value, self.compact_revision, revision

    def hash(self) -> int:
        """A hash of everything this member holds; only for its own comparison."""
        return hashing.hash_all(self.backend)

    def db_size(self) -> int:
        """What the files take, in bytes."""
        return self.backend.size_bytes()

    def db_size_in_use(self) -> int:
        """What the content takes, in bytes."""
        return self.backend.in_use_bytes()
