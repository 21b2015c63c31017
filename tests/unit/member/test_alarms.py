"""Rules of the space quota."""

from twofold.member.alarms import QUOTA_DEFAULT_BYTES, Quota


def test_zero_means_the_default_and_negative_none() -> None:
    assert Quota(0).limit_bytes == QUOTA_DEFAULT_BYTES
    assert not Quota(-1).exceeded(1 << 50, 1)


def test_a_request_without_cost_always_passes() -> None:
    assert not Quota(100).exceeded(1_000, 0)
    assert Quota(100).exceeded(99, 1)


def test_the_alarm_needs_room_to_go() -> None:
    assert not Quota(100).has_room(95)
    assert Quota(100).has_room(94)
