"""Hostile peers on real sockets: each ends its own connection and no other."""

from __future__ import annotations

import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from hpack import Encoder

from twofold.etcd.front import frames
from twofold.etcd.front.port import Limits
from twofold.etcd.front.tls import ReloadingContext, TlsFiles
from twofold.testing.front_server import RunningFront, running_front
from twofold.testing.front_wire import GRPC_HEAD, message

_HELLO = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0)
_LIMITS = Limits(
    handshake_s=1,
    header_block_s=1,
    request_s=1,
    write_stall_s=2,
    http1_idle_s=1,
    write_buffer_bytes_max=1 << 20,
)
_WAIT_S = 15.0
_BIG = "/test.Test/Big"


@contextmanager
def _client(front: RunningFront) -> Iterator[Callable[[], bytes]]:
    """A well-behaved client beside the hostile one."""
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary("/test.Test/Echo")

        def ask() -> bytes:
            return call(b"fine", timeout=5)

        assert ask() == b"fine"
        yield ask
        assert ask() == b"fine"


@contextmanager
def _peer(front: RunningFront) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", front.port), timeout=_WAIT_S) as peer:
        yield peer


def _read_to_end(peer: socket.socket) -> bytes:
    """All bytes until the server closes; fails if it does not."""
    data = b""
    try:
        while part := peer.recv(1 << 16):
            data += part
    except ConnectionError:
        pass
    return data


def _send_until_refused(peer: socket.socket, data: bytes, count: int) -> None:
    try:
        for _ in range(count):
            peer.sendall(data)
    except ConnectionError:
        pass


def _goaway_code(data: bytes) -> int | None:
    start = 0
    while start + 9 <= len(data):
        word = frames.FRAME_HEADER.unpack_from(data, start)[0]
        if word & 0xFF == frames.GOAWAY:
            return int.from_bytes(data[start + 13 : start + 17], "big")
        start += 9 + (word >> 8)
    return None


def _call(encoder: Encoder, stream_id: int, path: str, body: bytes) -> bytes:
    fields = [(n, path if n == ":path" else v) for n, v in GRPC_HEAD]
    head = frames.frame(frames.HEADERS, 4, stream_id, encoder.encode(fields))
    return head + frames.frame(frames.DATA, 1, stream_id, message(body))


def _rapid_resets() -> bytes:
    encoder = Encoder()
    return b"".join(
        _call(encoder, i, "/test.Test/Echo", b"x") + frames.rst_stream(i, 8)
        for i in range(1, 40_000, 2)
    )


_FLOODS = {
    "ping": _HELLO + frames.frame(frames.PING, 0, 0, b"x" * 8) * 40_000,
    "settings": _HELLO + frames.frame(frames.SETTINGS, 0, 0) * 1000,
    "continuation": _HELLO
    + frames.frame(frames.HEADERS, 0, 1, b"\x82")
    + frames.frame(frames.CONTINUATION, 0, 1) * 10_000,
    "long header block": _HELLO
    + frames.frame(frames.HEADERS, 0, 1, b"\x00\x7f\xff\xff\x03" + b"x" * 16_000)
    + frames.frame(frames.CONTINUATION, 0, 1, b"x" * 16_000) * 20,
    "hpack bomb": _HELLO
    + frames.frame(
        frames.HEADERS, 4, 1, b"\x40\x01a\x7f\x81\x1e" + b"v" * 3968 + b"\xbe" * 9000
    ),
    "empty data": _HELLO
    + frames.frame(frames.HEADERS, 4, 1, Encoder().encode(GRPC_HEAD))
    + frames.frame(frames.DATA, 0, 1) * 20_000,
    "unknown frames": _HELLO + frames.frame(0x77, 0, 0) * 20_000,
}


@pytest.mark.parametrize("name", list(_FLOODS))
def test_floods_end_in_enhance_your_calm(name: str) -> None:
    with running_front(limits=_LIMITS) as front, _client(front):
        with _peer(front) as peer:
            _send_until_refused(peer, _FLOODS[name], 1)
            code = _goaway_code(_read_to_end(peer))
        # A reset may overtake the GOAWAY; the connection must be gone either way.
        assert code in (None, frames.ENHANCE_YOUR_CALM)


def test_rapid_resets_end_their_connection() -> None:
    with running_front(limits=_LIMITS) as front, _client(front), _peer(front) as peer:
        _send_until_refused(peer, _HELLO + _rapid_resets(), 1)
        assert _goaway_code(_read_to_end(peer)) in (None, frames.ENHANCE_YOUR_CALM)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"PRI",
        frames.PREFACE[:20],
        frames.PREFACE,
        _HELLO + frames.frame(frames.HEADERS, 0, 1, b"\x82"),
        b"GET / HTTP/1.1\r\nHo",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
    ],
)
def test_peers_that_stop_half_way_are_not_kept(start: bytes) -> None:
    with running_front(limits=_LIMITS) as front, _client(front), _peer(front) as peer:
        peer.sendall(start)
        _read_to_end(peer)


def test_a_half_open_tls_handshake_is_not_kept(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(str(files.cert))
    certificate.private_key_pem.write_to_path(str(files.key))
    context = ReloadingContext(files, lambda _text: None).context
    with running_front(limits=_LIMITS, tls=context) as front:
        for start in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"):
            with _peer(front) as peer:
                peer.sendall(start)
                _read_to_end(peer)
        # The same after a handshake: nothing said is nothing kept.
        client = ssl.create_default_context()
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        with _peer(front) as plain, client.wrap_socket(plain) as secure:
            assert secure.recv(100) == b""


def test_a_peer_that_never_reads_is_dropped() -> None:
    encoder = Encoder()
    window = (1 << 31) - 1
    settings = frames.SETTING.pack(frames.SETTING_INITIAL_WINDOW, window)
    hello = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, settings)
    hello += frames.window_update(0, window - 65_535)
    flood = frames.frame(frames.PING, 0, 0, b"x" * 8) * 2000
    with (
        running_front(limits=_LIMITS) as front,
        _client(front) as ask,
        _peer(front) as peer,
    ):
        peer.settimeout(0.5)
        peer.sendall(hello)
        stream_id = 1
        while _is_taken(peer, flood + _call(encoder, stream_id, _BIG, b"8")):
            assert ask() == b"fine"
            stream_id += 2
            assert stream_id < 2000
        # The socket stays open on this side, and is dropped on the other.
        assert _connections_come_down_to(front, 1)


def _is_taken(peer: socket.socket, data: bytes) -> bool:
    try:
        peer.sendall(data)
    except OSError:
        return False
    return True


def _connections_come_down_to(front: RunningFront, count: int) -> bool:
    for _ in range(150):
        if front.on_loop(lambda: front.front.counters.connections) == count:
            return True
        time.sleep(0.1)
    return False


def test_a_closed_window_holds_up_nobody_else() -> None:
    with running_front(limits=_LIMITS) as front, _client(front) as ask:
        with _peer(front) as peer:
            settings = frames.SETTING.pack(frames.SETTING_INITIAL_WINDOW, 0)
            encoder = Encoder()
            peer.sendall(
                frames.PREFACE
                + frames.frame(frames.SETTINGS, 0, 0, settings)
                + b"".join(
                    _call(encoder, i, "/test.Test/Big", b"8") for i in range(1, 21, 2)
                )
            )
            for _ in range(50):
                assert ask() == b"fine"
            resets = 0
            while resets < 10:
                data = peer.recv(1 << 16)
                assert data
                resets += data.count(b"\x00\x00\x04\x03\x00")
        assert front.on_loop(front.front.stream_count) == 0


def test_connections_above_the_limit_are_refused() -> None:
    limits = Limits(connections_max=3)
    with running_front(limits=limits) as front, _client(front):
        peers = [socket.create_connection(("127.0.0.1", front.port)) for _ in range(5)]
        refused = [peer for peer in peers[2:] if _read_to_end(peer) == b""]
        assert len(refused) == 3
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("seed", range(5))
def test_noise_harms_nobody(seed: int) -> None:
    chance = random.Random(seed)
    with running_front(limits=_LIMITS) as front, _client(front):
        for _ in range(60):
            with _peer(front) as peer:
                try:
                    for _ in range(chance.randrange(1, 30)):
                        peer.sendall(_noise(chance))
                except ConnectionError:
                    pass
        assert _connections_come_down_to(front, 1)


def _noise(chance: random.Random) -> bytes:
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return _HELLO
    payload = chance.randbytes(chance.choice((0, 1, 4, 5, 6, 8, 9, 30)))
    if kind == 2:
        payload = _call(Encoder(), 1, "/test.Test/Stream", payload)[9:]
    number = chance.choice((0, 1, 1, 3, 5, 0x7FFFFFFF))
    return frames.frame(chance.randrange(11), chance.randrange(256), number, payload)
