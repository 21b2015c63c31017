"""The member's side of the witness helper process.

Callbacks, not awaitables, as in `member.facade`: each runs exactly once, on the
loop's thread.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import twofold
from twofold.base.invariant import check
from twofold.raft.types import Claim, ClaimStatus, Position
from twofold.witness.session import Answer, Identity, Trouble, Writer
from twofold.witness.url import directory_of
from twofold.witness.wire import (
    MESSAGE_BYTES_MAX,
    Reply,
    Request,
    identity_to_text,
    reply_from_bytes,
    request_to_bytes,
)

AnswerDone = Callable[[Answer], None]
DEFAULT_TIMEOUT_MS = 2_000


@dataclass(slots=True, eq=False)
class _Pending:
    """A request that has not been answered."""

    request: Request
    done: AnswerDone
    timer: asyncio.TimerHandle


class WitnessClient:
    """Asks the witness without ever waiting for its medium.

    One request is with the helper at a time; the others queue. A helper that
    does not answer in time is killed and replaced; what it was doing may still
    land, which is why its claim is answered UNREACHABLE and never repeated.
    """

    def __init__(
        self,
        url: str,
        identity: Identity,
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        newest_version_seen: int = 0,
    ) -> None:
        directory_of(url)
        self.url = url
        self.newest_version_seen = newest_version_seen
        """Raise it when the peer tells of a newer record; keep it durably."""
        self.peer_incarnation = 0
        """Set it when known; it goes into the records we write."""
        self.witness_id = identity.witness_id
        self.last_answer: Answer | None = None
        """The newest answer, for status and alarms."""
        self._identity = identity
        self._timeout_ms = timeout_ms
        self._helper: _Helper | None = None
        self._abandoned: list[_Helper] = []
        self._queue: deque[_Pending] = deque()
        self._current: _Pending | None = None
        self._numbers = 0
        self._counted = 0
        self._burnt: set[Position] = set()
        self._closed = False

    @property
    def operations(self) -> int:
        """Reads and writes of the record up to now."""
        alive = 0 if self._helper is None else self._helper.operations
        return self._counted + alive

    @property
    def reachable(self) -> bool:
        """Whether the witness gave a usable record when last asked."""
        answer = self.last_answer
        return answer is not None and answer.trouble is Trouble.NONE

    async def start(self) -> None:
        """Start the helper; the witness itself is not touched."""
        self._ensure_helper()

    def load(self, done: AnswerDone) -> None:
        """Read the record: OK with it, or UNREACHABLE and why."""
        self._submit(None, 0, done)

    def claim(self, claim: Claim, last_revision: int, done: AnswerDone) -> None:
        """Claim, or rehearse a claim; ``done`` gets the answer within the timeout.

        Raises:
            InvariantError: the position was claimed before and may still land.
        """
        asked = Position(claim.term, claim.subterm)
        check(
            claim.rehearse or asked not in self._burnt,
            "a claim whose outcome is not known is never repeated",
            position=tuple(asked),
        )
        self._submit(claim, last_revision, done)

    async def close(self) -> None:
        """Stop the helper; whoever still waits is answered UNREACHABLE."""
        self._closed = True
        self._drop_helper()
        waiting = [*([self._current] if self._current else []), *self._queue]
        self._current = None
        self._queue.clear()
        for pending in waiting:
            self._finish(pending, _unreachable(pending, "the member is stopping"))
        for abandoned in self._abandoned:
            await abandoned.reap()
        self._abandoned.clear()

    def _submit(self, claim: Claim | None, revision: int, done: AnswerDone) -> None:
        check(not self._closed, "a closed witness client is not asked")
        self._numbers += 1
        writer = Writer(revision, self.newest_version_seen, self.peer_incarnation)
        request = Request(self._numbers, claim, writer)
        loop = asyncio.get_running_loop()
        pending = _Pending(
            request,
            done,
            loop.call_later(self._timeout_ms / 1000, self._time_out, request.number),
        )
        self._queue.append(pending)
        self._pump()

    def _pump(self) -> None:
        """Give the helper the next request, if it is idle."""
        while self._current is None and self._queue:
            pending = self._current = self._queue.popleft()
            try:
                self._send(pending.request)
            except OSError as error:
                self._lose_helper(f"the witness helper cannot be asked: {error}")

    def _send(self, request: Request) -> None:
        try:
            self._ensure_helper().send(request)
        except ConnectionError:
            # It died while idle, so nothing of the request has happened.
            self._drop_helper()
            self._ensure_helper().send(request)

    def _ensure_helper(self) -> _Helper:
        if self._helper is None:
            self._abandoned = [one for one in self._abandoned if not one.is_gone()]
            self._helper = _Helper(self.url, self._identity)
            self._helper.listen(self._receive)
        return self._helper

    def _receive(self, reply: Reply | None) -> None:
        pending = self._current
        if reply is None:
            self._lose_helper("the witness helper died")
            self._pump()
        elif pending is not None and pending.request.number == reply.number:
            self._current = None
            if reply.witness_id:
                self.witness_id = reply.witness_id
            if reply.answer.record is not None:
                seen = max(self.newest_version_seen, reply.answer.record.version)
                self.newest_version_seen = seen
            self._finish(pending, reply.answer)
            self._pump()

    def _time_out(self, number: int) -> None:
        reason = f"the witness did not answer within {self._timeout_ms} ms"
        if self._current is not None and self._current.request.number == number:
            # Replaced at once: the medium may be fine again for the next claim.
            self._lose_helper(reason)
            if not self._closed:
                with suppress(OSError):
                    self._ensure_helper()
                self._pump()
            return
        for pending in self._queue:
            if pending.request.number == number:
                self._queue.remove(pending)
                self._finish(pending, _unreachable(pending, reason))
                return

    def _lose_helper(self, reason: str) -> None:
        """Abandon the helper; its request, if any, has an unknown outcome."""
        self._drop_helper()
        pending, self._current = self._current, None
        if pending is not None:
            self._finish(pending, _unreachable(pending, reason))

    def _drop_helper(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            self._counted += helper.operations
            helper.kill()
            self._abandoned.append(helper)

    def _finish(self, pending: _Pending, answer: Answer) -> None:
        pending.timer.cancel()
        claim = pending.request.claim
        lost = answer.status is ClaimStatus.UNREACHABLE
        if claim is not None and not claim.rehearse and lost:
            self._burnt.add(Position(claim.term, claim.subterm))
        self.last_answer = answer
        pending.done(answer)


class _Helper:
    """One helper process and the socket to it."""

    def __init__(self, url: str, identity: Identity) -> None:
        self.operations = 0
        # Packets, so that a message is read whole or not at all.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            self._channel = ours
            self._loop = asyncio.get_running_loop()
            command = [
                sys.executable,
                # Without site: it starts in half the time and a third less memory.
                "-SE",
                "-c",
                f"import sys; sys.path.insert(0, {_source_root()!r});"
                "from twofold.witness.process import main; main(sys.argv[1:])",
                str(theirs.fileno()),
                url,
                identity_to_text(identity),
            ]
            try:
                self._process = subprocess.Popen(  # noqa: S603 (our own module)
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                )
            except OSError:
                ours.close()
                raise

    @property
    def pid(self) -> int:
        """The process, for tests."""
        return self._process.pid

    def listen(self, receive: Callable[[Reply | None], None]) -> None:
        """Call ``receive`` with every reply, and with None at the end."""
        self._loop.add_reader(self._channel, self._readable, receive)

    def send(self, request: Request) -> None:
        """Send a request; it fits the socket's buffer, so this never waits."""
        self._channel.send(request_to_bytes(request))

    def kill(self) -> None:
        """End it, or let it be ended as soon as the kernel lets go of it."""
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel)
            self._channel.close()
        self._process.kill()

    def is_gone(self) -> bool:
        """Whether the killed process has really ended."""
        return self._process.poll() is not None

    async def reap(self, tries: int = 50) -> None:
        """Wait a little for the end; a process hung in the kernel stays."""
        for _ in range(tries):
            if self.is_gone():
                return
            await asyncio.sleep(0.01)

    def _readable(self, receive: Callable[[Reply | None], None]) -> None:
        try:
            data = self._channel.recv(MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            receive(None)
            return
        reply = reply_from_bytes(data)
        self.operations = reply.reads + reply.writes
        receive(reply)


def _source_root() -> str:
    """The directory that `twofold` is imported from."""
    return os.fspath(Path(twofold.__file__).resolve().parent.parent)


def _unreachable(pending: _Pending, reason: str) -> Answer:
    claim = pending.request.claim
    number = 0 if claim is None else claim.number
    return Answer(number, ClaimStatus.UNREACHABLE, None, reason, Trouble.UNREACHABLE)
