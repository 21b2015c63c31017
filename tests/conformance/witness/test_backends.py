"""One suite for every backend: races, kills, late landings, lost answers.

Source: contracts of witness backends, extended Raft §11 and §13.2.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from twofold.raft.types import Claim, ClaimStatus
from twofold.testing.witness_files import Fault, FaultyFiles, Killed, Plan
from twofold.witness.backends.files import Files
from twofold.witness.backends.memory import MemoryBackend
from twofold.witness.backends.numbered import (
    KEPT_VERSIONS,
    NumberedFiles,
    name_of,
    version_of,
)
from twofold.witness.errors import (
    PublishUnknown,
    RecordIncomplete,
    WitnessUnreachable,
)
from twofold.witness.port import Stored, WitnessBackend
from twofold.witness.probe import BACKENDS, race, run_race
from twofold.witness.record import WitnessRecord, decode, encode
from twofold.witness.session import Identity, Session, Trouble, Writer

SWAPS = 1000 if os.environ.get("TWOFOLD_LONG") else 300
METHODS = tuple(BACKENDS)
Make = Callable[[int], bytes]


class Meddled(Files):
    """Files whose placing step is preceded or replaced by the test."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.stale_names: list[str] | None = None

    def names(self) -> list[str]:
        return super().names() if self.stale_names is None else self.stale_names

    def link(self, source: str, target: str) -> None:
        self._meddle(lambda: Files.link(self, source, target))

    def rename_exclusive(self, source: str, target: str) -> None:
        self._meddle(lambda: Files.rename_exclusive(self, source, target))

    def create(self, name: str) -> int:
        if not version_of(name):
            return super().create(name)
        before, self.before = self.before, lambda: None
        before()
        return super().create(name)

    def _meddle(self, place: Callable[[], None]) -> None:
        before, self.before = self.before, lambda: None
        before()
        place()
        self.after()


@pytest.fixture(params=[*METHODS, "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> WitnessBackend:
    if request.param == "memory":
        return MemoryBackend()
    return BACKENDS[request.param](Files(tmp_path))


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# ---- the contract, one caller --------------------------------------------------


def test_nothing_there_is_none(backend: WitnessBackend) -> None:
    assert backend.load() is None


def test_what_was_published_is_loaded(backend: WitnessBackend, make: Make) -> None:
    for version in (1, 2, 3):
        data = make(version)
        assert backend.publish(data, version)
        assert backend.load() == Stored(data, version)


def test_a_version_that_exists_is_refused(backend: WitnessBackend, make: Make) -> None:
    first = make(1)
    assert backend.publish(first, 1)
    assert not backend.publish(make(1), 1)
    assert backend.load() == Stored(first, 1)


def test_the_same_bytes_again_are_confirmed(
    backend: WitnessBackend, make: Make
) -> None:
    data = make(1)
    assert backend.publish(data, 1)
    assert backend.publish(data, 1)
    assert backend.publish(make(2), 2)
    assert not backend.publish(data, 1)


def test_a_lower_version_than_the_newest_is_refused(
    backend: WitnessBackend, make: Make
) -> None:
    published = [make(version) for version in range(1, 6)]
    for version, data in enumerate(published, 1):
        assert backend.publish(data, version)
    assert not backend.publish(make(3), 3)
    assert backend.load() == Stored(published[-1], 5)


def test_a_version_without_the_one_before_it_is_refused(
    backend: WitnessBackend, make: Make
) -> None:
    # What an unmounted share uncovers, or a medium that went back in time.
    assert not backend.publish(make(2), 2)
    assert backend.load() is None
    first = make(1)
    assert backend.publish(first, 1)
    assert not backend.publish(make(3), 3)
    assert backend.load() == Stored(first, 1)


def test_a_version_after_another_than_was_loaded_is_refused(
    method: str, tmp_path: Path, make: Make
) -> None:
    backend = BACKENDS[method](Files(tmp_path))
    assert backend.publish(make(1), 1)
    (tmp_path / name_of(1)).write_bytes(make(1))
    assert not backend.publish(make(2), 2)
    backend.load()
    assert backend.publish(make(2), 2)


def test_pruning_keeps_the_newest_32(backend: WitnessBackend, make: Make) -> None:
    published = [make(version) for version in range(1, 101)]
    for version, data in enumerate(published, 1):
        assert backend.publish(data, version)
    backend.prune()
    assert backend.load() == Stored(published[-1], 100)
    assert backend.publish(make(101), 101)


def test_pruning_leaves_32_files_and_no_old_draft(
    method: str, tmp_path: Path, make: Make
) -> None:
    backend = BACKENDS[method](Files(tmp_path))
    (tmp_path / f"{3:020}.dead.draft").write_bytes(b"left by a dead writer")
    (tmp_path / "readme.txt").write_text("not ours")
    for version in range(1, 101):
        assert backend.publish(make(version), version)
    backend.prune()
    kept = {name_of(version) for version in range(101 - KEPT_VERSIONS, 101)}
    assert {path.name for path in tmp_path.iterdir()} == kept | {"readme.txt"}


# ---- races -----------------------------------------------------------------------


def test_concurrent_processes_have_one_winner_a_version(
    method: str, tmp_path: Path
) -> None:
    outcomes = run_race(tmp_path, method, 2, SWAPS)
    placed = Counter(version for outcome in outcomes for version in outcome.placed)
    won = Counter(version for outcome in outcomes for version in outcome.won)
    newest = max(placed)
    assert placed == Counter(range(1, newest + 1)), "exactly one writer a version"
    assert won <= placed, "at most one is told so"
    assert sum(outcome.unknown_count for outcome in outcomes) == 0
    assert newest >= SWAPS // 2, "and somebody does win"


def test_concurrent_threads_have_one_winner_a_version_in_memory(make: Make) -> None:
    backend = MemoryBackend()

    def swap(_: int) -> list[int]:
        won = []
        for _ in range(SWAPS):
            stored = backend.load()
            version = 1 if stored is None else stored.version + 1
            if backend.publish(make(version), version):
                won.append(version)
        return won

    with ThreadPoolExecutor(2) as pool:
        wins = Counter(version for won in pool.map(swap, range(2)) for version in won)
    assert wins == Counter(range(1, max(wins) + 1))


def test_pruning_during_a_race_makes_no_second_winner(
    method: str, tmp_path: Path
) -> None:
    stop = threading.Event()

    def prune() -> None:
        backend = BACKENDS[method](Files(tmp_path))
        while not stop.wait(0.001):
            backend.prune()

    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(prune)
        outcomes = run_race(tmp_path, method, 3, 100)
        stop.set()
        pruning.result()
    won = Counter(version for outcome in outcomes for version in outcome.won)
    assert won
    assert max(won.values()) == 1


# ---- one fault at every operation -------------------------------------------------


def sweep(
    method: str,
    fault: Fault,
    directory: Path,
    first: WitnessRecord,
    identities: tuple[Identity, Identity],
    candidate: Callable[..., Claim],
) -> int:
    """Claim with the n-th operation going wrong, for every n; return the last n."""
    for at in range(1, 200):
        medium = directory / f"{fault.name}-{at}"
        medium.mkdir()
        sound = BACKENDS[method](Files(medium))
        assert sound.publish(encode(first), 1)
        plan = Plan(at, fault)
        session = Session(BACKENDS[method](FaultyFiles(medium, plan)), identities[0])
        answer = None
        with suppress(Killed):
            answer = session.answer(candidate(2), Writer())
        try:
            stored = sound.load()
        except RecordIncomplete:
            assert method == "create", "elsewhere content is complete or not there"
            assert answer is None or answer.status is ClaimStatus.UNREACHABLE
            continue
        assert stored is not None
        record = decode(stored.data)
        assert record.version in (1, 2)
        if answer is not None and answer.status is ClaimStatus.OK:
            assert record == answer.record
        else:
            assert answer is None or answer.status is ClaimStatus.UNREACHABLE
        # Whatever happened, whoever may go on can: A as owner or for the first time.
        again = Session(sound, identities[0]).answer(candidate(3, last=2), Writer())
        assert again.status is ClaimStatus.OK
        if not plan.struck:
            assert answer is not None
            assert answer.status is ClaimStatus.OK
            return at
    raise AssertionError("the scenario never ends")


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_at_any_operation_loses_nothing(
    method: str,
    fault: Fault,
    tmp_path: Path,
    first_record: WitnessRecord,
    identities: tuple[Identity, Identity],
    candidate: Callable[..., Claim],
) -> None:
    last = sweep(method, fault, tmp_path, first_record, identities, candidate)
    assert last > 6


def test_kill_9_at_any_moment_leaves_a_whole_record(
    method: str, tmp_path: Path, make: Make
) -> None:
    # Spawned racers run for a random time; the medium must be fine after each.
    rng = random.Random(method)
    context = multiprocessing.get_context("spawn")
    sound = BACKENDS[method](Files(tmp_path))
    newest = 0
    for _ in range(8):
        racer = context.Process(target=race, args=(tmp_path, method, 1_000_000))
        racer.start()
        deadline_s = time.monotonic() + 20
        while _version(sound) == newest and time.monotonic() < deadline_s:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        racer.kill()
        racer.join()
        racer.close()
        try:
            stored = sound.load()
        except RecordIncomplete as error:
            assert method == "create"
            # What the message tells the operator to do.
            name = str(error).rsplit(" ", 1)[1]
            (tmp_path / name).unlink()
            stored = sound.load()
        assert stored is not None
        assert stored.version > newest
        newest = stored.version + 1
        assert sound.publish(make(newest), newest)


def _version(backend: NumberedFiles) -> int:
    try:
        stored = backend.load()
    except RecordIncomplete:
        return -1
    return 0 if stored is None else stored.version


# ---- late, lost, stale, torn --------------------------------------------------------


def test_an_abandoned_write_that_lands_late_is_seen_by_the_next(
    method: str, tmp_path: Path, make: Make
) -> None:
    # The claim was given up; its placing comes after the other member has read.
    late, mine = make(2), make(2)
    sound = BACKENDS[method](Files(tmp_path))
    assert sound.publish(make(1), 1)
    files = Meddled(tmp_path)
    files.before = lambda: _land(method, tmp_path, late)
    other = BACKENDS[method](files)
    assert not other.publish(mine, 2)
    assert other.load() == Stored(late, 2)


def _land(method: str, directory: Path, data: bytes) -> None:
    assert BACKENDS[method](Files(directory)).publish(data, 2)


def test_a_stalled_writer_that_recreates_a_pruned_number_loses(
    method: str, tmp_path: Path, make: Make
) -> None:
    sound = BACKENDS[method](Files(tmp_path))
    assert sound.publish(make(1), 1)
    newest = make(90)

    def others_go_on() -> None:
        for version in range(2, 90):
            assert sound.publish(make(version), version)
        assert sound.publish(newest, 90)
        # As pruning does, except that the stalled writer's draft is left to it.
        for version in range(1, 59):
            (tmp_path / name_of(version)).unlink()

    files = Meddled(tmp_path)
    files.before = others_go_on
    assert not BACKENDS[method](files).publish(make(2), 2)
    assert sound.load() == Stored(newest, 90)


@pytest.mark.parametrize("drafting", ["link", "rename"])
def test_pruning_takes_a_stalled_writers_draft_away(
    drafting: str, tmp_path: Path, make: Make
) -> None:
    sound = BACKENDS[drafting](Files(tmp_path))
    assert sound.publish(make(1), 1)

    def others_go_on() -> None:
        for version in range(2, 91):
            assert sound.publish(make(version), version)
        sound.prune()

    files = Meddled(tmp_path)
    files.before = others_go_on
    with pytest.raises(PublishUnknown):
        BACKENDS[drafting](files).publish(make(2), 2)
    assert not (tmp_path / name_of(2)).exists()


@pytest.mark.parametrize("linking", ["link", "rename"])
def test_told_exists_about_its_own_success_it_has_won(
    linking: str, tmp_path: Path, make: Make
) -> None:
    # An NFS client that lost the server's first reply repeats the call.
    def repeat() -> None:
        raise FileExistsError

    files = Meddled(tmp_path)
    files.after = repeat
    data = make(1)
    assert BACKENDS[linking](files).publish(data, 1)
    assert BACKENDS[linking](files).load() == Stored(data, 1)


def test_a_stale_listing_does_not_hide_the_newest(
    method: str, tmp_path: Path, make: Make
) -> None:
    sound = BACKENDS[method](Files(tmp_path))
    for version in (1, 2, 3):
        assert sound.publish(make(version), version)
    files = Meddled(tmp_path)
    files.stale_names = [name_of(1)]
    stored = BACKENDS[method](files).load()
    assert stored is not None
    assert stored.version == 3


def test_a_listing_older_than_the_last_pruning_is_no_answer(
    method: str, tmp_path: Path, make: Make
) -> None:
    sound = BACKENDS[method](Files(tmp_path))
    for version in range(1, 91):
        assert sound.publish(make(version), version)
    sound.prune()
    files = Meddled(tmp_path)
    files.stale_names = [name_of(1)]
    with pytest.raises(WitnessUnreachable):
        BACKENDS[method](files).load()


@pytest.mark.parametrize("size", [0, 1, 100, 155])
def test_a_torn_newest_version_stops_everybody(
    method: str,
    size: int,
    tmp_path: Path,
    make: Make,
    identities: tuple[Identity, Identity],
    candidate: Callable[..., Claim],
) -> None:
    sound = BACKENDS[method](Files(tmp_path))
    assert sound.publish(make(1), 1)
    (tmp_path / name_of(2)).write_bytes(make(2)[:size])
    answer = Session(sound, identities[0]).answer(candidate(2), Writer())
    assert answer.status is ClaimStatus.UNREACHABLE
    assert answer.trouble is Trouble.UNUSABLE
    assert not (tmp_path / name_of(3)).exists()


def test_a_publish_leaves_no_draft(method: str, tmp_path: Path, make: Make) -> None:
    backend = BACKENDS[method](Files(tmp_path))
    backend.publish(make(1), 1)
    backend.publish(make(1), 1)
    assert [path.name for path in tmp_path.iterdir()] == [name_of(1)]


def test_versions_are_named_with_twenty_digits() -> None:
    assert name_of(7) == "00000000000000000007.st"
    assert version_of(name_of(7)) == 7
    for name in ("7.st", "x.st", f"{7:020}.draft", f"{7:020}", "²" * 20 + ".st"):
        assert version_of(name) == 0
