"""Questions over the link, each with one answer: lease renewals and the like."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

from twofold.base.errors import TwofoldError
from twofold.peer.errors import FrameInvalid, LinkDown, RequestFailed, RequestLost
from twofold.peer.frames import FrameKind

AnswerDone = Callable[[bytes | TwofoldError], None]
Answer = Callable[[int, bytes, AnswerDone], None]
"""Carries out (method, body) and calls back with the body of the answer."""
SendFrame = Callable[[int, bytes], bool]
"""Queues a frame; False: the peer is not connected."""

_REQUEST = struct.Struct("<QB")
_RESPONSE = struct.Struct("<QB")
_OK, _FAILED = 0, 1


class Requests:
    """Both roles: asks the peer, and answers what the peer asks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: SendFrame,
        answer: Answer,
        timeout_ms: int,
    ) -> None:
        self._loop = loop
        self._send = send
        self._answer = answer
        self._timeout_ms = timeout_ms
        self._last_id = 0
        self._waiting: dict[int, tuple[AnswerDone, asyncio.TimerHandle]] = {}

    def ask(self, method: int, body: bytes, done: AnswerDone) -> None:
        """``done`` gets the answer, or LinkDown, RequestFailed or RequestLost."""
        self._last_id += 1
        number = self._last_id
        if not self._send(FrameKind.REQUEST, _REQUEST.pack(number, method) + body):
            done(LinkDown("the other member is not connected"))
            return
        timer = self._loop.call_later(
            self._timeout_ms / 1_000, self._give_up, number, "no answer in time"
        )
        self._waiting[number] = (done, timer)

    def received(self, kind: int, body: bytes) -> None:
        """A REQUEST or RESPONSE frame of the peer."""
        if len(body) < _REQUEST.size:
            raise FrameInvalid("a request or response is too short")
        if kind == FrameKind.RESPONSE:
            number, status = _RESPONSE.unpack_from(body)
            rest = body[_RESPONSE.size :]
            self._finish(
                number,
                rest if status == _OK else RequestFailed(rest.decode(errors="replace")),
            )
            return
        number, method = _REQUEST.unpack_from(body)

        def done(result: bytes | TwofoldError) -> None:
            if isinstance(result, bytes):
                response = _RESPONSE.pack(number, _OK) + result
            else:
                response = _RESPONSE.pack(number, _FAILED) + str(result).encode()
            # A peer that is gone by now asks again over its next connection.
            self._send(FrameKind.RESPONSE, response)

        self._answer(method, body[_REQUEST.size :], done)

    def lose(self) -> None:
        """The connection is gone, and the answers with it."""
        for number in list(self._waiting):
            self._give_up(number, "the connection was lost")

    def _give_up(self, number: int, reason: str) -> None:
        self._finish(number, RequestLost(reason))

    def _finish(self, number: int, result: bytes | TwofoldError) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            done, timer = waiting
            timer.cancel()
            done(result)
