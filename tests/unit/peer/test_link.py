"""The two members find each other, keep one connection, and notice death."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
from collections.abc import Callable, Coroutine

import pytest
import trustme

from twofold.base.errors import TwofoldError
from twofold.base.ids import Index, MemberId, Term
from twofold.peer import frames
from twofold.peer.errors import LinkDown, RequestFailed, RequestLost
from twofold.peer.frames import FrameKind, Hello
from twofold.peer.link import LinkConfig, PeerLink
from twofold.peer.requests import AnswerDone
from twofold.peer.snapshots import CHUNK_BYTES, SnapshotReceiver, SnapshotSender
from twofold.raft.types import (
    Append,
    Entry,
    EntryKind,
    Message,
    TimeoutNow,
    VoteReply,
)

ID = MemberId(1), MemberId(2)


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


HOST = f"127.{os.getpid() >> 8 & 127 | 64}.{os.getpid() & 255}.1"
"""Of this process alone: a free port stays free until it is used."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Events:
    """Records what a link tells, and lets tests wait for it."""

    def __init__(self) -> None:
        self.log: list[tuple[str, object]] = []
        self.news = asyncio.Event()
        self.reason = ""
        self.take: Callable[[int, bytes], None] | None = None
        self.answer: Callable[[int, bytes, AnswerDone], None] | None = None

    def note(self, what: str, value: object) -> None:
        self.log.append((what, value))
        self.news.set()

    def count(self, what: str) -> int:
        return sum(1 for name, _ in self.log if name == what)

    def all(self, what: str) -> list[object]:
        return [value for name, value in self.log if name == what]

    async def until(self, what: str, count: int = 1) -> object:
        while self.count(what) < count:
            self.news.clear()
            await self.news.wait()
        return self.all(what)[count - 1]

    def judge(self, hello: Hello) -> str:
        return self.reason

    def on_connected(self, hello: Hello) -> None:
        self.note("up", hello.incarnation)

    def on_disconnected(self, dead: bool) -> None:
        self.note("down", dead)

    def on_messages(self, messages: list[Message]) -> None:
        self.note("messages", messages)

    def on_frame(self, kind: int, body: bytes) -> None:
        if self.take is not None:
            self.take(kind, body)
        else:
            self.note("frame", (kind, body))

    def on_request(self, method: int, body: bytes, done: AnswerDone) -> None:
        self.note("request", (method, body))
        if self.answer is not None:
            self.answer(method, body, done)

    def on_refused(self, reason: str) -> None:
        self.note("refused", reason)


class Pair:
    """Two links on loopback that know of each other; start them as needed."""

    def __init__(self, **options: object) -> None:
        ports = free_port(), free_port()
        self.crashes: list[BaseException] = []
        self.events = Events(), Events()
        self.configs = [
            LinkConfig(
                Hello(7, ID[me], 100 + me, 200 + me),
                ID[1 - me],
                HOST,
                ports[me],
                HOST,
                ports[1 - me],
                **options,  # type: ignore[arg-type]
            )
            for me in (0, 1)
        ]
        self.links = [self.make(0), self.make(1)]

    def make(self, me: int, boot_id: int = 0) -> PeerLink:
        config = self.configs[me]
        if boot_id:
            hello = dataclasses.replace(config.hello, boot_id=boot_id)
            config = dataclasses.replace(config, hello=hello)
        return PeerLink(
            config, self.events[me], lambda _, error: self.crashes.append(error)
        )

    async def start(self) -> None:
        await asyncio.gather(*(link.start() for link in self.links))
        await asyncio.gather(*(events.until("up") for events in self.events))

    async def stop(self) -> None:
        await asyncio.gather(*(link.stop() for link in self.links))
        assert self.crashes == []


@pytest.mark.parametrize("turn", range(10))
def test_dialing_at_once_gives_one_connection_without_flapping(turn: int) -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        a, b = pair.links
        for n in range(20):
            a.send([TimeoutNow(Term(n))])
            b.send([TimeoutNow(Term(n))])
            await asyncio.gather(*(e.until("messages", n + 1) for e in pair.events))
        for me, events in enumerate(pair.events):
            assert events.all("up") == [101 - me]
            assert events.count("down") == 0
        await pair.stop()

    run(test())


@pytest.mark.parametrize("first", [0, 1])
def test_either_may_start_first(first: int) -> None:
    async def test() -> None:
        pair = Pair()
        await pair.links[first].start()
        await pair.links[1 - first].start()
        await asyncio.gather(*(events.until("up") for events in pair.events))
        assert all(link.up for link in pair.links)
        await pair.stop()

    run(test())


@pytest.mark.parametrize("deaf", [0, 1])
def test_one_direction_suffices(deaf: int) -> None:
    async def test() -> None:
        pair = Pair()
        config = pair.configs[1 - deaf]
        pair.configs[1 - deaf] = dataclasses.replace(config, peer_port=free_port())
        pair.links[1 - deaf] = pair.make(1 - deaf)
        await pair.start()
        assert all(link.up for link in pair.links)
        await pair.stop()

    run(test())


def test_messages_and_frames_arrive_in_order_and_a_turn_is_one_batch() -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        a, _ = pair.links
        a.send([TimeoutNow(Term(1))])
        a.send([TimeoutNow(Term(2)), VoteReply(Term(2), True)])
        a.forward(b"commands")
        a.send([TimeoutNow(Term(3))])
        a.leave()
        seen = pair.events[1]
        await seen.until("frame", 2)
        assert seen.log[1:] == [
            ("messages", [TimeoutNow(1), TimeoutNow(2), VoteReply(2, True)]),  # type: ignore[arg-type]
            ("frame", (FrameKind.FORWARD, b"commands")),
            ("messages", [TimeoutNow(3)]),  # type: ignore[arg-type]
            ("frame", (FrameKind.LEAVING, b"")),
        ]
        await pair.stop()

    run(test())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_stopped_peer_is_dead_at_once(victim: int) -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        survivor = pair.events[1 - victim]
        await pair.links[victim].stop()
        started = asyncio.get_running_loop().time()
        assert await survivor.until("down") is True
        assert asyncio.get_running_loop().time() - started < 1
        assert not pair.links[1 - victim].up
        await pair.stop()

    run(test())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_connection_reset_while_the_peer_lives_is_no_death(victim: int) -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        live = pair.links[victim]._live
        assert live is not None
        live.abort()
        await asyncio.gather(*(events.until("up", 2) for events in pair.events))
        for events in pair.events:
            assert events.all("down") == [False]
        await pair.stop()

    run(test())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_restarted_peer_is_connected_again(victim: int) -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        await pair.links[victim].stop()
        assert await pair.events[1 - victim].until("down") is True
        pair.links[victim] = pair.make(victim, boot_id=999)
        await pair.links[victim].start()
        await pair.events[1 - victim].until("up", 2)
        assert pair.events[1 - victim].all("down") == [True]
        await pair.stop()

    run(test())


def test_a_silent_loss_is_down_but_not_dead() -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        a = pair.links[0]
        # What a filtered network looks like: dialing gives no answer at all.
        with socket.socket() as full:
            full.bind((HOST, 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            a.config = dataclasses.replace(a.config, peer_port=full.getsockname()[1])
            await pair.links[1].stop()
            assert await pair.events[0].until("down") is False
            for filler in fillers:
                filler.close()
        await pair.stop()

    run(test())


@pytest.mark.parametrize("judge", [0, 1])
def test_a_refused_incarnation_never_comes_up_and_both_sides_know_why(
    judge: int,
) -> None:
    async def test() -> None:
        pair = Pair()
        pair.events[judge].reason = "incarnation 5 is not the one this cluster knows"
        await asyncio.gather(*(link.start() for link in pair.links))
        for events in pair.events:
            assert "incarnation 5" in str(await events.until("refused", 2))
            assert events.count("up") == 0
            assert events.count("down") == 0
        await pair.stop()

    run(test())


def test_another_cluster_is_refused() -> None:
    async def test() -> None:
        pair = Pair()
        hello = dataclasses.replace(pair.configs[1].hello, cluster_id=8)
        pair.configs[1] = dataclasses.replace(pair.configs[1], hello=hello)
        pair.links[1] = pair.make(1)
        await asyncio.gather(*(link.start() for link in pair.links))
        for events in pair.events:
            assert "another cluster" in str(await events.until("refused"))
        await pair.stop()

    run(test())


def test_strangers_are_turned_away() -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        port = pair.links[0].port
        for rude in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), frames.seal(1, b"x" * 5000)):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(rude)
            await reader.read()
            writer.close()
        assert all(link.up for link in pair.links)
        assert all(events.count("down") == 0 for events in pair.events)
        await pair.stop()

    run(test())


def test_a_crowd_of_silent_strangers_does_not_keep_the_peer_out() -> None:
    async def test() -> None:
        pair = Pair()
        await pair.links[0].start()
        port = pair.links[0].port
        crowd = [await asyncio.open_connection(HOST, port) for _ in range(20)]
        await pair.links[1].start()
        await asyncio.gather(*(events.until("up") for events in pair.events))
        for _, writer in crowd:
            writer.close()
        await pair.stop()

    run(test())


def test_requests_are_answered_refused_and_lost() -> None:
    async def test() -> None:
        pair = Pair(request_timeout_ms=60)
        a, b = pair.links
        results: asyncio.Queue[bytes | TwofoldError] = asyncio.Queue()
        a.ask(1, b"early", results.put_nowait)
        assert isinstance(await results.get(), LinkDown)
        await pair.start()
        pair.events[1].answer = lambda method, body, done: done(b"%d" % method + body)
        a.ask(1, b"x", results.put_nowait)
        assert await results.get() == b"1x"
        pair.events[1].answer = lambda method, body, done: done(RequestFailed("no"))
        a.ask(2, b"x", results.put_nowait)
        refusal = await results.get()
        assert isinstance(refusal, RequestFailed)
        assert str(refusal) == "no"
        pair.events[1].answer = None
        a.ask(3, b"x", results.put_nowait)
        assert isinstance(await results.get(), RequestLost)
        a.ask(4, b"x", results.put_nowait)
        await pair.events[1].until("request", 4)
        await b.stop()
        assert isinstance(await results.get(), RequestLost)
        await pair.stop()

    run(test())


def test_entries_are_dropped_and_votes_are_not_when_the_peer_does_not_read() -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        a, b = pair.links
        assert b._live is not None
        assert b._live._transport is not None
        b._live._transport.pause_reading()
        entry = Entry(Index(1), Term(1), 0, EntryKind.COMMANDS, bytes(1 << 20))  # type: ignore[arg-type]
        append = Append(Term(1), Index(0), Term(0), (entry,), Index(0), 1, False, None)
        sent = 0
        while a.appends_dropped == 0:
            a.send([append])
            a.flush()
            sent += 1
            assert sent < 64
        a.send([append, VoteReply(Term(1), True)])
        b._live._transport.resume_reading()
        while VoteReply(Term(1), True) not in [
            m
            for batch in pair.events[1].all("messages")
            for m in batch  # type: ignore[attr-defined]
        ]:
            pair.events[1].news.clear()
            await pair.events[1].news.wait()
        assert a.appends_dropped == 2
        await pair.stop()

    run(test())


def test_large_frames_pass() -> None:
    async def test() -> None:
        pair = Pair()
        await pair.start()
        body = bytes(range(256)) * (1 << 15)
        pair.links[0].forward(body)
        assert await pair.events[1].until("frame") == (FrameKind.FORWARD, body)
        await pair.stop()

    run(test())


def test_a_snapshot_passes_between_messages() -> None:
    class Sink:
        def __init__(self) -> None:
            self.size = 0

        def write(self, chunk: bytes) -> None:
            self.size += len(chunk)

        def finish(self) -> None:
            self.size = -self.size

        def abort(self) -> None:
            self.size = 0

    async def test() -> None:
        pair = Pair()
        await pair.start()
        a, b = pair.links
        sink = Sink()
        sender = SnapshotSender(a.send_frame)
        receiver = SnapshotReceiver(
            b.send_frame, lambda meta: sink, lambda meta: None, lambda reason: None
        )
        pair.events[0].take = sender.received
        pair.events[1].take = receiver.received
        chunks = (bytes(CHUNK_BYTES) for _ in range(40))
        sending = asyncio.ensure_future(sender.send(b"meta", chunks))
        for n in range(20):
            a.send([TimeoutNow(Term(n))])
            await pair.events[1].until("messages", n + 1)
        await sending
        assert sink.size == -40 * CHUNK_BYTES
        receiver.close()
        await pair.stop()

    run(test())


def test_tls_both_ways() -> None:
    async def test() -> None:
        import ssl

        authority = trustme.CA()
        cert = authority.issue_cert(HOST, "localhost")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.create_default_context()
        for context in (server, client):
            cert.configure_cert(context)
            authority.configure_trust(context)
        server.verify_mode = ssl.CERT_REQUIRED
        pair = Pair(server_tls=server, client_tls=client)
        await pair.start()
        pair.links[0].forward(b"secret")
        await pair.events[1].until("frame")
        await pair.links[1].stop()
        assert await pair.events[0].until("down") is True
        await pair.stop()

    run(test())
