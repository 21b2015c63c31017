"""A heartbeat counts only from the right peer, in order, with a turning loop."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from twofold.base.ids import MemberId
from twofold.peer import heartbeat
from twofold.peer.frames import Hello
from twofold.peer.heartbeat import Heartbeat, HeartbeatConfig, Heartbeats, Judge

ME = Hello(7, MemberId(1), 11, 21)
PEER = Hello(7, MemberId(2), 12, 22)
U64 = st.integers(0, 2**64 - 1)


def judge() -> Judge:
    judge = Judge(ME, PEER.member_id, loop_age_ms_max=500)
    judge.expect(PEER.incarnation)
    return judge


@given(U64, U64, U64, U64, U64, st.integers(0, 2**32 - 1))
def test_datagrams_round_trip(
    cluster: int, member: int, incarnation: int, boot: int, sequence: int, age: int
) -> None:
    hello = Hello(cluster, MemberId(member), incarnation, boot)
    beat = Heartbeat(hello, sequence, age)
    assert heartbeat.decode(heartbeat.encode(beat)) == beat


def test_noise_and_flipped_bits_are_no_heartbeat() -> None:
    datagram = heartbeat.encode(Heartbeat(PEER, 1, 0))
    assert heartbeat.decode(b"") is None
    assert heartbeat.decode(datagram + b"x") is None
    for at in range(len(datagram)):
        changed = bytearray(datagram)
        changed[at] ^= 1
        assert heartbeat.decode(bytes(changed)) is None


def test_the_peers_heartbeats_count_once_and_in_order() -> None:
    counts = judge().counts
    assert counts(Heartbeat(PEER, 5, 0))
    assert not counts(Heartbeat(PEER, 5, 0))
    assert not counts(Heartbeat(PEER, 4, 0))
    assert counts(Heartbeat(PEER, 6, 0))


def test_a_new_boot_counts_from_its_start() -> None:
    counts = judge().counts
    assert counts(Heartbeat(PEER, 500, 0))
    assert counts(Heartbeat(dataclasses.replace(PEER, boot_id=23), 1, 0))


def test_a_stuck_loop_does_not_count() -> None:
    counts = judge().counts
    assert not counts(Heartbeat(PEER, 1, 500))
    assert counts(Heartbeat(PEER, 2, 499))


def test_others_do_not_count() -> None:
    counts = judge().counts
    for change in ({"cluster_id": 8}, {"member_id": 3}, {"incarnation": 99}):
        other = dataclasses.replace(PEER, **change)  # type: ignore[arg-type]
        assert not counts(Heartbeat(other, 1, 0))


def test_nobody_counts_before_the_link_has_greeted() -> None:
    judge = Judge(ME, PEER.member_id, loop_age_ms_max=500)
    unknown = dataclasses.replace(PEER, incarnation=0)
    assert not judge.counts(Heartbeat(PEER, 1, 0))
    assert not judge.counts(Heartbeat(unknown, 2, 0))


def test_two_members_hear_each_other() -> None:
    crashes: list[str] = []
    sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
    for udp in sockets:
        udp.bind(("127.0.0.1", 0))
    ports = [int(udp.getsockname()[1]) for udp in sockets]
    for udp in sockets:
        udp.close()
    hellos = ME, PEER
    beats = [
        Heartbeats(
            HeartbeatConfig(
                hellos[me],
                hellos[1 - me].member_id,
                "127.0.0.1",
                ports[me],
                "127.0.0.1",
                ports[1 - me],
                interval_ms=5,
            ),
            lambda name, error: crashes.append(f"{name}: {error}"),
        )
        for me in (0, 1)
    ]
    heard = [threading.Event(), threading.Event()]
    started_ms = time.monotonic_ns() // 1_000_000
    for me in (0, 1):
        beats[me].on_heard(heard[me].set)
        beats[me].expect(hellos[1 - me].incarnation)
        assert beats[me].last_heard_ms == 0
        beats[me].start()
    for me in (0, 1):
        beats[me].beat()
        assert heard[me].wait(5)
        assert beats[me].last_heard_ms >= started_ms
        assert beats[me].port == ports[me]
    for side in beats:
        side.stop()
    assert crashes == []
