"""A witness on a mount with hard links: NFS, SMB, POSIX disks."""

from __future__ import annotations

from twofold.witness.backends.numbered import NumberedFiles, Placement


class ShareBackend(NumberedFiles):
    """The mount owes us one atomic step, link, and no lock.

    The content is complete and durable before the link makes it visible.
    Source: extended Raft paper, "Witness Implementation".
    """

    def _place(self, placement: Placement) -> None:
        self._files.link(placement.draft, placement.target)
