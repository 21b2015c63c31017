"""Compacts the history by itself, as ``--auto-compaction-*`` says.

kube-apiserver compacts for itself and leaves these flags alone; whoever uses
the store without it would otherwise keep every version for ever.
Source: etcd ``server/etcdserver/api/v3compactor``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twofold.base.errors import TwofoldError
from twofold.proto import rpc_pb2
from twofold.store.apply.commands import CommandKind
from twofold.store.apply.outcomes import Outcome

_HOUR_MS = 3_600_000
_REVISION_CHECK_MS = 300_000
_TIMEOUT_MS = 7_000

Propose = Callable[
    [CommandKind, bytes, Callable[[Outcome | TwofoldError], None], int], None
]


class AutoCompactor:
    """Asks for a compaction from time to time; only the leader does.

    Shape: at most one of ``period_ms`` and ``revisions`` is not 0; with both 0
    it does nothing. ``revision`` gives the store's newest one.
    """

    def __init__(
        self,
        propose: Propose,
        revision: Callable[[], int],
        leads: Callable[[], bool],
        *,
        period_ms: int,
        revisions: int,
    ) -> None:
        self._propose = propose
        self._revision = revision
        self._leads = leads
        self._period_ms = period_ms
        self._revisions = revisions
        self._due_ms = 0
        self._last = 0
        self._seen: deque[tuple[int, int]] = deque()

    def tick(self, now_ms: int) -> None:
        """Compact if it is time; call as often as you like."""
        if now_ms < self._due_ms or not (self._period_ms or self._revisions):
            return
        if self._period_ms:
            self._due_ms = now_ms + max(1, min(self._period_ms, _HOUR_MS) // 10)
            target = self._revision_at(now_ms - self._period_ms, now_ms)
        else:
            self._due_ms = now_ms + _REVISION_CHECK_MS
            target = self._revision() - self._revisions
        if target > self._last and self._leads():
            self._compact(target)

    def _revision_at(self, past_ms: int, now_ms: int) -> int:
        """What was newest at a time in the past, as far as we looked."""
        self._seen.append((now_ms, self._revision()))
        target = 0
        while self._seen and self._seen[0][0] <= past_ms:
            target = self._seen.popleft()[1]
        return target

    def _compact(self, target: int) -> None:
        def done(outcome: Outcome | TwofoldError) -> None:
            # A failure is made good by the next one, which asks for more.
            if not isinstance(outcome, TwofoldError):
                self._last = max(self._last, target)

        request = rpc_pb2.CompactionRequest(revision=target).SerializeToString()
        self._propose(CommandKind.COMPACT, request, done, _TIMEOUT_MS)
