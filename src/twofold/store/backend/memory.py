"""The backend of the simulator and of tests: maps that outlive a crash."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from twofold.base.errors import Failure
from twofold.store.backend.overlay import Overlay, OverlayBackend, require
from twofold.store.backend.port import (
    KEY_MAP,
    META_MAP,
    CheckpointDone,
    Pair,
)


class MemoryDisk:
    """The durable maps; give the same object to the backend after a crash."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.metas: dict[str, bytes] = {}
        self.leases: dict[bytes, bytes] = {}

    def absorb(self, frozen: Overlay) -> None:
        """What a commit does, in one step."""
        for rev_key in frozen.deletes:
            self.keys.pop(rev_key, None)
        self.keys |= frozen.puts
        for name, meta in frozen.metas.items():
            if meta is None:
                self.metas.pop(name, None)
            else:
                self.metas[name] = meta
        for key, lease in frozen.leases.items():
            if lease is None:
                self.leases.pop(key, None)
            else:
                self.leases[key] = lease

    def copy(self) -> MemoryDisk:
        """The maps as they are now."""
        other = MemoryDisk()
        other.keys = dict(self.keys)
        other.metas = dict(self.metas)
        other.leases = dict(self.leases)
        return other


class MemoryView:
    """A copy of the durable maps."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk

    def meta(self, name: str) -> bytes | None:
        """See View."""
        return self._disk.metas.get(name)

    def scan(self, map_name: bytes) -> Iterator[Pair]:
        """See View."""
        disk = self._disk
        if map_name == KEY_MAP:
            pairs = disk.keys
        elif map_name == META_MAP:
            pairs = {name.encode(): value for name, value in disk.metas.items()}
        else:
            pairs = disk.leases
        yield from sorted(pairs.items())

    def close(self) -> None:
        """See View."""


class MemoryBackend(OverlayBackend):
    """Checkpoints at once, or when told to by ``finish`` if ``deferred``."""

    def __init__(self, disk: MemoryDisk | None = None, *, deferred: bool = False):
        super().__init__()
        self.disk = MemoryDisk() if disk is None else disk
        self._deferred = deferred
        self._job: tuple[Overlay, CheckpointDone] | None = None
        self._sorted: list[bytes] = []
        self._size = 0
        self._renew()

    def _renew(self) -> None:
        self._sorted = sorted(self.disk.keys)
        self._size = sum(map(len, self.disk.keys.values()))

    def _durable_get(self, rev_key: bytes) -> bytes | None:
        return self.disk.keys.get(rev_key)

    def _durable_get_many(self, rev_keys: Sequence[bytes]) -> list[bytes]:
        keys = self.disk.keys
        return require([keys[key] for key in rev_keys if key in keys], rev_keys)

    def _durable_scan(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        order, keys = self._sorted, self.disk.keys
        first = bisect_left(order, start)
        last = len(order) if stop is None else bisect_left(order, stop)
        return ((key, keys[key]) for key in order[first:last] if key in keys)

    def _durable_metas(self) -> dict[str, bytes]:
        return dict(self.disk.metas)

    def _durable_leases(self) -> dict[bytes, bytes]:
        return dict(self.disk.leases)

    def _write(self, frozen: Overlay, done: CheckpointDone) -> None:
        self._job = (frozen, done)
        if not self._deferred:
            self.finish()

    def finish(self, failure: Failure | None = None) -> None:
        """End the checkpoint under way, well or with ``failure``."""
        if self._job is None:
            return
        (frozen, done), self._job = self._job, None
        if failure is None:
            self.disk.absorb(frozen)
        self._written(failure)
        done(failure)

    def view(self) -> MemoryView:
        """See Backend."""
        return MemoryView(self.disk.copy())

    def size_bytes(self) -> int:
        """See Backend."""
        return self._size

    def in_use_bytes(self) -> int:
        """See Backend."""
        return self.size_bytes() + self.pending_bytes

    def close(self) -> None:
        """See Backend."""
        self._settle()


class MemoryBuilder:
    """Builds the maps of a ``MemoryDisk`` and swaps them in."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._draft = MemoryDisk()

    def write(self, map_name: bytes, pairs: Sequence[Pair]) -> None:
        """Add pairs of a map."""
        if map_name == KEY_MAP:
            self._draft.keys.update(pairs)
        elif map_name == META_MAP:
            self._draft.metas.update((key.decode(), value) for key, value in pairs)
        else:
            self._draft.leases.update(pairs)

    def install(self) -> None:
        """Replace what the disk holds."""
        disk, draft = self._disk, self._draft
        disk.keys, disk.metas, disk.leases = draft.keys, draft.metas, draft.leases

    def abandon(self) -> None:
        """Throw the draft away."""
