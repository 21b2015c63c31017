"""Rules that every backend keeps, on both of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.base.errors import Failure, InvariantError
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.backend.memory import MemoryBackend, MemoryDisk
from twofold.store.backend.overlay import OverlayBackend
from twofold.store.errors import BackendFailure
from twofold.store.mvcc.revision import first_of, live_key


@pytest.fixture(params=["memory", "lmdb"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OverlayBackend]:
    made: OverlayBackend
    if request.param == "memory":
        made = MemoryBackend()
    else:
        made = LmdbBackend(tmp_path / "state", map_size_bytes=1 << 26)
    yield made
    assert isinstance(made, MemoryBackend | LmdbBackend)
    made.close()


def checkpoint(backend: OverlayBackend) -> Failure | None:
    done = threading.Event()
    outcome: list[Failure | None] = []

    def finished(failure: Failure | None) -> None:
        outcome.append(failure)
        done.set()

    assert backend.checkpoint(finished)
    assert done.wait(30)
    return outcome[0]


def keys(backend: OverlayBackend, start: bytes = b"") -> list[bytes]:
    return [key for key, _ in backend.scan(start, None)]


def test_what_is_put_is_there_before_and_after_a_checkpoint(
    backend: OverlayBackend,
) -> None:
    backend.put(live_key(2, 0), b"two")
    assert backend.get(live_key(2, 0)) == b"two"
    assert checkpoint(backend) is None
    assert backend.get(live_key(2, 0)) == b"two"
    backend.put(live_key(3, 0), b"three")
    assert backend.get_many([live_key(3, 0), live_key(2, 0)]) == [b"three", b"two"]
    assert keys(backend) == [live_key(2, 0), live_key(3, 0)]


def test_a_scan_is_half_open_and_ordered_over_all_layers(
    backend: OverlayBackend,
) -> None:
    for main in range(2, 1002):
        backend.put(live_key(main, 0), b"%d" % main)
        if main in (300, 600):
            checkpoint(backend)
    found = list(backend.scan(first_of(250), first_of(750)))
    assert [value for _, value in found] == [b"%d" % n for n in range(250, 750)]


def test_what_is_deleted_is_gone_at_once_and_for_good(backend: OverlayBackend) -> None:
    for main in (2, 3, 4):
        backend.put(live_key(main, 0), b"x")
    checkpoint(backend)
    backend.put(live_key(5, 0), b"x")
    backend.delete(live_key(3, 0))
    backend.delete(live_key(5, 0))
    assert backend.get(live_key(3, 0)) is None
    assert keys(backend) == [live_key(2, 0), live_key(4, 0)]
    checkpoint(backend)
    assert backend.get(live_key(3, 0)) is None
    assert keys(backend) == [live_key(2, 0), live_key(4, 0)]


def test_a_missing_revision_breaks_an_invariant(backend: OverlayBackend) -> None:
    with pytest.raises(InvariantError):
        backend.get_many([live_key(9, 0)])


def test_metas_and_leases_can_be_set_and_removed(backend: OverlayBackend) -> None:
    backend.put_meta("a", b"1")
    backend.put_meta("b", b"2")
    backend.put_lease(b"one", b"1")
    checkpoint(backend)
    backend.put_meta("a", None)
    backend.put_lease(b"one", None)
    backend.put_lease(b"two", b"2")
    assert backend.metas() == {"b": b"2"}
    assert backend.leases() == {b"two": b"2"}
    checkpoint(backend)
    assert backend.metas() == {"b": b"2"}
    assert backend.meta("a") is None
    assert backend.leases() == {b"two": b"2"}


def test_the_hook_may_still_set_what_this_checkpoint_holds(
    backend: OverlayBackend,
) -> None:
    backend.before_freeze(lambda: backend.put_meta("applied", b"7"))
    checkpoint(backend)
    view = backend.view()  # type: ignore[attr-defined]
    assert view.meta("applied") == b"7"
    view.close()


def test_a_view_does_not_see_later_checkpoints(backend: OverlayBackend) -> None:
    backend.put(live_key(2, 0), b"x")
    backend.put_meta("a", b"1")
    checkpoint(backend)
    view = backend.view()  # type: ignore[attr-defined]
    backend.put(live_key(3, 0), b"x")
    backend.put_meta("a", b"2")
    checkpoint(backend)
    assert [key for key, _ in view.scan(b"key")] == [live_key(2, 0)]
    assert view.meta("a") == b"1"
    assert view.meta("b") is None
    view.close()
    view.close()


def test_only_one_checkpoint_at_a_time_and_reads_see_what_is_frozen() -> None:
    backend = MemoryBackend(deferred=True)
    outcomes: list[Failure | None] = []
    backend.put(live_key(2, 0), b"x")
    assert backend.checkpoint(outcomes.append)
    assert not backend.checkpoint(outcomes.append)
    assert backend.checkpointing
    backend.put(live_key(3, 0), b"y")
    assert backend.get(live_key(2, 0)) == b"x"
    assert backend.get_many([live_key(2, 0), live_key(3, 0)]) == [b"x", b"y"]
    backend.delete(live_key(2, 0))
    assert keys(backend) == [live_key(3, 0)]
    backend.finish()
    assert outcomes == [None]
    assert not backend.checkpointing
    assert keys(backend) == [live_key(3, 0)]
    assert backend.get(live_key(2, 0)) is None


def test_a_failed_checkpoint_loses_nothing_and_may_be_repeated() -> None:
    disk = MemoryDisk()
    backend = MemoryBackend(disk, deferred=True)
    outcomes: list[Failure | None] = []
    backend.put(live_key(2, 0), b"x")
    backend.put(live_key(3, 0), b"y")
    backend.put_meta("a", b"1")
    backend.checkpoint(outcomes.append)
    backend.put(live_key(4, 0), b"z")
    backend.delete(live_key(3, 0))
    backend.put_meta("a", b"2")
    backend.finish(BackendFailure("full"))
    assert disk.keys == {}
    assert keys(backend) == [live_key(2, 0), live_key(4, 0)]
    assert backend.checkpoint(outcomes.append)
    backend.finish()
    assert sorted(disk.keys) == [live_key(2, 0), live_key(4, 0)]
    assert disk.metas == {"a": b"2"}


def test_after_an_uncertain_checkpoint_no_pair_shows_twice() -> None:
    disk = MemoryDisk()
    backend = MemoryBackend(disk, deferred=True)
    backend.put(live_key(2, 0), b"x")
    backend.put(live_key(3, 0), b"x")
    backend.checkpoint(lambda _failure: None)
    # The write went through, and only its answer was lost.
    disk.keys = {live_key(2, 0): b"x", live_key(3, 0): b"x"}
    backend.finish(BackendFailure("lost"))
    backend._renew()
    assert keys(backend) == [live_key(2, 0), live_key(3, 0)]
    backend.delete(live_key(3, 0))
    assert keys(backend) == [live_key(2, 0)]
    backend.checkpoint(lambda _failure: None)
    backend.finish()
    assert list(disk.keys) == [live_key(2, 0)]


def test_what_waits_counts_as_in_use(backend: OverlayBackend) -> None:
    before = backend.pending_bytes
    backend.put(live_key(2, 0), b"x" * 10_000)
    assert backend.pending_bytes >= before + 10_000
    checkpoint(backend)
    assert backend.pending_bytes == 0
    assert backend.in_use_bytes() >= 10_000  # type: ignore[attr-defined]
    assert backend.size_bytes() >= 10_000  # type: ignore[attr-defined]
