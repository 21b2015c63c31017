"""UDP heartbeats from a thread of their own, so that a busy loop is not silence.

Each carries the age of the sender's last loop turn: a thread that still runs
must not hide a loop that is stuck. Where UDP is blocked nothing arrives, and the
messages of the link count alone.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from twofold.base.crc import crc32
from twofold.base.ids import MemberId
from twofold.base.tasks import OnCrash, guarded
from twofold.peer.frames import Hello

_BEAT = struct.Struct("<8sQQQQQI")
_CRC = struct.Struct("<I")
_MAGIC = b"2fold-hb"
_AGE_MS_MAX = 2**32 - 1
_RESOLVE_EVERY_MS = 10_000
_SIZE = _BEAT.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One datagram; ``loop_age_ms`` is the time since the sender's loop turned."""

    hello: Hello
    sequence: int
    loop_age_ms: int


def encode(beat: Heartbeat) -> bytes:
    """The datagram."""
    hello = beat.hello
    body = _BEAT.pack(
        _MAGIC,
        hello.cluster_id,
        hello.member_id,
        hello.incarnation,
        hello.boot_id,
        beat.sequence,
        min(beat.loop_age_ms, _AGE_MS_MAX),
    )
    return body + _CRC.pack(crc32(body))


def decode(datagram: bytes) -> Heartbeat | None:
    """The heartbeat, None for anything else that may arrive on a port."""
    if len(datagram) != _SIZE:
        return None
    body = datagram[: _BEAT.size]
    magic, cluster_id, member_id, incarnation, boot_id, sequence, age_ms = _BEAT.unpack(
        body
    )
    if magic != _MAGIC or crc32(body) != _CRC.unpack_from(datagram, _BEAT.size)[0]:
        return None
    hello = Hello(cluster_id, MemberId(member_id), incarnation, boot_id)
    return Heartbeat(hello, sequence, age_ms)


class Judge:
    """Decides which heartbeats count; no clock, no socket."""

    def __init__(self, mine: Hello, peer_id: MemberId, loop_age_ms_max: int) -> None:
        self._mine = mine
        self._peer_id = peer_id
        self._loop_age_ms_max = loop_age_ms_max
        self._incarnation = 0
        self._last: tuple[int, int] = (0, 0)

    def expect(self, incarnation: int) -> None:
        """Count only this incarnation's, 0: none."""
        self._incarnation = incarnation

    def counts(self, beat: Heartbeat) -> bool:
        """Whether it proves that the peer's loop turns now."""
        hello = beat.hello
        if (
            hello.cluster_id != self._mine.cluster_id
            or hello.member_id != self._peer_id
            or hello.incarnation != self._incarnation
            or self._incarnation == 0
        ):
            return False
        boot_id, sequence = self._last
        if boot_id == hello.boot_id and beat.sequence <= sequence:
            return False  # A repeat or a straggler says nothing about now.
        self._last = (hello.boot_id, beat.sequence)
        return beat.loop_age_ms < self._loop_age_ms_max


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """``bind_host``/``bind_port``: the peer link's own, for UDP."""

    hello: Hello
    peer_id: MemberId
    bind_host: str
    bind_port: int
    peer_host: str
    peer_port: int
    interval_ms: int = 50
    loop_age_ms_max: int = 500


class Heartbeats:
    """The thread and what it knows.

    The loop calls ``beat`` about every 20 ms and polls ``last_heard_ms``;
    ``expect`` says, once the link has greeted, whose heartbeats count.
    """

    def __init__(self, config: HeartbeatConfig, crash: OnCrash) -> None:
        self.config = config
        self._judge = Judge(config.hello, config.peer_id, config.loop_age_ms_max)
        # Single attributes, written by one thread each: no lock is needed.
        self._beat_ns = time.monotonic_ns()
        self._heard_ms = 0
        self._stopping = False
        self._heard: Callable[[], None] | None = None
        self._socket: socket.socket | None = None
        self._target: tuple[str, int] | None = None
        self._resolved_ms = -_RESOLVE_EVERY_MS
        self._thread = threading.Thread(
            target=guarded(self._run, "heartbeat", crash), name="heartbeat", daemon=True
        )

    def start(self) -> None:
        """Bind and start the thread.

        Raises:
            OSError: the port is taken.
        """
        config = self.config
        family, _, _, _, address = socket.getaddrinfo(
            config.bind_host, config.bind_port, type=socket.SOCK_DGRAM
        )[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address)
        self._beat_ns = time.monotonic_ns()
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; waits for it, at most about one interval."""
        self._stopping = True
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def port(self) -> int:
        """The UDP port bound."""
        if self._socket is None:
            return self.config.bind_port
        return int(self._socket.getsockname()[1])

    def beat(self) -> None:
        """The loop turns: to be called from it."""
        self._beat_ns = time.monotonic_ns()

    def expect(self, incarnation: int) -> None:
        """Count heartbeats of this incarnation of the peer, 0: of none."""
        self._judge.expect(incarnation)

    @property
    def last_heard_ms(self) -> int:
        """Monotonic time of the last heartbeat that counted, 0: none yet."""
        return self._heard_ms

    def on_heard(self, callback: Callable[[], None]) -> None:
        """Also call this, from the thread, at each heartbeat that counts."""
        self._heard = callback

    def _run(self) -> None:
        udp = self._socket
        if udp is None:
            return
        sequence = 0
        interval_ns = self.config.interval_ms * 1_000_000
        next_ns = time.monotonic_ns()
        with udp:
            while not self._stopping:
                now_ns = time.monotonic_ns()
                if now_ns >= next_ns:
                    sequence += 1
                    self._send(udp, sequence, now_ns)
                    # Not next += interval: after a pause a burst proves nothing.
                    next_ns = now_ns + interval_ns
                wait_s = max(0, next_ns - time.monotonic_ns()) / 1e9
                if select.select([udp], [], [], wait_s)[0]:
                    self._receive(udp)

    def _send(self, udp: socket.socket, sequence: int, now_ns: int) -> None:
        age_ms = (now_ns - self._beat_ns) // 1_000_000
        target = self._resolve(udp, now_ns // 1_000_000)
        if target is None:
            return
        beat = Heartbeat(self.config.hello, sequence, max(0, age_ms))
        try:
            udp.sendto(encode(beat), target)
        except OSError:
            # Unreachable now, or the peer's kernel said so a moment ago: both
            # look like silence at the other end, which is what they are.
            return

    def _receive(self, udp: socket.socket) -> None:
        try:
            datagram = udp.recv(256)
        except OSError:
            return
        beat = decode(datagram)
        if beat is not None and self._judge.counts(beat):
            self._heard_ms = time.monotonic_ns() // 1_000_000
            if self._heard is not None:
                self._heard()

    def _resolve(self, udp: socket.socket, now_ms: int) -> tuple[str, int] | None:
        if now_ms - self._resolved_ms < _RESOLVE_EVERY_MS:
            return self._target
        self._resolved_ms = now_ms
        try:
            found = socket.getaddrinfo(
                self.config.peer_host,
                self.config.peer_port,
                family=udp.family,
                type=socket.SOCK_DGRAM,
            )
        except OSError:
            return self._target
        address = found[0][4]
        self._target = (str(address[0]), int(address[1]))
        return self._target
