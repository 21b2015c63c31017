"""One connection: greets, cuts frames, gathers writes. The link decides the rest."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

from twofold.peer import frames
from twofold.peer.errors import FrameInvalid
from twofold.peer.frames import Frame, FrameKind, FrameReader, Hello

_WRITE_HIGH_BYTES = 4 << 20
_WRITE_LOW_BYTES = 1 << 20
_WRITE_BYTES_MAX = 96 << 20
"""A peer that leaves this much unread is cut off; after that it starts clean."""
_HANDSHAKE_MS = 2_000
_UNACKED_MS = 2_000


class ConnectionOwner(Protocol):
    """What a connection tells."""

    def opened(self, connection: PeerConnection) -> None:
        """The transport is up; nothing is known of the other side."""

    def greeted(self, connection: PeerConnection, hello: Hello) -> None:
        """The other side has said who it is."""

    def received(self, connection: PeerConnection, batch: list[Frame]) -> None:
        """Frames after the greeting, as they arrived in one read."""

    def lost(self, connection: PeerConnection, reason: str) -> None:
        """The transport is gone; comes exactly once if ``opened`` came."""


class PeerConnection(asyncio.Protocol):
    """An asyncio protocol of one link; ``dialed``: this member opened it."""

    def __init__(self, owner: ConnectionOwner, hello: Hello, dialed: bool) -> None:
        loop = asyncio.get_running_loop()
        self.dialed = dialed
        self.hello: Hello | None = None
        self.accepted = False
        """The member that does not choose has agreed; known to the chooser."""
        self.paused = False
        self.settled: asyncio.Future[None] = loop.create_future()
        """Done when the connection is live, or will never be."""
        self._loop = loop
        self._owner = owner
        self._my_hello = hello
        self._reader = FrameReader(frames.HELLO_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flushing = False
        self._reason = "closed by the peer"

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet at once; both sides do."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES)
        _tune(transport.get_extra_info("socket"))
        self._handshake = self._loop.call_later(
            _HANDSHAKE_MS / 1_000, self.close, "no greeting in time"
        )
        self.queue(FrameKind.HELLO, frames.encode_hello(self._my_hello))
        self.flush()
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Hand on what has arrived, batch by batch."""
        try:
            batch = self._reader.feed(data)
            if self.hello is None and batch:
                self._greet(*batch.pop(0))
                # The rest of a stranger's bytes was cut under the small limit.
            if batch and self._transport is not None:
                self._owner.received(self, batch)
        except FrameInvalid as error:
            self.close(str(error))

    def pause_writing(self) -> None:
        """The peer does not keep up with reading."""
        self.paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner once."""
        if self._handshake is not None:
            self._handshake.cancel()
        self._transport = None
        self.settle()
        self._owner.lost(self, str(exc) if exc else self._reason)

    # ---- the link's side

    @property
    def open(self) -> bool:
        """Whether writing makes sense."""
        return self._transport is not None and not self._transport.is_closing()

    def queue(self, kind: int, body: bytes) -> None:
        """Send with the next ``flush``, at the latest in the next turn."""
        if not self.open:
            return
        frame = frames.seal(kind, body)
        self._out.append(frame)
        self._out_bytes += len(frame)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything queued, by one call."""
        self._flushing = False
        transport = self._transport
        if not self._out or transport is None:
            return
        if self._out_bytes + transport.get_write_buffer_size() > _WRITE_BYTES_MAX:
            self._reason = "the peer has stopped reading"
            transport.abort()
        else:
            transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    def settle(self) -> None:
        """What this connection is to be has been decided."""
        if not self.settled.done():
            self.settled.set_result(None)

    def refuse(self, reason: str) -> None:
        """Say why and close."""
        self.queue(FrameKind.REFUSE, reason.encode()[: frames.HELLO_BYTES_MAX])
        self.flush()
        self.close(reason)

    def close(self, reason: str) -> None:
        """Send what is queued and close."""
        if self._transport is not None and not self._transport.is_closing():
            self.flush()
            self._reason = reason
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def _greet(self, kind: int, body: bytes) -> None:
        if kind == FrameKind.REFUSE:
            self._owner.received(self, [(kind, body)])
            return
        if kind != FrameKind.HELLO:
            raise FrameInvalid("the other side did not greet first")
        self.hello = frames.decode_hello(body)
        if self._handshake is not None:
            self._handshake.cancel()
        self._reader.frame_bytes_max = frames.FRAME_BYTES_MAX
        self._owner.greeted(self, self.hello)


def _tune(raw: socket.socket | None) -> None:
    """Small writes leave at once; a vanished peer is noticed in seconds."""
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKED_MS)
