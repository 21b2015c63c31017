"""The front as grpcio's client sees it, plain and with client certificates."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import grpc
import pytest
import trustme

from twofold.etcd.front.port import Call, Routes
from twofold.etcd.front.tls import ReloadingContext, TlsFiles
from twofold.testing.front_server import (
    RunningFront,
    respond_with_body,
    running_front,
)

_OPTIONS = [("grpc.max_receive_message_length", -1)]
_MIB = 1 << 20


@pytest.fixture
def front() -> Iterator[RunningFront]:
    with running_front() as running:
        yield running


def _channel(front: RunningFront) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{front.port}", options=_OPTIONS)


def _unary(channel: grpc.Channel, method: str, body: bytes) -> bytes:
    return _method(channel, method)(body, timeout=20)


def _method(
    channel: grpc.Channel, method: str
) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/test.Test/{method}")


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 100_000, 2 * _MIB])
def test_messages_of_any_size_come_back(front: RunningFront, size: int) -> None:
    body = bytes(i & 0xFF for i in range(size))
    with _channel(front) as channel:
        assert _unary(channel, "Echo", body) == body


@pytest.mark.parametrize(
    ("method", "body", "code"),
    [
        ("Fail", b"5", grpc.StatusCode.NOT_FOUND),
        ("None", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("Echo", b"x" * (2 * _MIB + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_failures_arrive_as_status(
    front: RunningFront, method: str, body: bytes, code: grpc.StatusCode
) -> None:
    with _channel(front) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            _unary(channel, method, body)
        error = cast(grpc.Call, caught.value)
        assert error.code() == code
        if method == "Fail":
            assert error.details() == "as asked: 1%"
        # The connection lives on.
        assert _unary(channel, "Echo", b"still here") == b"still here"


def test_a_compressed_request_is_unimplemented(front: RunningFront) -> None:
    options = [("grpc.default_compression_algorithm", 2)]
    target = f"127.0.0.1:{front.port}"
    with (
        grpc.insecure_channel(target, options=options) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        _unary(channel, "Echo", b"a" * 10_000)
    assert cast(grpc.Call, caught.value).code() == grpc.StatusCode.UNIMPLEMENTED


def test_streams_echo_in_order_and_end(front: RunningFront) -> None:
    messages = [b"%d" % i * (i % 50) for i in range(1000)]
    with _channel(front) as channel:
        call: grpc.StreamStreamMultiCallable[bytes, bytes]
        call = channel.stream_stream("/test.Test/Stream")
        assert list(call(iter(messages), timeout=20)) == messages


def test_a_server_stream_pauses_and_goes_on(front: RunningFront) -> None:
    with _channel(front) as channel:
        call: grpc.UnaryStreamMultiCallable[bytes, bytes]
        call = channel.unary_stream("/test.Test/Count")
        assert sum(len(part) for part in call(b"20000", timeout=30)) == 20_000 * 1024


def test_a_reply_of_100_mib_does_not_hold_up_small_calls(front: RunningFront) -> None:
    with _channel(front) as channel:
        _unary(channel, "Echo", b"connect")
        big = _method(channel, "Big").future(b"100", timeout=60)
        waits_ms = []
        while not big.done():
            started_s = time.monotonic()
            _unary(channel, "Echo", b"small")
            waits_ms.append((time.monotonic() - started_s) * 1000)
        assert len(big.result()) == 100 * _MIB
    # One large reply alone would take longer than many of these.
    assert len(waits_ms) > 5
    assert sorted(waits_ms)[len(waits_ms) // 2] < 500


def test_a_cancelled_call_leaves_nothing_open(front: RunningFront) -> None:
    with _channel(front) as channel:
        call: grpc.StreamStreamMultiCallable[bytes, bytes]
        call = channel.stream_stream("/test.Test/Stream")
        stream = call(iter([b"a"]))
        assert next(stream) == b"a"
        big = _method(channel, "Big").future(b"100")
        big.cancel()
        assert _unary(channel, "Echo", b"x") == b"x"
        assert front.on_loop(front.front.stream_count) <= 1


def test_a_graceful_stop_lets_calls_end() -> None:
    with running_front() as front:
        channel = _channel(front)
        _unary(channel, "Echo", b"connect")
        big = _method(channel, "Big").future(b"20", timeout=20)
        started = threading.Event()
        big.add_done_callback(lambda _future: started.set())
    assert started.wait(20)
    assert big.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
    channel.close()


def test_a_graceful_stop_fails_no_call_that_was_served() -> None:
    served: list[bytes] = []

    def serve(call: Call, body: bytes) -> None:
        served.append(body)
        call.reply(body)

    routes = Routes({"/test.Test/Echo": serve}, {}, respond_with_body)
    with running_front(routes) as front:
        channel = _channel(front)
        _unary(channel, "Echo", b"connect")
        answered: list[bytes] = []
        failed: list[grpc.StatusCode] = []
        started = threading.Event()

        def ask() -> None:
            while not failed:
                try:
                    answered.append(_method(channel, "Echo")(b"x", timeout=5))
                except grpc.RpcError as error:
                    failed.append(cast(grpc.Call, error).code())
                started.set()

        asking = threading.Thread(target=ask)
        asking.start()
        assert started.wait(5)
    asking.join(10)
    # Only the next connection is refused, and that is worth a retry.
    assert failed == [grpc.StatusCode.UNAVAILABLE]
    assert len(served) == 1 + len(answered)
    channel.close()


def test_an_ipv6_port_is_served() -> None:
    with running_front(host="[::1]") as front:
        assert front.url.startswith("http://[::1]:")
        with grpc.insecure_channel(f"[::1]:{front.port}") as channel:
            assert _unary(channel, "Echo", b"six") == b"six"


class Pki:
    """A CA, a server certificate on disk, and client certificates."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.files = TlsFiles(
            folder / "server.pem", folder / "server.key", folder / "ca.pem", True
        )
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.reports: list[str] = []
        self.issue(self.ca)

    def issue(self, ca: trustme.CA) -> None:
        """Write a new server certificate."""
        certificate = ca.issue_cert("localhost", "127.0.0.1")
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        self.files.cert.write_bytes(chain)
        self.files.key.write_bytes(certificate.private_key_pem.bytes())

    def client(
        self, server_ca: trustme.CA, with_certificate: bool = True
    ) -> grpc.ChannelCredentials:
        """Credentials that trust ``server_ca``."""
        roots = server_ca.cert_pem.bytes()
        if not with_certificate:
            return grpc.ssl_channel_credentials(roots)
        own = self.ca.issue_cert("client.test", common_name="root")
        chain = b"".join(blob.bytes() for blob in own.cert_chain_pems)
        key = own.private_key_pem.bytes()
        return grpc.ssl_channel_credentials(roots, key, chain)

    def ask(
        self, front: RunningFront, credentials: grpc.ChannelCredentials, method: str
    ) -> bytes:
        """One call on a new connection."""
        # A channel option of its own keeps grpc from sharing connections.
        options = [("grpc.use_local_subchannel_pool", 1)]
        target = f"localhost:{front.port}"
        with grpc.secure_channel(target, credentials, options=options) as channel:
            return _unary(channel, method, b"3")


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def test_a_client_certificate_is_demanded_and_its_name_known(pki: Pki) -> None:
    context = ReloadingContext(pki.files, pki.reports.append).context
    with running_front(tls=context) as front:
        assert pki.ask(front, pki.client(pki.ca), "Name") == b"root"
        assert len(pki.ask(front, pki.client(pki.ca), "Big")) == 3 * _MIB
        with pytest.raises(grpc.RpcError):
            pki.ask(front, pki.client(pki.ca, with_certificate=False), "Name")
        stranger = Pki(_subfolder(pki.folder))
        with pytest.raises(grpc.RpcError):
            pki.ask(front, stranger.client(pki.ca), "Name")


def test_http1_is_spoken_when_alpn_chooses_it(pki: Pki) -> None:
    files = TlsFiles(pki.files.cert, pki.files.key)
    context = ReloadingContext(files, pki.reports.append).context
    client = ssl.create_default_context(cadata=pki.ca.cert_pem.bytes().decode())
    client.set_alpn_protocols(["http/1.1"])
    with running_front(tls=context) as front:
        answer, protocol = _https_get(client, front.port)
    assert protocol == "http/1.1"
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_old_tls_is_refused(pki: Pki) -> None:
    files = TlsFiles(pki.files.cert, pki.files.key)
    context = ReloadingContext(files, pki.reports.append).context
    client = ssl.create_default_context(cadata=pki.ca.cert_pem.bytes().decode())
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        client.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with running_front(tls=context) as front, pytest.raises(ssl.SSLError):
        _https_get(client, front.port)


def test_new_certificates_are_used_without_a_restart(pki: Pki) -> None:
    context = ReloadingContext(pki.files, pki.reports.append).context
    with running_front(tls=context) as front:
        assert pki.ask(front, pki.client(pki.ca), "Name") == b"root"
        other_ca = trustme.CA()
        pki.issue(other_ca)
        assert pki.ask(front, pki.client(other_ca), "Name") == b"root"
        # A new CA for clients counts from the next handshake as well.
        other_ca.cert_pem.write_to_path(str(pki.files.ca))
        with pytest.raises(grpc.RpcError):
            pki.ask(front, pki.client(other_ca), "Name")
        assert pki.reports == []


def test_broken_new_files_leave_the_old_ones_in_use(pki: Pki) -> None:
    context = ReloadingContext(pki.files, pki.reports.append).context
    with running_front(tls=context) as front:
        pki.files.cert.write_text("no certificate")
        for _ in range(3):
            assert pki.ask(front, pki.client(pki.ca), "Name") == b"root"
        assert len(pki.reports) == 1
        pki.files.key.unlink()
        assert pki.ask(front, pki.client(pki.ca), "Name") == b"root"
        assert len(pki.reports) == 2


def _subfolder(folder: Path) -> Path:
    other = folder / "other"
    other.mkdir()
    return other


def _https_get(context: ssl.SSLContext, port: int) -> tuple[bytes, str | None]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := secure.recv(4096):
            answer += part
        return answer, secure.selected_alpn_protocol()
