"""Rules of compaction by age and by number."""

from twofold.member.autocompact import REVISION_EVERY_MS, SAMPLE_MS, AutoCompaction


def test_off_means_never() -> None:
    assert AutoCompaction(0, 0).due(1 << 40, 1_000, -1) == 0


def test_by_number_keeps_that_many_and_waits_between() -> None:
    compaction = AutoCompaction(0, 100)
    assert compaction.due(0, 1_000, -1) == 900
    assert compaction.due(REVISION_EVERY_MS - 1, 2_000, 900) == 0
    assert compaction.due(REVISION_EVERY_MS, 2_000, 900) == 1_900
    assert compaction.due(2 * REVISION_EVERY_MS, 1_950, 1_900) == 0


def test_by_age_never_takes_what_is_younger_than_the_period() -> None:
    compaction = AutoCompaction(10 * SAMPLE_MS, 0)
    for minute in range(10):
        assert compaction.due(minute * SAMPLE_MS, 100 + minute, -1) == 0
    assert compaction.due(10 * SAMPLE_MS, 500, -1) == 100
    assert compaction.due(11 * SAMPLE_MS, 500, 100) == 101
