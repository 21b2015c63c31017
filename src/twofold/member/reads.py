"""Linearizable reads: what arrived together is confirmed together."""

from __future__ import annotations

from typing import NamedTuple

from twofold.base.errors import TwofoldError
from twofold.member.facade import ReadDone, ReadTimedOut
from twofold.raft.types import ReadState

ASKED_MAX = 1_000
"""So many contexts may wait for the core: a leader that cannot confirm must not
gather them without end."""


class _Waiting(NamedTuple):
    done: ReadDone
    deadline_ms: int


class Reads:
    """Reads that wait for a read index, then for the state machine to reach it.

    A read counts as asked when it joins a context that the core has not seen
    yet, so the confirmation always begins after the read did.
    """

    def __init__(self, asked_max: int = ASKED_MAX) -> None:
        self._asked_max = asked_max
        self._context = 0
        self._unsent: list[_Waiting] = []
        self._asked: dict[int, list[_Waiting]] = {}
        self._confirmed: list[tuple[int, list[_Waiting]]] = []

    def add(self, done: ReadDone, deadline_ms: int) -> None:
        """Take a read; it waits for ``take_context``."""
        self._unsent.append(_Waiting(done, deadline_ms))

    @property
    def waiting(self) -> bool:
        """Whether reads have not been handed to the core."""
        return bool(self._unsent)

    @property
    def may_ask(self) -> bool:
        """Whether ``take_context`` makes sense now."""
        return bool(self._unsent) and len(self._asked) < self._asked_max

    def take_context(self) -> int:
        """Put the waiting reads under a fresh context for ``ReadRequested``."""
        self._context += 1
        self._asked[self._context] = self._unsent
        self._unsent = []
        return self._context

    def resolve(self, state: ReadState, applied: int) -> None:
        """The core's answer: release, wait for ``applied``, or ask again later."""
        batch = self._asked.pop(state.context, None)
        if batch is None:
            return
        if state.index == 0:
            self._unsent = batch + self._unsent
        elif state.index <= applied:
            self._release(batch, None)
        else:
            self._confirmed.append((state.index, batch))

    def advance(self, applied: int) -> None:
        """The state machine has moved to ``applied``."""
        if not self._confirmed:
            return
        ready = [batch for index, batch in self._confirmed if index <= applied]
        self._confirmed = [item for item in self._confirmed if item[0] > applied]
        for batch in ready:
            self._release(batch, None)

    def expire(self, now_ms: int) -> None:
        """Fail what is past its deadline."""
        error = ReadTimedOut("no leader confirmed the read in time")
        self._unsent = self._keep(self._unsent, now_ms, error)
        for context, batch in list(self._asked.items()):
            self._asked[context] = self._keep(batch, now_ms, error)
        self._confirmed = [
            (index, self._keep(batch, now_ms, error))
            for index, batch in self._confirmed
        ]

    def fail_all(self, error: TwofoldError) -> None:
        """The member stops."""
        batches = [self._unsent, *self._asked.values()]
        batches += [batch for _, batch in self._confirmed]
        self._unsent, self._asked, self._confirmed = [], {}, []
        for batch in batches:
            self._release(batch, error)

    @staticmethod
    def _release(batch: list[_Waiting], error: TwofoldError | None) -> None:
        for waiting in batch:
            waiting.done(error)

    @staticmethod
    def _keep(
        batch: list[_Waiting], now_ms: int, error: TwofoldError
    ) -> list[_Waiting]:
        late = [waiting for waiting in batch if waiting.deadline_ms <= now_ms]
        if not late:
            return batch
        for waiting in late:
            waiting.done(error)
        return [waiting for waiting in batch if waiting.deadline_ms > now_ms]
