"""The part of every backend that is the same: changes waiting for a checkpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import chain

from twofold.base.errors import Failure
from twofold.base.invariant import check
from twofold.store.backend.port import CheckpointDone, Pair


class Overlay:
    """Changes since a freeze; ``order`` holds every key ever put, ascending."""

    __slots__ = ("deletes", "leases", "metas", "order", "puts", "size")

    def __init__(self) -> None:
        self.puts: dict[bytes, bytes] = {}
        self.order: list[bytes] = []
        self.deletes: set[bytes] = set()
        self.metas: dict[str, bytes | None] = {}
        self.leases: dict[bytes, bytes | None] = {}
        self.size = 0

    def absorb(self, later: Overlay) -> None:
        """Take over what came after this one was frozen."""
        for rev_key in later.deletes:
            self.puts.pop(rev_key, None)
        self.deletes |= later.deletes
        self.puts |= later.puts
        self.order += later.order
        self.metas |= later.metas
        self.leases |= later.leases
        self.size += later.size

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        """The puts in [start, stop), in order."""
        order, puts = self.order, self.puts
        first = bisect_left(order, start)
        last = len(order) if stop is None else bisect_left(order, stop)
        for at in range(first, last):
            rev_key = order[at]
            value = puts.get(rev_key)
            if value is not None:
                yield rev_key, value


class OverlayBackend:
    """Reads consult the active overlay, the frozen one, then the durable maps.

    A subclass gives the durable maps and the thread that writes them.
    """

    def __init__(self) -> None:
        self._active = Overlay()
        self._frozen: Overlay | None = None
        self._hooks: list[Callable[[], None]] = []
        # Set, with the outcome, by the writing thread; taken by the loop's.
        self._outcome: tuple[Failure | None] | None = None
        # After a failed checkpoint nobody knows what the maps hold, so that a
        # delete must be recorded even for a key that was only ever in memory.
        self._certain = True
        self.put = self._make_put()

    # ---- the durable maps, by the subclass

    def _durable_get(self, rev_key: bytes) -> bytes | None:
        raise NotImplementedError

    def _durable_get_many(self, rev_keys: Sequence[bytes]) -> list[bytes]:
        raise NotImplementedError

    def _durable_scan(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        raise NotImplementedError

    def _durable_metas(self) -> dict[str, bytes]:
        raise NotImplementedError

    def _durable_leases(self) -> dict[bytes, bytes]:
        raise NotImplementedError

    def _write(self, frozen: Overlay, done: CheckpointDone) -> None:
        """Make ``frozen`` durable; then ``_written`` and ``done``."""
        raise NotImplementedError

    def _renew(self) -> None:
        """Look at the newest durable state from now on."""
        raise NotImplementedError

    def _retire(self, frozen: Overlay) -> None:
        """``frozen`` is durable and about to be forgotten."""

    # ---- checkpoints

    def before_freeze(self, hook: Callable[[], None]) -> None:
        """See Backend."""
        self._hooks.append(hook)

    @property
    def checkpointing(self) -> bool:
        """See Backend."""
        self._settle()
        return self._frozen is not None

    @property
    def pending_bytes(self) -> int:
        """See Backend."""
        self._settle()
        frozen = self._frozen
        return self._active.size + (0 if frozen is None else frozen.size)

    def checkpoint(self, done: CheckpointDone) -> bool:
        """See Backend."""
        self._settle()
        if self._frozen is not None:
            return False
        for hook in self._hooks:
            hook()
        self._frozen, self._active = self._active, Overlay()
        self.put = self._make_put()
        self._write(self._frozen, done)
        return True

    def _written(self, error: Failure | None) -> None:
        """Called by the writing thread, before ``done``."""
        self._outcome = (error,)

    def _settle(self) -> None:
        outcome = self._outcome
        if outcome is None or self._frozen is None:
            return
        self._outcome = None
        if outcome[0] is None:
            # First renew, then drop: in between both hold the same pairs.
            self._renew()
            self._retire(self._frozen)
            self._certain = True
        else:
            self._certain = False
            self._frozen.absorb(self._active)
            self._active = self._frozen
            self.put = self._make_put()
        self._frozen = None

    # ---- keys

    def _make_put(self) -> Callable[[bytes, bytes], None]:
        """The hottest call of all: everything it needs is bound once a freeze."""
        overlay = self._active
        puts, append = overlay.puts, overlay.order.append

        def put(rev_key: bytes, value: bytes) -> None:
            puts[rev_key] = value
            append(rev_key)
            overlay.size += len(value) + 64

        return put

    def get(self, rev_key: bytes) -> bytes | None:
        """See Backend."""
        value = self._active.puts.get(rev_key)
        if value is not None:
            return value
        self._settle()
        if rev_key in self._active.deletes:
            return None
        frozen = self._frozen
        if frozen is not None:
            value = frozen.puts.get(rev_key)
            if value is not None:
                return value
            if rev_key in frozen.deletes:
                return None
        return self._durable_get(rev_key)

    def get_many(self, rev_keys: Sequence[bytes]) -> list[bytes]:
        """See Backend."""
        self._settle()
        found: dict[bytes, bytes] = {}
        missing = rev_keys
        for overlay in (self._active, self._frozen):
            if overlay is None or not overlay.puts or not missing:
                continue
            puts = overlay.puts
            here = {key: puts[key] for key in missing if key in puts}
            if here:
                missing = [key for key in missing if key not in here]
                found |= here
        if not found:
            return self._durable_get_many(missing)
        if missing:
            found |= zip(missing, self._durable_get_many(missing), strict=True)
        return [found[key] for key in rev_keys]

    def delete(self, rev_key: bytes) -> None:
        """See Backend."""
        active = self._active
        value = active.puts.pop(rev_key, None)
        if value is not None:
            active.size -= len(value)
            if self._certain:
                return
        active.deletes.add(rev_key)

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        """See Backend."""
        self._settle()
        active, frozen = self._active, self._frozen
        sources = [self._durable_scan(start, stop)]
        deletes = active.deletes
        if frozen is not None:
            sources.append(frozen.scan(start, stop))
            deletes = deletes | frozen.deletes
        sources.append(active.scan(start, stop))
        # Keys ascend with time; only an uncertain checkpoint can have put the
        # same pairs into two of the sources.
        pairs = chain(*sources) if self._certain else merge(*sources)
        last = b""
        for rev_key, value in pairs:
            if rev_key > last and rev_key not in deletes:
                yield rev_key, value
                last = rev_key

    # ---- meta and leases

    def meta(self, name: str) -> bytes | None:
        """See Backend."""
        return self.metas().get(name)

    def put_meta(self, name: str, value: bytes | None) -> None:
        """See Backend."""
        self._active.metas[name] = value

    def metas(self) -> dict[str, bytes]:
        """See Backend."""
        self._settle()
        values: dict[str, bytes | None] = dict(self._durable_metas())
        if self._frozen is not None:
            values |= self._frozen.metas
        values |= self._active.metas
        return {name: value for name, value in values.items() if value is not None}

    def put_lease(self, lease_key: bytes, value: bytes | None) -> None:
        """See Backend."""
        self._active.leases[lease_key] = value
        self._active.size += 64

    def leases(self) -> dict[bytes, bytes]:
        """See Backend."""
        self._settle()
        values: dict[bytes, bytes | None] = dict(self._durable_leases())
        if self._frozen is not None:
            values |= self._frozen.leases
        values |= self._active.leases
        return {key: value for key, value in values.items() if value is not None}


def require(values: list[bytes], asked: Sequence[bytes]) -> list[bytes]:
    """Check that a read of many found every one."""
    check(
        len(values) == len(asked),
        "the backend holds every revision of the index",
        asked=len(asked),
        found=len(values),
    )
    return values
