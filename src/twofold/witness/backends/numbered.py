"""What all file backends share: version ``n`` is the file ``{n:020}.st``."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from twofold.witness.backends.files import Files
from twofold.witness.errors import (
    PublishUnknown,
    RecordIncomplete,
    WitnessUnreachable,
)
from twofold.witness.port import Stored

KEPT_VERSIONS = 32
_PRUNE_ABOVE = 2 * KEPT_VERSIONS
_LOAD_TRIES_MAX = 10
_LOAD_PAUSE_S = 0.01
_DIGITS = 20


class Placement(NamedTuple):
    """What a publish has to make visible, and under which name."""

    draft: str
    target: str
    data: bytes


class NumberedFiles:
    """Reading, judging a publish's outcome, pruning; subclasses place files."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: Stored | None = None

    def load(self) -> Stored | None:
        """Read the newest version."""
        for _ in range(_LOAD_TRIES_MAX):
            try:
                with self._files:
                    found = self._walk_up()
            except OSError as error:
                raise WitnessUnreachable(self._told(error)) from error
            if found is None:
                self._known = None
                return None
            data, version = found
            if data is not None and self._is_complete(data):
                self._known = Stored(data, version)
                return self._known
            # Pruned between listing and reading, or just being written.
            time.sleep(_LOAD_PAUSE_S)
        if data is None:
            raise WitnessUnreachable("versions vanish faster than they can be read")
        raise RecordIncomplete(
            f"version {version} is not fully written: its writer is at work or"
            f" died; if it died, stop both members and remove {name_of(version)}"
        )

    def publish(self, data: bytes, version: int) -> bool:
        """Create ``version``.

        Cost: 2 fsyncs, 2 reads, 1 listing.
        """
        draft = f"{version:0{_DIGITS}}.{os.urandom(8).hex()}.draft"
        began = False
        try:
            with self._files:
                if not self._follows(version):
                    return False
                try:
                    self._write_draft(draft, data)
                    began = True
                    won = self._place_and_judge(draft, data, version)
                finally:
                    with suppress(OSError):
                        self._files.unlink(draft)
        except OSError as error:
            if began:
                raise PublishUnknown(version, self._told(error)) from error
            raise WitnessUnreachable(self._told(error)) from error
        if won:
            self._known = Stored(data, version)
        return won

    def _follows(self, version: int) -> bool:
        """Whether the medium still is the one that the caller has judged.

        Otherwise a directory that an unmounted share uncovers, or a medium
        that went back in time, would take the next version and call it won.
        """
        before = self._files.read(name_of(version - 1)) if version > 1 else None
        if before is None:
            return version == 1 and self._newest() <= 1
        known = self._known
        return known is None or known.version != version - 1 or known.data == before

    def _place_and_judge(self, draft: str, data: bytes, version: int) -> bool:
        target = name_of(version)
        existed = False
        try:
            self._place(Placement(draft, target, data))
        except FileExistsError:
            existed = True
        # The content decides, not the call's answer: a client that lost the
        # first reply is told "exists" about its own success.
        there = self._files.read(target)
        if there is None and self._newest() <= version:
            raise PublishUnknown(version, "it is not there after placing it")
        if there != data:
            return False
        if existed:
            # An earlier try of ours put it there, and failed to say "durable".
            self._files.sync_name(target)
        self._files.sync_directory()
        # A stalled member can re-create a number that was pruned meanwhile.
        return self._newest() == version

    def holds(self, data: bytes, version: int) -> bool:
        """Whether ``version`` is there with these bytes; for tests of a medium."""
        try:
            with self._files:
                return self._files.read(name_of(version)) == data
        except OSError as error:
            raise WitnessUnreachable(self._told(error)) from error

    def prune(self) -> None:
        """Remove all but the newest 32 versions, and drafts of dead writers."""
        try:
            with self._files:
                self._prune()
        except OSError as error:
            raise WitnessUnreachable(self._told(error)) from error

    def _prune(self) -> None:
        names = self._files.names()
        versions = sorted(filter(None, map(version_of, names)))
        if len(versions) <= _PRUNE_ABOVE:
            return
        oldest_kept = versions[-KEPT_VERSIONS]
        for name in names:
            number = name[:_DIGITS]
            ours = name.endswith((".st", ".draft")) and number.isdecimal()
            if ours and int(number) < oldest_kept:
                self._files.unlink(name)

    def _write_draft(self, draft: str, data: bytes) -> None:
        """Write the content durably under a name that nobody looks at."""
        descriptor = self._files.create(draft)
        try:
            self._files.write(descriptor, data)
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)

    def _place(self, placement: Placement) -> None:
        """Make the content visible in one step, or raise FileExistsError."""
        raise NotImplementedError

    def _is_complete(self, data: bytes) -> bool:
        """Whether a visible version is fully written, as far as one can tell."""
        return len(data) > 0

    def _walk_up(self) -> tuple[bytes | None, int] | None:
        """Find the newest version: list, then ask for the next by name.

        A network client may answer a listing from memory; a name that it does
        not know it has to ask for.
        """
        version = self._newest()
        if version == 0:
            return None
        data = self._files.read(name_of(version))
        while True:
            higher = self._files.read(name_of(version + 1))
            if higher is None:
                return data, version
            data, version = higher, version + 1

    def _newest(self) -> int:
        return max(map(version_of, self._files.names()), default=0)

    def _told(self, error: OSError) -> str:
        return f"{self._files.directory}: {error.strerror or error}"


def name_of(version: int) -> str:
    """The file that holds ``version``."""
    return f"{version:0{_DIGITS}}.st"


def version_of(name: str) -> int:
    """The version a file name stands for; 0 if it is no version's."""
    number, dot, suffix = name.partition(".")
    if dot and suffix == "st" and len(number) == _DIGITS and number.isdecimal():
        return int(number)
    return 0
