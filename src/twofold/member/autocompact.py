"""Compaction without anybody asking: by age or by number of revisions.

kube-apiserver compacts by itself; this is for users who are without it. Only
the leader proposes.
"""

from __future__ import annotations

from collections import deque

SAMPLE_MS = 60_000
REVISION_EVERY_MS = 300_000


class AutoCompaction:
    """Says which revision to compact at; at most one of the limits is not 0.

    Shape: ``period_ms`` keeps what is younger, ``revisions`` keeps that many.
    Samples are a minute apart, so the age is exact to a minute (or to a tenth of
    a shorter period).
    """

    def __init__(self, period_ms: int, revisions: int) -> None:
        self._period_ms = period_ms
        self._revisions = revisions
        self._samples: deque[tuple[int, int]] = deque()
        self._every_ms = REVISION_EVERY_MS
        if period_ms:
            self._every_ms = min(SAMPLE_MS, max(1, period_ms // 10))
        self._next_ms = 0

    def due(self, now_ms: int, current: int, compacted: int) -> int:
        """The revision to compact at now, 0 for none."""
        if not (self._period_ms or self._revisions) or now_ms < self._next_ms:
            return 0
        self._next_ms = now_ms + self._every_ms
        if self._revisions:
            target = current - self._revisions
        else:
            target = self._aged(now_ms, current)
        return target if target > max(compacted, 0) else 0

    def _aged(self, now_ms: int, current: int) -> int:
        """The newest revision that was current a whole period ago."""
        self._samples.append((now_ms, current))
        target = 0
        while self._samples and self._samples[0][0] <= now_ms - self._period_ms:
            target = self._samples.popleft()[1]
        return target
