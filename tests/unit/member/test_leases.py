"""Rules of the leader's lease clock."""

from twofold.member.leases import LeaseClock


def leading() -> LeaseClock:
    clock = LeaseClock(grace_ms=500)
    clock.lead([(1, 10), (2, 20)], now_ms=0)
    return clock


def test_a_new_leader_gives_full_time_and_a_grace() -> None:
    clock = leading()
    assert clock.take_expired(10_499, 9) == []
    assert clock.take_expired(10_500, 9) == [1]


def test_an_expired_lease_is_handed_out_once_until_its_revocation_fails() -> None:
    clock = leading()
    assert clock.take_expired(30_000, 9) == [1, 2]
    assert clock.take_expired(30_000, 9) == []
    clock.revoke_failed(2)
    assert clock.take_expired(30_000, 9) == [2]


def test_a_renewal_starts_the_time_anew_but_never_raises_the_dead() -> None:
    clock = leading()
    assert clock.renew(1, now_ms=5_000) == 10
    assert clock.take_expired(14_999, 9) == []
    assert clock.renew(1, now_ms=15_000) == 0
    assert clock.renew(3, now_ms=0) == 0


def test_only_the_leader_lets_leases_expire() -> None:
    clock = leading()
    clock.resign()
    assert clock.take_expired(99_000, 9) == []
    clock.granted(5, 1, 0)
    assert clock.remaining_s(5, 0) == -1
