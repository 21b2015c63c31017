"""Linearizable reads that wait for a confirmation or for the leader's answer."""

from __future__ import annotations

from collections import deque

from twofold.base.ids import Index
from twofold.raft.types import NO_INDEX, Effects, ReadState


class LeaderReads:
    """Reads that a leader has not answered yet.

    ``early`` ones came before an entry of the term was committed, the peer's
    among them in ``early_remote``; the rest wait for their round.
    """

    __slots__ = ("_waiting", "early", "early_remote")

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting: deque[tuple[int, int, Index]] = deque()
        self.early: list[int] = []
        self.early_remote: list[int] = []

    def wait(self, round_: int, context: int, index: Index) -> None:
        """``context`` may read at ``index`` once ``round_`` is confirmed."""
        self._waiting.append((round_, context, index))

    def confirm(self, round_: int, out: Effects) -> None:
        """The peer still followed in ``round_``: release what asked before it."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= round_:
            _, context, index = waiting.popleft()
            out.reads.append(ReadState(context, index))

    def confirm_all(self, out: Effects) -> None:
        """The witness names us: nobody else can lead, release all."""
        for _, context, index in self._waiting:
            out.reads.append(ReadState(context, index))
        self._waiting.clear()

    def lapse(self, out: Effects) -> None:
        """We lead no more: the driver has to ask again."""
        for _, context, _ in self._waiting:
            out.reads.append(ReadState(context, NO_INDEX))
        for context in self.early:
            out.reads.append(ReadState(context, NO_INDEX))
        self._waiting.clear()
        self.early.clear()
        self.early_remote.clear()


class FollowerReads:
    """Reads that a follower has passed on to the leader."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        """Nothing waits."""
        self._pending: dict[int, int] = {}

    def ask(self, context: int, until_ms: int) -> None:
        """``context`` is on its way; give it up at ``until_ms``."""
        self._pending[context] = until_ms

    def contexts(self) -> list[int]:
        """What is on its way, oldest first."""
        return list(self._pending)

    def answer(self, context: int, index: Index, out: Effects) -> None:
        """The leader answered; an answer that came too late is dropped."""
        if self._pending.pop(context, None) is not None:
            out.reads.append(ReadState(context, index))

    def deadline_ms(self) -> int | None:
        """When the oldest lapses."""
        return next(iter(self._pending.values()), None)

    def expire(self, now_ms: int, out: Effects) -> None:
        """Give up what was lost on the way."""
        late = [c for c, until_ms in self._pending.items() if until_ms <= now_ms]
        for context in late:
            del self._pending[context]
            out.reads.append(ReadState(context, NO_INDEX))

    def lapse(self, out: Effects) -> None:
        """The leader or the term has changed: all have to ask again."""
        for context in self._pending:
            out.reads.append(ReadState(context, NO_INDEX))
        self._pending.clear()
