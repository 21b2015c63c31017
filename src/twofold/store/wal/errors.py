"""What can be wrong with a write-ahead log.

Failure
├── WalCorrupt   acknowledged data cannot be read: never go on by guessing
├── WalStopped   an earlier disk error: this log takes nothing more
├── WalExists    there is a log already where one was to be created
└── WalMissing   there is no log where one was to be opened
"""

from __future__ import annotations

from pathlib import Path

from twofold.base.errors import Failure


class WalCorrupt(Failure):
    """Durable bytes of the log have changed or are missing."""

    retry = False

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(
            f"{path} is damaged at byte {offset}: {reason}. "
            "Entries there may have been acknowledged, so this member must not "
            "start from it. Keep the directory aside, check the disk, and replace "
            "this member: it gets a fresh copy from the other one."
        )
        self.path = path
        self.offset = offset


class WalStopped(Failure):
    """The log has failed earlier; restart the process to read what is durable."""

    retry = False


class WalExists(Failure):
    """A log must not be created over another one."""

    retry = False


class WalMissing(Failure):
    """The directory holds no log segment."""

    retry = False
