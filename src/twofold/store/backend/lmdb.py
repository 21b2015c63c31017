"""The backend on LMDB: one directory, three maps, one writing thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import cast

import lmdb

from twofold.base.disk import sync_directory
from twofold.base.errors import Failure, InvariantError
from twofold.store.backend.build import discard
from twofold.store.backend.cache import ValueCache
from twofold.store.backend.overlay import Overlay, OverlayBackend, require
from twofold.store.backend.port import (
    KEY_MAP,
    LEASE_MAP,
    MAPS,
    META_MAP,
    CheckpointDone,
    Pair,
)
from twofold.store.errors import BackendFailure

_SCAN_PAIRS = 256
_MAP_SIZE_BYTES = 16 << 30
_CACHE_BYTES = 32 << 20

_Job = tuple[Overlay, CheckpointDone]


class LmdbView:
    """A read transaction of its own."""

    def __init__(self, backend: LmdbBackend, txn: lmdb.Transaction) -> None:
        self._backend = backend
        self._txn: lmdb.Transaction | None = txn

    def meta(self, name: str) -> bytes | None:
        """See View."""
        value = self._open().get(name.encode(), db=self._backend.maps[META_MAP])
        return None if value is None else bytes(value)

    def scan(self, map_name: bytes) -> Iterator[Pair]:
        """See View."""
        with self._open().cursor(self._backend.maps[map_name]) as cursor:
            yield from cast("Iterator[Pair]", cursor)

    def _open(self) -> lmdb.Transaction:
        if self._txn is None:
            raise InvariantError("a closed view is not read")
        return self._txn

    def close(self) -> None:
        """See View."""
        txn, self._txn = self._txn, None
        if txn is not None:
            txn.abort()
            self._backend.view_closed()


class LmdbBackend(OverlayBackend):
    """Shape: ``directory`` holds data.mdb and lock.mdb; one process at a time."""

    def __init__(
        self,
        directory: Path,
        *,
        map_size_bytes: int = _MAP_SIZE_BYTES,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        super().__init__()
        self._cache = ValueCache(cache_bytes)
        self.directory = directory
        # Guards the loop's read transaction and the count of views: the map can
        # only grow while this process has no transaction at all.
        self._gate = threading.Condition()
        self._views = 0
        self._read: lmdb.Transaction | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        new = not directory.exists()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            size = max(map_size_bytes, 2 * self._file_bytes())
            discard(directory)
            self._env = lmdb.open(
                str(directory), map_size=size, max_dbs=len(MAPS), max_readers=64
            )
            self.maps = {name: self._env.open_db(name) for name in MAPS}
            if new:
                sync_directory(directory)
                sync_directory(directory.parent)
        except (lmdb.Error, OSError) as error:
            raise BackendFailure(f"cannot open {directory}: {error}") from error
        self._page_bytes = int(self._env.stat()["psize"])
        self._used_bytes = 0
        self._renew()

    # ---- reading

    def _reading(self) -> lmdb.Transaction:
        if self._read is None:
            self._read = self._env.begin()
        return self._read

    def _renew(self) -> None:
        with self._gate:
            if self._read is not None:
                self._read.abort()
                self._read = None
            pages = 0
            for handle in self.maps.values():
                stat = self._reading().stat(handle)
                pages += stat["branch_pages"] + stat["leaf_pages"]
                pages += stat["overflow_pages"]
            self._used_bytes = pages * self._page_bytes

    def _durable_get(self, rev_key: bytes) -> bytes | None:
        known = self._cache.get(rev_key)
        if known is not None:
            return known
        with self._gate:
            value = self._reading().get(rev_key, db=self.maps[KEY_MAP])
        return None if value is None else bytes(value)

    def _durable_get_many(self, rev_keys: Sequence[bytes]) -> list[bytes]:
        known = self._cache.get_many(rev_keys)
        missing = [
            rev_key
            for rev_key, value in zip(rev_keys, known, strict=True)
            if value is None
        ]
        if not missing:
            return cast("list[bytes]", known)
        with self._gate, self._reading().cursor(self.maps[KEY_MAP]) as cursor:
            pairs = cast("list[Pair]", cursor.getmulti(missing))
        loaded = dict(pairs)
        require(list(loaded), missing)
        self._cache.remember(loaded)
        return [
            loaded[rev_key] if value is None else value
            for rev_key, value in zip(rev_keys, known, strict=True)
        ]

    def _retire(self, frozen: Overlay) -> None:
        self._cache.forget(frozen.deletes)
        self._cache.remember(frozen.puts)

    def _durable_scan(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        while True:
            pairs: list[Pair] = []
            with self._gate, self._reading().cursor(self.maps[KEY_MAP]) as cursor:
                more = cursor.set_range(start) if start else cursor.first()
                while more and len(pairs) < _SCAN_PAIRS:
                    pairs.append(cast("Pair", cursor.item()))
                    more = cursor.next()
            for pair in pairs:
                if stop is not None and pair[0] >= stop:
                    return
                yield pair
            if not more:
                return
            start = pairs[-1][0] + b"\0"

    def _durable_metas(self) -> dict[str, bytes]:
        with self._gate, self._reading().cursor(self.maps[META_MAP]) as cursor:
            pairs = cast("Iterator[Pair]", cursor)
            return {key.decode(): value for key, value in pairs}

    def _durable_leases(self) -> dict[bytes, bytes]:
        with self._gate, self._reading().cursor(self.maps[LEASE_MAP]) as cursor:
            return dict(cast("Iterator[Pair]", cursor))

    def view(self) -> LmdbView:
        """See Backend."""
        with self._gate:
            txn = self._env.begin()
            self._views += 1
        return LmdbView(self, txn)

    def view_closed(self) -> None:
        """A view has ended its transaction."""
        with self._gate:
            self._views -= 1
            self._gate.notify_all()

    def _file_bytes(self) -> int:
        path = self.directory / "data.mdb"
        return path.stat().st_size if path.exists() else 0

    def size_bytes(self) -> int:
        """See Backend."""
        return self._file_bytes()

    def in_use_bytes(self) -> int:
        """See Backend."""
        waiting = self.pending_bytes  # First: it may renew the other.
        return self._used_bytes + waiting

    # ---- writing

    def _write(self, frozen: Overlay, done: CheckpointDone) -> None:
        if self._thread is None:
            # A daemon: a process that stops on a broken invariant must not wait,
            # and a commit cut short is none.
            self._thread = threading.Thread(
                target=self._run, name="checkpoint", daemon=True
            )
            self._thread.start()
        self._jobs.put((frozen, done))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            frozen, done = job
            failure: Failure | None = None
            try:
                self._commit(frozen)
            except (lmdb.Error, OSError) as error:
                failure = BackendFailure(f"checkpoint: {error}")
            self._written(failure)
            done(failure)

    def _commit(self, frozen: Overlay) -> None:
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    self._fill(txn, frozen)
                return
            except lmdb.MapFullError:
                self._grow()

    def _fill(self, txn: lmdb.Transaction, frozen: Overlay) -> None:
        keys = self.maps[KEY_MAP]
        for rev_key in sorted(frozen.deletes):
            txn.delete(rev_key, db=keys)
        with txn.cursor(keys) as cursor:
            # Appending fills pages to the brim, but insists on ascending keys.
            cursor.putmulti(frozen.puts.items(), append=self._certain)
        for name, value in frozen.metas.items():
            if value is None:
                txn.delete(name.encode(), db=self.maps[META_MAP])
            else:
                txn.put(name.encode(), value, db=self.maps[META_MAP])
        for key, value in frozen.leases.items():
            if value is None:
                txn.delete(key, db=self.maps[LEASE_MAP])
            else:
                txn.put(key, value, db=self.maps[LEASE_MAP])

    def _grow(self) -> None:
        with self._gate:
            while self._views:
                self._gate.wait()
            if self._read is not None:
                self._read.abort()
                self._read = None
            self._env.set_mapsize(2 * int(self._env.info()["map_size"]))

    def close(self) -> None:
        """See Backend."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        self._settle()
        with self._gate:
            if self._read is not None:
                self._read.abort()
                self._read = None
        self._env.close()
