"""Who this member is: made once with the data directory, never changed.

The incarnation tells a member from one that lost its disk and came back under
the same name: the latter must neither vote nor count.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from twofold.base.disk import sync_directory
from twofold.base.errors import Refusal

_FILE = "identity.json"
_DRAFT = "identity.draft"
_LOCK = "lock"


class ForeignData(Refusal):
    """The data directory belongs to another member, cluster or program."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The durable facts; ids are 64 bit, ``peer_incarnation`` 0 = not met yet."""

    cluster_id: int
    member_id: int
    incarnation: int
    peer_incarnation: int = 0
    witness_id: int = 0
    witness_version: int = 0
    """The highest version of the witness record that this member ever saw."""
    started: bool = False
    """The log has been made: where there is none any more, it was lost."""


def new_identity(cluster_id: int, member_id: int) -> Identity:
    """A fresh identity for an empty data directory."""
    return Identity(cluster_id, member_id, secrets.randbits(63) | 1)


def is_unused(directory: Path) -> bool:
    """Whether nothing but a first start, perhaps cut short, was here before."""
    return all(path.name in (_LOCK, _DRAFT) for path in directory.iterdir())


def load_identity(directory: Path) -> Identity | None:
    """The identity in ``directory``, None if there is none.

    Raises:
        ForeignData: there is one but it cannot be read.
    """
    path = directory / _FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        return Identity(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise ForeignData(
            f"{path} is not an identity file of twofold: restore it from the"
            " member's disk, or start with an empty data directory"
        ) from error


def save_identity(directory: Path, identity: Identity) -> None:
    """Replace the identity durably. Cost: two fsyncs."""
    path = directory / _FILE
    draft = directory / _DRAFT
    with draft.open("w") as file:
        json.dump(asdict(identity), file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_directory(directory)


def check_log(identity: Identity, member_id: int, incarnation: int) -> None:
    """See to it that a log, which may be on another disk, is this member's.

    Raises:
        ForeignData: it is not; its votes and entries say nothing about us.
    """
    if (member_id, incarnation) != (identity.member_id, identity.incarnation):
        raise ForeignData(
            f"the log is that of member {member_id:x} with data directory"
            f" {incarnation:x}, this is member {identity.member_id:x} with"
            f" {identity.incarnation:x}: check --wal-dir, and keep log and data"
            " directory together"
        )


class InUse(Refusal):
    """Another process runs on this data directory."""


def lock_directory(directory: Path) -> int:
    """Keep other processes out for as long as the returned descriptor is open.

    Raises:
        InUse: another process holds the directory.
    """
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InUse(f"another process runs on {directory}: stop it first") from error
    return descriptor


class IdentityFile:
    """The identity in use; every change is durable before it is seen."""

    def __init__(self, directory: Path, identity: Identity) -> None:
        self._directory = directory
        self.now = identity

    def know_started(self) -> None:
        """The log is there; from now on it is never made anew."""
        if not self.now.started:
            self._change(replace(self.now, started=True))

    def know_peer(self, incarnation: int) -> None:
        """The peer has been met for the first time."""
        self._change(replace(self.now, peer_incarnation=incarnation))

    def know_witness(self, witness_id: int, version: int) -> None:
        """A version of the witness record has been seen; never goes back."""
        version = max(version, self.now.witness_version)
        if (witness_id, version) != (self.now.witness_id, self.now.witness_version):
            self._change(
                replace(self.now, witness_id=witness_id, witness_version=version)
            )

    def _change(self, identity: Identity) -> None:
        save_identity(self._directory, identity)
        self.now = identity
