"""HTTP/1.1 from the outside."""

import pytest

from twofold.etcd.front.port import HttpRequest, Limits, Routes
from twofold.testing.front_wire import FrontWire


class Server:
    """Keeps requests; answers at once unless told to wait."""

    def __init__(self, limits: Limits | None = None, waits: bool = False) -> None:
        self.requests: list[HttpRequest] = []
        self._waits = waits
        self.wire = FrontWire(Routes({}, {}, self._serve), limits)

    def _serve(self, request: HttpRequest) -> None:
        self.requests.append(request)
        if not self._waits:
            request.respond(200, {"x-path": request.path}, request.body or b"ok")

    def ask(self, data: bytes) -> bytes:
        """Send bytes, get what came back."""
        self.wire.feed(data)
        written = bytes(self.wire.transport.written)
        self.wire.transport.written.clear()
        return written


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_a_get_is_answered_and_the_connection_kept() -> None:
    server = Server()
    for _ in range(2):
        answer = server.ask(b"GET /health?x=1 HTTP/1.1\r\nHost: a\r\nX-A: b \r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"content-length: 2\r\n" in answer
        assert _body(answer) == b"ok"
    request = server.requests[0]
    assert (request.method, request.path, request.query) == ("GET", "/health", "x=1")
    assert request.headers == {"host": "a", "x-a": "b"}
    assert not server.wire.transport.is_closing()


def test_a_head_has_no_body() -> None:
    answer = Server().ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"content-length: 2\r\n" in answer
    assert _body(answer) == b""


def test_bodies_come_by_length_or_in_chunks_however_cut() -> None:
    by_length = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    chunked = (
        b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
    )
    for request in (by_length, chunked):
        server = Server()
        answer = b"".join(server.ask(bytes((octet,))) for octet in request)
        assert _body(answer) == b"hello"
        assert server.requests[0].body == b"hello"


def test_pipelined_requests_are_answered_in_order() -> None:
    server = Server(waits=True)
    server.ask(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert [request.path for request in server.requests] == ["/1"]
    for _ in range(3):
        server.requests[-1].respond(200, {}, b"")
    assert [request.path for request in server.requests] == ["/1", "/2", "/3"]
    assert not server.requests[-1].alive


def test_many_pipelined_requests_do_not_nest() -> None:
    server = Server()
    server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3000)
    assert len(server.requests) == 3000


def test_waiting_pipelined_requests_are_bounded() -> None:
    server = Server(waits=True)
    server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
    assert not server.wire.transport.reading
    server.requests[0].respond(200, {}, b"")
    assert len(server.requests) == 2


def test_the_connection_closes_when_asked() -> None:
    for request in (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ):
        server = Server()
        assert b"connection: close\r\n" in server.ask(request)
        assert server.wire.transport.is_closing()


def test_expect_continue_is_answered_before_the_body() -> None:
    server = Server()
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    answer = server.ask(head + b"Expect: 100-continue\r\n\r\n")
    assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert _body(server.ask(b"x")) == b"x"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
            413,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            400,
        ),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500, 431),
    ],
)
def test_bad_requests_are_answered_and_end_the_connection(
    request_bytes: bytes, status: int
) -> None:
    server = Server(Limits(message_bytes_max=100, header_bytes_max=2000))
    assert server.ask(request_bytes).startswith(b"HTTP/1.1 %d " % status)
    assert server.wire.transport.is_closing()
    assert server.requests == []
    assert server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""


def test_what_is_no_http_gets_no_answer() -> None:
    server = Server()
    assert server.ask(b"INVALID CONNECTION PREFACE\r\n\r\n") == b""
    assert server.wire.transport.is_closing()


def test_slow_and_idle_clients_are_not_kept() -> None:
    slow = Server(Limits(request_s=3))
    slow.ask(b"GET / HT")
    slow.wire.sweep(4)
    assert slow.ask(b"").startswith(b"HTTP/1.1 408 ") or slow.wire.transport.closed

    idle = Server(Limits(http1_idle_s=3))
    idle.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    idle.wire.sweep(4)
    assert idle.wire.transport.closed

    waiting = Server(Limits(http1_idle_s=3, request_s=3), waits=True)
    waiting.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    waiting.wire.sweep(20)
    assert not waiting.wire.transport.is_closing()


def test_draining_ends_after_the_answer() -> None:
    server = Server(waits=True)
    server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    next(iter(server.wire.shared.connections)).drain()
    assert not server.wire.transport.is_closing()
    server.requests[0].respond(200, {}, b"")
    assert server.wire.transport.closed


def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    server = Server(waits=True)
    server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wire.lose()
    assert not server.requests[0].alive
    server.requests[0].respond(200, {}, b"")
    assert bytes(server.wire.transport.written) == b""


def test_responses_nobody_reads_hold_up_the_next_requests() -> None:
    server = Server(Limits(write_stall_s=3))
    connection = server.wire.transport
    server.ask(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    protocol = connection.protocol
    assert protocol is not None
    protocol.pause_writing()
    server.ask(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
    assert len(server.requests) == 1
    assert not connection.reading
    protocol.resume_writing()
    assert len(server.requests) == 5001
    assert connection.reading
    protocol.pause_writing()
    server.wire.sweep(5)
    assert connection.is_aborted


def test_a_client_that_has_sent_all_still_gets_its_answer() -> None:
    server = Server(waits=True)
    server.ask(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    protocol = server.wire.transport.protocol
    assert protocol is not None
    assert protocol.eof_received()
    server.requests[0].respond(200, {}, b"late")
    assert _body(bytes(server.wire.transport.written)) == b"late"
    assert server.wire.transport.closed
    assert not protocol.eof_received()
