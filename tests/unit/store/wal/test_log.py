"""The log keeps what it acknowledged, through crashes, and invents nothing."""

from __future__ import annotations

import contextlib
import errno
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.base.disk import DiskFailed, RealDisk
from twofold.base.errors import InvariantError
from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import (
    FRESH,
    ORIGIN,
    Entry,
    EntryKind,
    HardState,
    Position,
    Restart,
)
from twofold.store.wal.errors import WalCorrupt, WalExists, WalMissing, WalStopped
from twofold.store.wal.log import Wal
from twofold.store.wal.records import WalMeta, WalState
from twofold.testing.disk import MemoryDisk

HOME = Path("/data/wal")
META = WalMeta(cluster_id=7, member_id=MemberId(1), incarnation=2**64 - 1)
FIRST = HOME / f"{1:016x}.wal"


def entry(index: int, term: int = 1, data: bytes = b"x") -> Entry:
    return Entry(Index(index), Term(term), Subterm(0), EntryKind.COMMANDS, data)


def entries(first: int, last: int, term: int = 1, size: int = 20) -> list[Entry]:
    return [entry(i, term, bytes([i % 251 + 1]) * size) for i in range(first, last + 1)]


def create(disk: MemoryDisk, segment_bytes: int = 4096) -> Wal:
    return Wal.create(
        HOME, META, disk=disk, segment_bytes=segment_bytes, reserve_bytes=1024
    )


def reopen(disk: MemoryDisk) -> tuple[Wal, Restart]:
    return Wal.open(HOME, disk=disk, segment_bytes=4096, reserve_bytes=1024)


def test_an_empty_log_restarts_fresh() -> None:
    disk = MemoryDisk()
    create(disk)
    disk.crash()
    wal, restart = reopen(disk)
    assert restart == Restart()
    assert wal.meta == META


def test_synced_entries_and_hard_state_survive_and_buffered_ones_do_not() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 3), HardState(Term(1), MemberId(2)))
    wal.sync()
    wal.append(entries(4, 4), HardState(Term(9), MemberId(1)))
    disk.crash()
    wal, restart = reopen(disk)
    assert restart.entries == tuple(entries(1, 3))
    assert restart.hard_state == HardState(Term(1), MemberId(2))
    assert wal.last_index == 3


def test_a_lower_index_replaces_the_tail() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 5), None)
    wal.sync()
    wal.append(entries(3, 3, term=2), None)
    wal.sync()
    _, restart = reopen(disk)
    assert restart.entries == (*entries(1, 2), *entries(3, 3, term=2))


def test_a_mark_drops_what_it_covers_and_keeps_the_rest() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 5), None)
    wal.mark(Index(3), Position(Term(1), Subterm(0)))
    wal.sync()
    _, restart = reopen(disk)
    assert restart.snapshot_index == restart.applied == 3
    assert restart.snapshot == Position(Term(1), Subterm(0))
    assert restart.entries == tuple(entries(4, 5))


def test_a_reset_voids_the_whole_log() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 5), None)
    wal.mark(Index(4), Position(Term(3), Subterm(1)), reset=True)
    wal.append(entries(5, 6, term=3), None)
    wal.sync()
    _, restart = reopen(disk)
    assert restart.entries == tuple(entries(5, 6, term=3))


def test_a_mark_beyond_the_end_moves_the_end() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.mark(Index(100), Position(Term(3), Subterm(1)))
    wal.append(entries(101, 101, term=3), None)
    wal.sync()
    wal, restart = reopen(disk)
    assert restart.snapshot_index == 100
    assert restart.entries == tuple(entries(101, 101, term=3))


def test_a_log_can_start_from_a_snapshot() -> None:
    disk = MemoryDisk()
    state = WalState(HardState(Term(4), MemberId(0)), Index(50), Position(4, 1))  # type: ignore[arg-type]
    wal = Wal.create(HOME, META, disk=disk, state=state)
    wal.append(entries(51, 52, term=4), None)
    wal.sync()
    _, restart = Wal.open(HOME, disk=disk)
    assert restart.snapshot_index == 50
    assert restart.hard_state.term == 4
    assert [e.index for e in restart.entries] == [51, 52]


@pytest.mark.parametrize("first", [3, 7])
def test_gaps_and_replacing_the_checkpoint_break_an_invariant(first: int) -> None:
    wal = create(MemoryDisk())
    wal.append(entries(1, 5), None)
    wal.mark(Index(3), Position(Term(1), Subterm(0)))
    with pytest.raises(InvariantError):
        wal.append(entries(first, first), None)


def test_segments_roll_and_are_released_below_a_durable_mark() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    for i in range(1, 200):
        wal.append(entries(i, i, size=100), HardState(Term(i), MemberId(1)))
        wal.sync()
    count = len(disk.list(HOME))
    assert count > 4
    assert wal.release(Index(150)) == 0
    wal.mark(Index(150), Position(Term(1), Subterm(0)))
    assert wal.release(Index(150)) == 0
    wal.sync()
    assert wal.release(Index(150)) == count - len(disk.list(HOME)) > 2
    disk.crash()
    wal, restart = reopen(disk)
    assert restart.snapshot_index == 150
    assert restart.entries == tuple(entries(151, 199, size=100))
    assert restart.hard_state.term == 199
    wal.append(entries(200, 200), None)
    wal.sync()


def test_an_entry_larger_than_a_segment_fits() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    for i in (1, 2, 3):
        wal.append(entries(i, i, size=10_000), None)
        wal.sync()
    disk.crash()
    _, restart = reopen(disk)
    assert restart.entries == tuple(entries(1, 3, size=10_000))


def test_a_log_is_not_created_twice_nor_opened_where_there_is_none() -> None:
    disk = MemoryDisk()
    with pytest.raises(WalMissing):
        reopen(disk)
    create(disk)
    with pytest.raises(WalExists):
        create(disk)


def test_nothing_is_taken_after_a_failed_sync() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 1), None)
    disk.fail_at = disk.operations + 1
    disk.fail_errno = errno.ENOSPC
    with pytest.raises(DiskFailed, match="No space left"):
        wal.sync()
    disk.fail_at = None
    with pytest.raises(WalStopped):
        wal.append(entries(1, 1), None)
    with pytest.raises(WalStopped):
        wal.sync()


# ---- damage -------------------------------------------------------------------


def filled(disk: MemoryDisk) -> None:
    wal = create(disk, segment_bytes=2048)
    for i in range(1, 31):
        wal.append(entries(i, i, size=100), None)
        wal.sync()


def outcome(disk: MemoryDisk) -> Restart | WalCorrupt:
    try:
        return reopen(disk)[1]
    except WalCorrupt as error:
        return error


def test_every_damaged_byte_of_a_closed_segment_is_noticed() -> None:
    disk = MemoryDisk()
    filled(disk)
    size = len(disk.content(FIRST))
    for at in range(0, size, 7):
        disk.damage(FIRST, at)
        found = outcome(disk)
        if isinstance(found, WalCorrupt):
            assert found.path == FIRST
            assert str(FIRST) in str(found)
            assert "replace" in str(found)
        else:
            # Padding is outside every checksum and carries nothing.
            assert found.entries == tuple(entries(1, 30, size=100))
        disk.damage(FIRST, at)


def test_damage_before_the_last_frame_is_no_torn_tail() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 1, size=1500), None)
    wal.sync()
    start = disk.content(FIRST).find(b"\x02" * 100)
    wal.append(entries(2, 2), None)
    wal.sync()
    for at in range(start, start + 512):
        if disk.content(FIRST)[at]:
            disk.damage(FIRST, at, flip=disk.content(FIRST)[at])
    with pytest.raises(WalCorrupt, match="checksum"):
        reopen(disk)


def test_a_flipped_bit_in_the_last_frame_is_no_torn_tail() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 1, size=700), None)
    wal.sync()
    disk.damage(FIRST, disk.content(FIRST).find(b"\x02" * 100), flip=1)
    with pytest.raises(WalCorrupt):
        reopen(disk)


def test_a_missing_segment_is_noticed() -> None:
    disk = MemoryDisk()
    filled(disk)
    names = disk.list(HOME)
    disk.remove(HOME / names[1])
    with pytest.raises(WalCorrupt, match="missing"):
        reopen(disk)


def test_a_missing_first_segment_is_noticed() -> None:
    disk = MemoryDisk()
    filled(disk)
    disk.remove(FIRST)
    with pytest.raises(WalCorrupt, match="missing"):
        reopen(disk)


def test_a_torn_frame_is_cut_and_overwritten() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entries(1, 1), None)
    wal.sync()
    wal.append(entries(2, 2, size=3000), None)
    disk.fail_at = disk.operations + 3  # reserve, write, then the sync fails
    with pytest.raises(DiskFailed):
        wal.sync()
    chance = random.Random(1)
    disk.crash(chance)
    wal, restart = reopen(disk)
    assert restart.entries == tuple(entries(1, 1))
    wal.append(entries(2, 2, term=5, size=50), None)
    wal.sync()
    disk.crash()
    _, restart = reopen(disk)
    assert restart.entries == (*entries(1, 1), *entries(2, 2, term=5, size=50))


# ---- crash after every operation ---------------------------------------------------


@dataclass
class Model:
    """What a log must say, kept the simple way."""

    hard_state: HardState = FRESH
    mark_index: int = 0
    mark: Position = ORIGIN
    held: list[Entry] = field(default_factory=list)

    def copy(self) -> Model:
        return Model(self.hard_state, self.mark_index, self.mark, list(self.held))

    def last(self) -> int:
        return self.held[-1].index if self.held else self.mark_index

    def append(self, new: list[Entry], hard_state: HardState | None) -> None:
        if new:
            self.held = [e for e in self.held if e.index < new[0].index] + new
        if hard_state is not None:
            self.hard_state = hard_state

    def mark_at(self, index: int, position: Position, reset: bool) -> None:
        self.mark_index, self.mark = index, position
        self.held = [] if reset else [e for e in self.held if e.index > index]

    def matches(self, restart: Restart) -> bool:
        return (
            restart.hard_state == self.hard_state
            and restart.snapshot_index == self.mark_index
            and restart.snapshot == self.mark
            and restart.entries == tuple(self.held)
        )


def step(wal: Wal, model: Model, choice: random.Random, term: int) -> None:
    """One random change of the log, made to the model too (not yet synced)."""
    kind = choice.random()
    if kind < 0.15 and model.last() > model.mark_index:
        index = choice.randint(model.mark_index, model.last())
        reset = choice.random() < 0.3
        position = Position(Term(term), Subterm(0))
        wal.mark(Index(index), position, reset=reset)
        model.mark_at(index, position, reset)
        return
    back = choice.choice([0, 0, 0, 1, 3])
    first = max(model.mark_index + 1, model.last() + 1 - back)
    size = choice.choice([0, 10, 600, 2500])
    count = choice.randint(0, 3)
    new = entries(first, first + count - 1, term, size)
    hard = HardState(Term(term), MemberId(1)) if choice.random() < 0.4 else None
    wal.append(new, hard)
    model.append(new, hard)


def run_until_fault(disk: MemoryDisk, choice: random.Random, steps: int) -> list[Model]:
    """Work until the disk fails; gives the states a restart may show."""
    acknowledged = Model()
    try:
        wal = Wal.create(HOME, META, disk=disk, segment_bytes=4096, reserve_bytes=1024)
    except DiskFailed:
        return []
    pending = acknowledged.copy()
    try:
        for number in range(steps):
            for _ in range(choice.randint(1, 3)):
                step(wal, pending, choice, number + 1)
            wal.sync()
            acknowledged = pending.copy()
            if choice.random() < 0.2:
                wal.release(Index(acknowledged.mark_index))
    except DiskFailed:
        return [acknowledged, pending]
    return [acknowledged]


def check_crash(seed: int, fail_at: int, losses: random.Random | None) -> bool:
    """Crash at one operation, reopen, check, go on; False: it was never reached."""
    disk = MemoryDisk()
    disk.fail_at = fail_at
    allowed = run_until_fault(disk, random.Random(seed), steps=12)
    reached = disk.operations >= fail_at
    disk.crash(losses)
    try:
        wal, restart = reopen(disk)
    except WalMissing:
        assert not allowed
        return reached
    if not allowed:
        assert restart == Restart()
        return reached
    assert any(model.matches(restart) for model in allowed)
    last = restart.entries[-1].index if restart.entries else restart.snapshot_index
    wal.append(entries(last + 1, last + 2, 99, 700), None)
    wal.sync()
    disk.crash(losses)
    _, again = reopen(disk)
    assert again.entries[:-2] == restart.entries
    assert again.entries[-1].index == last + 2
    return reached


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_after_any_disk_operation_loses_nothing_acknowledged(
    seed: int,
) -> None:
    for losses in (None, random.Random(seed)):
        fail_at = 1
        while check_crash(seed, fail_at, losses):
            fail_at += 1
        assert fail_at > 30


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(0, 2**32))
def test_any_history_any_crash_any_loss(seed: int, fail_at: int, loss: int) -> None:
    check_crash(seed, fail_at, random.Random(loss))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 12), st.booleans())
def test_a_second_crash_while_reopening_loses_nothing(
    seed: int, fail_at: int, second: int, lossy: bool
) -> None:
    losses = random.Random(seed) if lossy else None
    disk = MemoryDisk()
    disk.fail_at = fail_at
    allowed = run_until_fault(disk, random.Random(seed), steps=12)
    disk.crash(losses)
    disk.fail_at = disk.operations + second
    with contextlib.suppress(DiskFailed, WalMissing):
        reopen(disk)
    disk.crash(losses)
    try:
        _, restart = reopen(disk)
    except WalMissing:
        assert not allowed
        return
    assert not allowed or any(model.matches(restart) for model in allowed)


def test_the_real_disk_does_the_same(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "wal"
    wal = Wal.create(home, META, disk=RealDisk(), segment_bytes=1 << 16)
    for i in range(1, 60):
        wal.append(entries(i, i, size=3000), HardState(Term(i), MemberId(1)))
        wal.sync()
    wal.mark(Index(40), Position(Term(1), Subterm(0)))
    wal.sync()
    assert wal.release(Index(40)) >= 1
    wal.close()
    with pytest.raises(WalStopped):
        wal.sync()
    wal, restart = Wal.open(home)
    assert restart.entries == tuple(entries(41, 59, size=3000))
    wal.append(entries(60, 60), None)
    wal.sync()
    wal.close()
    wal, restart = Wal.open(home)
    assert restart.entries[-1] == entries(60, 60)[0]
    wal.close()
