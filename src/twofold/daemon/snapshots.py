"""Snapshots between the members: capture, stream, install."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from twofold.base.errors import TwofoldError
from twofold.base.tasks import Supervisor
from twofold.member.checkpoints import Checkpointer
from twofold.member.driver import Driver
from twofold.peer.errors import SnapshotFailed
from twofold.peer.frames import FrameKind
from twofold.peer.link import PeerLink
from twofold.peer.snapshots import SnapshotReceiver, SnapshotSender
from twofold.raft.types import SnapshotSent
from twofold.store.backend.build import LmdbBuilder
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.snap.reader import capture
from twofold.store.snap.writer import SnapshotWriter

log = structlog.get_logger()

_INDEX = struct.Struct("<Q")
_FROM_RECEIVER = (FrameKind.SNAPSHOT_ACK,)


class _Sink:
    """Builds the received state beside the one in use."""

    def __init__(self, directory: Path) -> None:
        self.writer = SnapshotWriter(LmdbBuilder(directory))

    def write(self, chunk: bytes) -> None:
        """See peer.snapshots.Sink."""
        self.writer.add(chunk)

    def finish(self) -> None:
        """See Sink; it is installed on the loop's thread, in ``Snapshots``."""
        if not self.writer.complete:
            raise SnapshotFailed("the stream ended before the snapshot did")

    def abort(self) -> None:
        """See Sink."""
        self.writer.abandon()


class Snapshots:
    """Both directions, one snapshot at a time each.

    A member that installs one closes its store for a moment; it is a learner
    then, so nobody waits for it. ``on_failure``: it has no store now, and must
    stop; the next start finds the old state or the new one.
    """

    def __init__(
        self,
        directory: Path,
        driver: Driver,
        checkpointer: Checkpointer,
        link: PeerLink,
        tasks: Supervisor,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._directory = directory
        self._driver = driver
        self._checkpointer = checkpointer
        self._tasks = tasks
        self._on_failure = on_failure
        self._sink: _Sink | None = None
        self._sender = SnapshotSender(link.send_frame)
        self._receiver = SnapshotReceiver(
            link.send_frame, self._open_sink, self._received, self._broke_off
        )
        self._sending = False

    def send(self) -> None:
        """The peer needs one: checkpoint, then stream the checkpoint."""
        if self._sending:
            return
        self._sending = True
        broken = partial(self._sent, False)
        if not self._checkpointer.start(self._stream, broken):
            # One is under way: what it holds may be too old, ask again later.
            self._sent(False)

    def frame(self, kind: int, body: bytes) -> None:
        """A snapshot frame of the link."""
        if kind in _FROM_RECEIVER or (
            kind == FrameKind.SNAPSHOT_ABORT and self._sending
        ):
            self._sender.received(kind, body)
        else:
            self._receiver.received(kind, body)

    def lose(self) -> None:
        """The link is gone."""
        self._sender.lose()
        self._receiver.lose()

    def close(self) -> None:
        """Stop the receiver's thread."""
        self._receiver.close()

    def _stream(self) -> None:
        self._tasks.spawn(self._run(), "snapshot")

    async def _run(self) -> None:
        reader = capture(self._driver.applier.backend)
        log.info("sending a snapshot", index=reader.index)
        try:
            await self._sender.send(_INDEX.pack(reader.index), reader.chunks())
        except (TwofoldError, OSError) as error:
            log.warning("the snapshot was not taken", reason=str(error))
            self._sent(False)
        else:
            self._sent(True)
        finally:
            reader.close()

    def _sent(self, ok: bool) -> None:
        self._sending = False
        self._driver.step(SnapshotSent(self._driver.clock.now_ms(), ok))

    def _open_sink(self, _meta: bytes) -> _Sink:
        self._sink = _Sink(self._directory)
        return self._sink

    def _received(self, _meta: bytes) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        if sink.writer.index <= self._driver.applied_index:
            sink.writer.abandon()
            return
        log.info("installing a snapshot", index=sink.writer.index)
        self._driver.applier.backend.close()
        try:
            sink.writer.install()
            backend = LmdbBackend(self._directory)
        except (TwofoldError, OSError) as error:
            self._on_failure(error)
        else:
            self._driver.restored(backend)

    def _broke_off(self, reason: str) -> None:
        self._sink = None
        log.warning("a snapshot broke off", reason=reason)
