"""Witnesses on file systems without hard links (FAT, exFAT)."""

from __future__ import annotations

from twofold.witness.backends.numbered import NumberedFiles, Placement
from twofold.witness.record import RECORD_BYTES


class RenameBackend(NumberedFiles):
    """Rename that must not replace; only where one kernel has the disk.

    On a network mount the kernel may check "must not exist" by itself and then
    replace on the server, so that two machines both win.
    """

    def _place(self, placement: Placement) -> None:
        self._files.rename_exclusive(placement.draft, placement.target)


class CreateBackend(NumberedFiles):
    """Exclusive creation, then the content: the last resort.

    A writer that dies in between leaves a version that nobody can judge: its
    creator may yet complete it, or have completed it and be believed. So
    nobody goes past it; an operator removes the file with both members down.
    """

    def _write_draft(self, draft: str, data: bytes) -> None:
        """Nothing: a draft would not make the creation any safer."""

    def _place(self, placement: Placement) -> None:
        descriptor = self._files.create(placement.target)
        try:
            try:
                self._files.write(descriptor, placement.data)
            except OSError:
                # Never complete, so never believed: it may go, and must, or
                # a full disk would block the witness for good.
                self._files.unlink(placement.target)
                raise
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)

    def _is_complete(self, data: bytes) -> bool:
        return len(data) >= RECORD_BYTES
