"""The disk port: what is synced survives, and the fake is as bad as a real one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from twofold.base.clock import ManualClock, MonotonicClock
from twofold.base.crc import crc32
from twofold.base.disk import Disk, RealDisk
from twofold.testing.disk import MemoryDisk


@pytest.fixture(params=["real", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, Path]:
    disk: Disk = RealDisk() if request.param == "real" else MemoryDisk()
    return disk, tmp_path / "a" / "b"


def test_both_disks_do_the_same(place: tuple[Disk, Path]) -> None:
    disk, home = place
    assert disk.list(home) == []
    disk.make_dir(home)
    disk.make_dir(home)
    file = disk.create(home / "two")
    file.reserve(0, 16)
    assert file.read() == bytes(16)
    file.write(4, b"abc")
    file.write_through(20, b"end")
    assert file.read() == bytes(4) + b"abc" + bytes(13) + b"end"
    file.truncate(6)
    file.sync()
    file.close()
    disk.create(home / "one").close()
    assert disk.list(home) == ["one", "two"]
    disk.rename(home / "two", home / "three")
    disk.remove(home / "one")
    disk.sync_dir(home)
    assert disk.list(home) == ["three"]
    again = disk.open(home / "three")
    assert again.read() == bytes(4) + b"ab"
    again.close()
    with pytest.raises(FileNotFoundError):
        disk.open(home / "two")


def test_a_crash_takes_unsynced_bytes_and_names() -> None:
    disk = MemoryDisk()
    disk.make_dir(Path("/d"))
    file = disk.create(Path("/d/a"))
    file.write(0, b"kept")
    file.sync()
    disk.sync_dir(Path("/d"))
    file.write(4, b"lost")
    disk.create(Path("/d/b"))
    disk.crash()
    assert disk.list(Path("/d")) == ["a"]
    assert disk.content(Path("/d/a")) == b"kept"
    with pytest.raises(OSError, match="Bad file"):
        file.read()


def test_a_torn_write_keeps_some_sectors() -> None:
    outcomes = set()
    for seed in range(40):
        disk = MemoryDisk()
        disk.make_dir(Path("/d"))
        file = disk.create(Path("/d/a"))
        file.truncate(1536)
        file.sync()
        disk.sync_dir(Path("/d"))
        file.write(0, b"x" * 1536)
        disk.crash(random.Random(seed))
        content = disk.content(Path("/d/a"))
        outcomes.add(tuple(content[at] for at in (0, 511, 512, 1024)))
    assert (120, 120, 0, 120) in outcomes
    assert all(first == second for first, second, *_ in outcomes)


def test_an_injected_error_leaves_a_write_unsynced() -> None:
    disk = MemoryDisk()
    disk.make_dir(Path("/d"))
    file = disk.create(Path("/d/a"))
    disk.sync_dir(Path("/d"))
    disk.fail_at = disk.operations + 2
    with pytest.raises(OSError, match="Input/output"):
        file.write_through(0, b"x")
    disk.crash()
    assert disk.content(Path("/d/a")) == b""


def test_the_checksum_is_zlibs_and_chains() -> None:
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(b"6789", crc32(b"12345")) == 0xCBF43926


def test_clocks() -> None:
    clock = ManualClock(5)
    clock.advance(3)
    assert clock.now_ms() == 8
    assert MonotonicClock().now_ms() > 0
