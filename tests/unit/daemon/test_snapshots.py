"""Rules of snapshots between members."""

import asyncio
from pathlib import Path
from typing import cast

from twofold.base.ids import Index, Subterm, Term
from twofold.base.tasks import Supervisor
from twofold.daemon.snapshots import Snapshots
from twofold.member.checkpoints import Checkpointer
from twofold.member.driver import Driver
from twofold.peer.frames import FrameKind
from twofold.peer.link import PeerLink
from twofold.peer.snapshots import SnapshotSender
from twofold.raft.types import NO_INDEX, Append, Entry, EntryKind
from twofold.store.errors import BackendFailure
from twofold.store.snap.reader import capture
from twofold.testing.fakes_member import HeldLog, StillClock, paired_driver


def ahead() -> Driver:
    """A member with one entry applied, in its checkpoint too."""
    log = HeldLog()
    driver = paired_driver(log, StillClock())
    entry = Entry(Index(1), Term(1), Subterm(0), EntryKind.EMPTY, b"")
    append = Append(Term(1), NO_INDEX, Term(0), (entry,), Index(1), 0, True, None)
    driver.receive([append])
    log.sync()
    driver.applier.backend.checkpoint(lambda _failure: None)
    return driver


class Wire:
    """The sender at the other end of the link."""

    def __init__(self) -> None:
        self.sender: SnapshotSender | None = None

    def send_frame(self, kind: int, body: bytes) -> bool:
        if self.sender is not None:
            self.sender.received(kind, body)
        return True


def test_a_snapshot_that_cannot_be_installed_stops_the_member(tmp_path: Path) -> None:
    # Nothing can be renamed onto a directory that holds something.
    (tmp_path / "data.mdb" / "in the way").mkdir(parents=True)
    failures: list[BaseException] = []

    async def scenario() -> None:
        wire = Wire()
        driver = paired_driver(HeldLog(), StillClock())
        snapshots = Snapshots(
            tmp_path,
            driver,
            cast(Checkpointer, None),
            cast(PeerLink, wire),
            Supervisor(lambda _name, _error: None),
            failures.append,
        )

        def deliver(kind: int, body: bytes) -> bool:
            if kind != FrameKind.SNAPSHOT_ACK:
                snapshots.frame(kind, body)
            return True

        wire.sender = SnapshotSender(deliver)
        await wire.sender.send(b"", capture(ahead().applier.backend).chunks())
        snapshots.close()
        assert driver.applied_index == 0

    asyncio.run(scenario())
    assert [type(failure) for failure in failures] == [BackendFailure]
