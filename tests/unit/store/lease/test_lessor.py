"""Lease rules."""

from __future__ import annotations

import pytest

from twofold.store.backend.memory import MemoryBackend
from twofold.store.errors import ApplyRefused
from twofold.store.lease.lessor import TTL_MAX_S, Lessor


@pytest.fixture
def lessor() -> Lessor:
    return Lessor(MemoryBackend(), ttl_min_s=2)


def refusal(lessor: Lessor, lease_id: int, ttl_s: int) -> str:
    with pytest.raises(ApplyRefused) as caught:
        lessor.grant(lease_id, ttl_s)
    return caught.value.error


def test_a_short_ttl_is_raised_to_the_minimum(lessor: Lessor) -> None:
    assert lessor.grant(1, 0) == 2
    assert lessor.grant(2, 60) == 60
    assert list(lessor.leases()) == [(1, 2), (2, 60)]
    assert (lessor.ttl_s(1), lessor.ttl_s(3)) == (2, None)


def test_an_id_is_granted_once_and_a_ttl_has_a_limit(lessor: Lessor) -> None:
    lessor.grant(1, 60)
    assert refusal(lessor, 1, 60) == "LEASE_EXIST"
    assert refusal(lessor, 2, TTL_MAX_S + 1) == "LEASE_TTL_TOO_LARGE"
    assert lessor.grant(2, TTL_MAX_S) == TTL_MAX_S
    assert len(lessor) == 2


def test_a_key_hangs_on_one_lease_at_most(lessor: Lessor) -> None:
    lessor.grant(1, 60)
    lessor.grant(2, 60)
    lessor.attach(b"k", 1)
    lessor.attach(b"k", 1)
    assert (lessor.lease_of(b"k"), lessor.keys_of(1)) == (1, [b"k"])
    lessor.attach(b"k", 2)
    assert (lessor.keys_of(1), lessor.keys_of(2)) == ([], [b"k"])
    lessor.attach(b"k", 0)
    lessor.attach(b"k", 0)
    assert (lessor.lease_of(b"k"), lessor.keys_of(2)) == (0, [])
    assert lessor.keys_of(3) == []


def test_a_revoke_gives_the_keys_sorted_and_forgets_them(lessor: Lessor) -> None:
    lessor.grant(1, 60)
    for key in (b"c", b"a", b"b"):
        lessor.attach(key, 1)
    assert lessor.revoke(1) == [b"a", b"b", b"c"]
    assert lessor.lease_of(b"a") == 0
    assert not lessor.exists(1)
    with pytest.raises(ApplyRefused) as caught:
        lessor.revoke(1)
    assert caught.value.error == "LEASE_NOT_FOUND"


def test_the_one_who_keeps_time_hears_of_changes(lessor: Lessor) -> None:
    heard: list[tuple[int, ...]] = []
    lessor.on_granted = lambda lease_id, ttl_s: heard.append((lease_id, ttl_s))
    lessor.on_revoked = lambda lease_id: heard.append((lease_id,))
    lessor.grant(1, 1)
    lessor.revoke(1)
    assert heard == [(1, 2), (1,)]


def test_leases_outlive_a_restart_negative_ids_too() -> None:
    backend = MemoryBackend()
    lessor = Lessor(backend)
    for lease_id in (1, -5, (1 << 63) - 1):
        lessor.grant(lease_id, 60)
    lessor.revoke(1)
    backend.checkpoint(lambda _failure: None)
    again = Lessor(MemoryBackend(backend.disk))
    assert sorted(again.leases()) == [(-5, 60), ((1 << 63) - 1, 60)]
