"""Rules of when the loop may wait for the disk."""

from twofold.store.wal.writer import SLOW_FOR_MS, SLOW_SYNC_MS, Pace


def quick() -> Pace:
    pace = Pace()
    for _ in range(100):
        pace.note(0.1, 0)
    return pace


def test_a_disk_has_to_prove_itself_first() -> None:
    assert not Pace().is_quick(0)
    assert quick().is_quick(0)


def test_one_slow_sync_sends_writes_to_the_thread_for_a_while() -> None:
    pace = quick()
    pace.note(SLOW_SYNC_MS, 1_000)
    for _ in range(100):
        pace.note(0.1, 1_000)
    assert not pace.is_quick(1_000 + SLOW_FOR_MS - 1)
    assert pace.is_quick(1_000 + SLOW_FOR_MS)


def test_a_disk_that_is_slow_on_average_is_never_waited_for() -> None:
    pace = quick()
    for _ in range(100):
        pace.note(1.0, 0)
    assert not pace.is_quick(1e9)
