from collections.abc import Callable

from twofold.raft.progress import WINDOW_BATCHES, Progress
from twofold.raft.types import Entry

MakeEntry = Callable[..., Entry]


def test_window_closes_and_opens(entry: MakeEntry) -> None:
    progress = Progress(100)
    for index in range(1, WINDOW_BATCHES + 2):
        progress.sent([entry(1, 0, index, b"x" * 100)])
    assert not progress.has_room()
    assert progress.acknowledge(2, 5)
    assert not progress.acknowledge(2, 6), "nothing new"
    assert progress.acknowledge(WINDOW_BATCHES + 1, 7)
    assert progress.has_room()
    assert progress.inflight_bytes == 0


def test_probe_goes_back_to_what_is_known(entry: MakeEntry) -> None:
    progress = Progress(100)
    progress.reset(10, 0)
    progress.probe()
    assert progress.next == 11, "nothing known: keep the guess"
    progress.acknowledge(11, 1)
    progress.sent([entry(1, 0, 12)])
    progress.probe()
    assert (progress.next, progress.inflight_bytes) == (12, 0)


def test_is_close_when_it_has_all_but_the_last_moment() -> None:
    progress = Progress(100)
    progress.acknowledge(5, 0)
    assert progress.is_close(5)
    assert not progress.is_close(6)
    progress.sample(5, 50)
    progress.sample(8, 100)
    assert progress.is_close(9)
    progress.sample(9, 150)
    assert not progress.is_close(9)
    progress.snapshot = True
    assert not progress.is_close(5)
