"""The witness helper: a session in a process of its own.

A hung mount stops whoever touches it, uninterruptibly; here it stops only this
process, which the client then abandons. It imports next to nothing.
Run as ``python -m twofold.witness.process FD URL IDENTITY``.
"""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress

from twofold.base.errors import Failure
from twofold.raft.types import ClaimStatus
from twofold.witness.backends.directory import open_directory
from twofold.witness.errors import PublishUnknown, WitnessUnreachable
from twofold.witness.port import Stored, WitnessBackend
from twofold.witness.session import Answer, Session
from twofold.witness.url import directory_of
from twofold.witness.wire import (
    MESSAGE_BYTES_MAX,
    Reply,
    Request,
    identity_from_text,
    reply_to_bytes,
    request_from_bytes,
)


class LazyBackend:
    """A backend that is opened by its first use, and again after a failure.

    The medium may be away when a member starts, and come back as another kind.
    """

    def __init__(self, url: str) -> None:
        self._directory = directory_of(url)
        self._opened: WitnessBackend | None = None

    def load(self) -> Stored | None:
        """Open if need be, and read."""
        try:
            return self._open().load()
        except WitnessUnreachable:
            self._opened = None
            raise

    def publish(self, data: bytes, version: int) -> bool:
        """Open if need be, and publish."""
        try:
            return self._open().publish(data, version)
        except (WitnessUnreachable, PublishUnknown):
            self._opened = None
            raise

    def prune(self) -> None:
        """Prune, if it is open."""
        if self._opened is not None:
            self._opened.prune()

    def _open(self) -> WitnessBackend:
        if self._opened is None:
            self._opened = open_directory(self._directory)
        return self._opened


def serve(channel: socket.socket, session: Session, backend: WitnessBackend) -> None:
    """Answer requests, one after the other, until the client is gone."""
    while data := channel.recv(MESSAGE_BYTES_MAX):
        request = request_from_bytes(data)
        answer = _answer(session, request)
        reply = Reply(
            request.number, answer, session.reads, session.writes, session.witness_id
        )
        channel.send(reply_to_bytes(reply))
        # After the answer: tidying up must not delay a failover.
        if request.claim is not None and answer.status is ClaimStatus.OK:
            with suppress(Failure):
                backend.prune()


def _answer(session: Session, request: Request) -> Answer:
    if request.claim is None:
        return session.look(request.writer)
    return session.answer(request.claim, request.writer)


def main(arguments: list[str]) -> None:
    """Serve on an inherited socket."""
    # Ctrl-C reaches the whole foreground group; the client says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor, url, identity = arguments
    backend = LazyBackend(url)
    session = Session(backend, identity_from_text(identity))
    with (
        socket.socket(fileno=int(descriptor)) as channel,
        suppress(ConnectionError),
    ):
        serve(channel, session, backend)


if __name__ == "__main__":
    main(sys.argv[1:])
