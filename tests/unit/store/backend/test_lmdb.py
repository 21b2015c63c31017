"""What only the backend on LMDB can show: files, growth, damage."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from twofold.base.errors import Failure
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.errors import BackendFailure
from twofold.store.mvcc.revision import live_key


def checkpoint(backend: LmdbBackend) -> Failure | None:
    done = threading.Event()
    outcome: list[Failure | None] = []

    def finished(failure: Failure | None) -> None:
        outcome.append(failure)
        done.set()

    assert backend.checkpoint(finished)
    assert done.wait(30)
    return outcome[0]


def test_only_a_checkpoint_outlives_the_process(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path / "state")
    backend.put(live_key(2, 0), b"two")
    backend.put_meta("a", b"1")
    checkpoint(backend)
    backend.put(live_key(3, 0), b"three")
    backend.put_meta("a", b"2")
    backend.close()
    again = LmdbBackend(tmp_path / "state")
    assert again.get(live_key(2, 0)) == b"two"
    assert again.get(live_key(3, 0)) is None
    assert again.metas() == {"a": b"1"}
    again.close()


def test_the_map_grows_when_it_is_full(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path / "state", map_size_bytes=1 << 17)
    for round_ in range(4):
        for main in range(100):
            backend.put(live_key(2 + 100 * round_ + main, 0), b"x" * 5_000)
        assert checkpoint(backend) is None
        assert backend.get(live_key(2 + 100 * round_, 0)) == b"x" * 5_000
    assert len(list(backend.scan(b"", None))) == 400
    assert backend.size_bytes() > 400 * 5_000
    backend.close()


def test_growth_waits_for_a_view_that_is_open(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path / "state", map_size_bytes=1 << 17)
    backend.put(live_key(2, 0), b"small")
    checkpoint(backend)
    view = backend.view()
    for main in range(3, 103):
        backend.put(live_key(main, 0), b"x" * 5_000)
    done = threading.Event()
    backend.checkpoint(lambda _failure: done.set())
    assert len(list(view.scan(b"key"))) == 1
    # Reads go on from memory and from the old state meanwhile.
    assert backend.get(live_key(2, 0)) == b"small"
    assert backend.get(live_key(50, 0)) == b"x" * 5_000
    view.close()
    assert done.wait(30)
    assert len(list(backend.scan(b"", None))) == 101
    backend.close()


def test_freed_pages_are_used_again(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path / "state")
    main = 2
    sizes = []
    for _ in range(8):
        added = []
        for _ in range(200):
            backend.put(live_key(main, 0), b"x" * 3_000)
            added.append(live_key(main, 0))
            main += 1
        checkpoint(backend)
        for rev_key in added:
            backend.delete(rev_key)
        checkpoint(backend)
        sizes.append(backend.size_bytes())
    assert sizes[-1] <= 2 * sizes[0]
    assert backend.in_use_bytes() < 100_000
    backend.close()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    (directory / "data.mdb").write_bytes(b"not a database" * 1_000)
    with pytest.raises(BackendFailure):
        LmdbBackend(directory)


def test_an_unfinished_build_is_removed_on_opening(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    (directory / "incoming").mkdir(parents=True)
    (directory / "incoming" / "data.mdb").write_bytes(b"half")
    LmdbBackend(directory).close()
    assert not (directory / "incoming").exists()
