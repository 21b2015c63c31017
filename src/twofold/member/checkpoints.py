"""When to make the state machine durable, and what may be forgotten then.

The log is durable at once, the checkpoint trails it: the longer it waits, the
fewer pages are written twice, and the longer a restart takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twofold.base.errors import Failure
from twofold.base.ids import Index
from twofold.member.driver import Driver
from twofold.member.ports import CheckpointMark, LogPort
from twofold.raft.types import Applied, Compacted, Position, Role

PENDING_BYTES_MAX = 4 << 20
ENTRIES_KEPT_MAX = 5_000
ENTRIES_KEPT_BYTES_MAX = 64 << 20
RETRY_MS = 1_000
CATCHING_UP_MAX = 200_000
CATCHING_UP_BYTES_MAX = 256 << 20
"""For a peer that is here: else, under load, each snapshot would be too old by
the time it is installed, and the peer would never catch up."""


class Backlog:
    """What stays in memory for a peer that lags: bounded in entries and bytes."""

    def __init__(
        self,
        bytes_max: int = ENTRIES_KEPT_BYTES_MAX,
        catching_up_bytes_max: int = CATCHING_UP_BYTES_MAX,
    ) -> None:
        self._bytes_max = bytes_max
        self._catching_up_bytes_max = catching_up_bytes_max
        self._sizes: deque[tuple[Index, int]] = deque(maxlen=1_000)

    def note(self, index: Index, applied_bytes: int) -> None:
        """A checkpoint at ``index``; so much had been applied since the start."""
        self._sizes.append((index, applied_bytes))

    def keep_from(
        self, marked: Index, peer_match: Index, applied_bytes: int, *, here: bool
    ) -> Index:
        """The index behind which entries stay; ``here``: the peer catches up now."""
        count, bytes_max = ENTRIES_KEPT_MAX, self._bytes_max
        if here:
            count, bytes_max = CATCHING_UP_MAX, self._catching_up_bytes_max
        keep_from = max(peer_match, marked - count)
        while self._sizes and applied_bytes - self._sizes[0][1] > bytes_max:
            keep_from = max(keep_from, min(self._sizes.popleft()[0], marked))
        return Index(keep_from)


class Checkpointer:
    """Runs the checkpoints of one member.

    Shape: one at a time. ``hand_over`` brings a callback from the backend's
    thread to the loop. After a failure it tries again a while later.
    """

    def __init__(
        self,
        driver: Driver,
        log: LogPort,
        hand_over: Callable[[Callable[[], None]], None],
        entries_max: int,
        age_max_ms: int,
        on_failure: Callable[[Failure], None],
    ) -> None:
        self._driver = driver
        self._log = log
        self._hand_over = hand_over
        self._entries_max = entries_max
        self._age_max_ms = age_max_ms
        self._on_failure = on_failure
        self._last_ms = driver.clock.now_ms()
        self._retry_ms = 0
        self._then: list[Callable[[], None]] = []
        self.backlog = Backlog()
        self.index = driver.applied_index

    def look(self) -> None:
        """Start a checkpoint if it is due."""
        driver = self._driver
        lag = driver.applied_index - self.index
        if lag <= 0 or driver.clock.now_ms() < self._retry_ms:
            return
        age_ms = driver.clock.now_ms() - self._last_ms
        pending_bytes = driver.applier.backend.pending_bytes
        if (
            lag >= self._entries_max
            or pending_bytes >= PENDING_BYTES_MAX
            or age_ms >= self._age_max_ms
        ):
            self.start()

    def start(
        self,
        then: Callable[[], None] = lambda: None,
        failed: Callable[[], None] = lambda: None,
    ) -> bool:
        """Start a checkpoint now; ``then`` runs once its mark is durable.

        Shape: if it starts, either ``then`` or ``failed`` runs, and once.

        Returns: False if one is under way.
        """
        driver = self._driver
        index, position = driver.applied_index, driver.applier.position
        backend = driver.applier.backend
        applied_bytes = driver.applied_bytes

        def finish(failure: Failure | None) -> None:
            # A snapshot of the leader may have replaced the state meanwhile.
            if failure is None and driver.applier.backend is backend:
                self.backlog.note(index, applied_bytes)
                self._finish(index, position, then)
                return
            if failure is not None:
                self._retry_ms = driver.clock.now_ms() + RETRY_MS
                self._on_failure(failure)
            failed()

        self._last_ms = driver.clock.now_ms()
        return backend.checkpoint(
            lambda failure: self._hand_over(lambda: finish(failure))
        )

    def marked(self, mark: CheckpointMark) -> None:
        """The log knows of the checkpoint: forget what lies before it."""
        driver = self._driver
        now_ms = driver.clock.now_ms()
        waiting, self._then = self._then, []
        self._log.release(mark.index)
        driver.step(Applied(now_ms, driver.applied_index))
        keep_from = mark.index
        status = driver.core.status()
        if driver.link is not None and status.peer_match < mark.index:
            # A peer that is only a little behind is spared a snapshot.
            keep_from = self.backlog.keep_from(
                mark.index,
                status.peer_match,
                driver.applied_bytes,
                here=status.role is Role.LEADER and status.peer_alive,
            )
        if keep_from > 0:
            driver.step(Compacted(now_ms, keep_from))
        for then in waiting:
            then()

    def _finish(
        self,
        index: Index,
        position: Position,
        then: Callable[[], None],
    ) -> None:
        self.index = index
        self._then.append(then)
        self._log.mark(index, position, CheckpointMark(index))
