"""The link to the other member: dials, accepts, and keeps exactly one connection.

Both members dial. The one with the lower id chooses: the other sends ACCEPT when
the greeting pleases it, the chooser WELCOME on the connection it takes, and only
then either side uses it. A second one waits as a spare until the live one ends,
so dialing at the same time causes no flapping.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twofold.base.backoff import Backoff
from twofold.base.errors import InvariantError
from twofold.base.ids import MemberId
from twofold.base.tasks import OnCrash, Supervisor
from twofold.peer import codec, frames
from twofold.peer.connection import PeerConnection
from twofold.peer.frames import Frame, FrameKind, Hello
from twofold.peer.requests import AnswerDone, Requests
from twofold.raft.types import Append, Message

_STRANGERS_MAX = 16


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Addresses, certificates and patience. ``listen_port`` 0: any free one."""

    hello: Hello
    """Who this member is; ``boot_id`` new with each start of the process."""
    peer_id: MemberId
    listen_host: str
    listen_port: int
    peer_host: str
    peer_port: int
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None
    redial_first_ms: int = 50
    redial_last_ms: int = 1_000
    connect_timeout_ms: int = 500
    settle_timeout_ms: int = 5_000
    verdict_ms: int = 50
    """How long after a loss ``on_disconnected`` waits for proof of death."""
    request_timeout_ms: int = 5_000


class LinkEvents(Protocol):
    """What the link tells, on the loop's thread."""

    def judge(self, hello: Hello) -> str:
        """Why this peer (its incarnation) is refused; empty to take it."""

    def on_connected(self, hello: Hello) -> None:
        """The link is up."""

    def on_disconnected(self, dead: bool) -> None:
        """The link is down. ``dead``: the peer's kernel refuses connections.

        May come again with ``dead`` True when the proof comes later.
        """

    def on_messages(self, messages: list[Message]) -> None:
        """The core's messages of one read, in order."""

    def on_frame(self, kind: int, body: bytes) -> None:
        """FORWARD, LEAVING and SNAPSHOT frames, in order with the messages."""

    def on_request(self, method: int, body: bytes, done: AnswerDone) -> None:
        """The peer asks; call ``done`` once."""

    def on_refused(self, reason: str) -> None:
        """One side does not accept the other; tried again, but tell people."""


class PeerLink:
    """See the module. ``start`` and ``stop`` on the loop; the rest is not awaited."""

    def __init__(self, config: LinkConfig, events: LinkEvents, crash: OnCrash) -> None:
        self.config = config
        self.appends_dropped = 0
        """Appends with entries not sent because the peer did not keep up."""
        self.last_loss = ""
        """Why the last live connection ended, for logs."""
        self._events = events
        self._chooser = config.hello.member_id < config.peer_id
        self._backoff = Backoff(config.redial_first_ms, config.redial_last_ms)
        self._tasks = Supervisor(crash)
        self._live: PeerConnection | None = None
        self._others: set[PeerConnection] = set()
        """Open and not live: strangers, candidates and spares."""
        self._wake = asyncio.Event()
        self._verdict: asyncio.TimerHandle | None = None
        self._told_dead = True
        self._refused = False
        """One side has not taken the other: no need to hurry."""
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._requests = Requests(
            self._loop, self.send_frame, events.on_request, config.request_timeout_ms
        )

    async def start(self) -> None:
        """Listen and begin to dial.

        Raises:
            OSError: the address cannot be listened on.
        """
        config = self.config
        self._server = await self._loop.create_server(
            lambda: self._connection(dialed=False),
            config.listen_host,
            config.listen_port,
            ssl=config.server_tls,
            reuse_address=True,
        )
        self._tasks.spawn(self._dial(), "peer dialer")

    async def stop(self) -> None:
        """Close everything; no event comes any more."""
        self._stopping = True
        self._cancel_verdict()
        if self._server is not None:
            self._server.close()
        await self._tasks.close()
        connections = [*self._others, *filter(None, [self._live])]
        self._live = None
        for connection in connections:
            connection.close("this member stops")
        self._requests.lose()

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._server is None:
            return self.config.listen_port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def up(self) -> bool:
        """Whether the peer is connected and is who it should be."""
        return self._live is not None and self._live.open

    def send(self, messages: Sequence[Message]) -> None:
        """Send at the end of the turn; dropped when down, entries also if congested."""
        live = self._live
        if live is None or not messages:
            return
        if live.paused:
            kept = [m for m in messages if not (isinstance(m, Append) and m.entries)]
            self.appends_dropped += len(messages) - len(kept)
            messages = kept
        if messages:
            live.queue(FrameKind.MESSAGES, codec.encode(messages))

    def send_frame(self, kind: int, body: bytes) -> bool:
        """Send another frame; False when down."""
        if self._live is None or not self._live.open:
            return False
        self._live.queue(kind, body)
        return True

    def forward(self, payload: bytes) -> None:
        """Hand packed commands to the leader; dropped when down."""
        self.send_frame(FrameKind.FORWARD, payload)

    def leave(self) -> None:
        """Tell the peer that this member stops on purpose, at once."""
        self.send_frame(FrameKind.LEAVING, b"")
        self.flush()

    def ask(self, method: int, body: bytes, done: AnswerDone) -> None:
        """Ask the peer; see Requests.ask."""
        self._requests.ask(method, body, done)

    def flush(self) -> None:
        """Write now what this turn has queued; it happens next turn anyway."""
        if self._live is not None:
            self._live.flush()

    # ---- ConnectionOwner

    def opened(self, connection: PeerConnection) -> None:
        """See ConnectionOwner."""
        strangers = sum(not other.dialed for other in self._others)
        self._others.add(connection)
        if self._stopping or (not connection.dialed and strangers >= _STRANGERS_MAX):
            connection.abort()
        elif not connection.dialed and not self._refused:
            # The peer lives: what we dial next should not wait a second.
            self._backoff.reset()

    def greeted(self, connection: PeerConnection, hello: Hello) -> None:
        """See ConnectionOwner."""
        reason = frames.judge_hello(self.config.hello, hello, self.config.peer_id)
        reason = reason or self._events.judge(hello)
        if reason:
            self._refused = True
            connection.refuse(reason)
            self._events.on_refused(f"this member refuses the other: {reason}")
        elif not self._chooser:
            connection.queue(FrameKind.ACCEPT, b"")

    def received(self, connection: PeerConnection, batch: list[Frame]) -> None:
        """See ConnectionOwner."""
        messages: list[Message] = []
        for kind, body in batch:
            if kind == FrameKind.MESSAGES and connection is self._live:
                messages += codec.decode(body)
                continue
            if messages:
                self._events.on_messages(messages)
                messages = []
            if connection is self._live:
                self._take(kind, body)
            elif kind == FrameKind.ACCEPT and self._chooser and connection.open:
                self._choose(connection)
            elif kind == FrameKind.WELCOME and not self._chooser and connection.open:
                self._go_live(connection)
            elif kind == FrameKind.REFUSE:
                reason = body.decode(errors="replace")
                self._refused = True
                connection.close(reason)
                self._events.on_refused(f"the other member refuses this one: {reason}")
        if messages:
            self._events.on_messages(messages)

    def lost(self, connection: PeerConnection, reason: str) -> None:
        """See ConnectionOwner."""
        self._others.discard(connection)
        if connection is not self._live or self._stopping:
            return
        self.last_loss = reason
        self._live = None
        self._requests.lose()
        self._verdict = self._loop.call_later(
            self.config.verdict_ms / 1_000, self._judge_lost, False
        )
        self._backoff.reset()
        self._wake.set()
        for spare in list(self._others):
            if self._chooser and spare.accepted and spare.open:
                self._choose(spare)
                break

    # ---- one live connection

    def _connection(self, dialed: bool) -> PeerConnection:
        return PeerConnection(self, self.config.hello, dialed)

    def _choose(self, connection: PeerConnection) -> None:
        """As the chooser: take it, or keep it as a spare, or close our own."""
        connection.accepted = True
        live = self._live
        if live is None or live.hello != connection.hello:
            connection.queue(FrameKind.WELCOME, b"")
            self._go_live(connection)
        elif connection.dialed:
            connection.close("there is a connection already")
        # Else: the peer closes it when it learns which one is live.

    def _go_live(self, connection: PeerConnection) -> None:
        old = self._live
        if old is not None:
            # The peer has started anew, or it saw this one end before we did.
            self._live = None
            self._requests.lose()
            old.close("another connection took over")
            self._others.add(old)
            self._events.on_disconnected(dead=False)
        elif self._verdict is not None:
            self._judge_lost(dead=False)
        self._live = connection
        self._others.discard(connection)
        self._told_dead = False
        self._refused = False
        self._backoff.reset()
        connection.settle()
        for other in list(self._others):
            if not self._chooser or other.dialed:
                other.close("there is a connection already")
        if connection.hello is None:
            raise InvariantError("only a connection that has greeted goes live")
        self._events.on_connected(connection.hello)

    def _take(self, kind: int, body: bytes) -> None:
        if kind in (FrameKind.REQUEST, FrameKind.RESPONSE):
            self._requests.received(kind, body)
        elif kind > FrameKind.MESSAGES:
            self._events.on_frame(kind, body)

    # ---- is the peer dead, or only silent?

    def _judge_lost(self, dead: bool) -> None:
        self._cancel_verdict()
        self._told_dead = dead
        self._events.on_disconnected(dead)

    def _refused_by_kernel(self) -> None:
        """No process listens there: proof of death, if it once was our peer."""
        if self._live is None and (self._verdict is not None or not self._told_dead):
            self._judge_lost(dead=True)

    def _cancel_verdict(self) -> None:
        if self._verdict is not None:
            self._verdict.cancel()
            self._verdict = None

    # ---- dialing

    async def _dial(self) -> None:
        while True:
            self._wake.clear()
            if self._live is not None:
                await self._wake.wait()
                continue
            await self._attempt()
            if self._live is not None:
                continue
            # While the verdict is open each moment counts: a dying process
            # can still accept a connection before its listener closes.
            urgent = self._verdict is not None
            pause_ms = 2 if urgent else self._backoff.next_ms()
            # Not wait_for: on 3.11 it can swallow the cancellation of this task.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_ms / 1_000):
                    await self._wake.wait()

    async def _attempt(self) -> None:
        """Dial each address of the peer once, until one is decided on."""
        config = self.config
        refused = 0
        try:
            addresses = await self._loop.getaddrinfo(
                config.peer_host, config.peer_port, type=socket.SOCK_STREAM
            )
        except OSError:
            return
        for *_, address in addresses:
            if self._live is not None:
                return
            try:
                connection = await self._connect(str(address[0]), int(address[1]))
            except ConnectionRefusedError:
                refused += 1
                continue
            except ssl.SSLError as error:
                self._events.on_refused(f"TLS to the other member: {error}")
                continue
            except (OSError, TimeoutError):
                continue
            try:
                async with asyncio.timeout(config.settle_timeout_ms / 1_000):
                    await asyncio.shield(connection.settled)
            except TimeoutError:
                connection.close("not taken in time")
        if refused and refused == len(addresses):
            self._refused_by_kernel()

    async def _connect(self, host: str, port: int) -> PeerConnection:
        tls = self.config.client_tls
        async with asyncio.timeout(self.config.connect_timeout_ms / 1_000):
            _, connection = await self._loop.create_connection(
                lambda: self._connection(dialed=True),
                host,
                port,
                ssl=tls,
                server_hostname=self.config.peer_host if tls is not None else None,
            )
        return connection
