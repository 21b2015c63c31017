"""Which backend fits a directory: ask the kernel, then try."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twofold.witness.backends.exclusive import CreateBackend, RenameBackend
from twofold.witness.backends.files import Files
from twofold.witness.backends.numbered import NumberedFiles
from twofold.witness.backends.share import ShareBackend
from twofold.witness.errors import WitnessUnreachable

# Rename without replace is a promise only of the kernel that has the disk.
_ONE_KERNEL = frozenset(
    {"btrfs", "ext2", "ext3", "ext4", "overlay", "tmpfs", "xfs"}
    | {"exfat", "fuseblk", "msdos", "ntfs", "ntfs3", "vfat"}
)
_CANNOT = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
)


class Mount(NamedTuple):
    """What a directory is on."""

    point: str
    kind: str
    source: str
    read_only: bool


def open_directory(
    directory: Path,
    *,
    read_only: bool = False,
    files: Files | None = None,
    kind: str = "",
) -> NumberedFiles:
    """Choose the backend for a directory: link, else rename, else create.

    Cost: three small files come and go. ``read_only`` tries nothing; then only
    ``load`` may be called. ``files`` and ``kind``, the file system's name, are
    found out unless a test knows better.

    Raises:
        WitnessUnreachable: no such directory, or it cannot be written.
    """
    files = files or Files(directory)
    try:
        with files:
            if read_only or _is_exclusive(files, files.link):
                return ShareBackend(files)
            one_kernel = (kind or mount_of(directory).kind) in _ONE_KERNEL
            if one_kernel and _is_exclusive(files, files.rename_exclusive):
                return RenameBackend(files)
    except FileNotFoundError as error:
        raise WitnessUnreachable(f"{directory} is not there (not mounted?)") from error
    except OSError as error:
        raise WitnessUnreachable(f"{directory}: {error.strerror or error}") from error
    return CreateBackend(files)


def _is_exclusive(files: Files, place: Callable[[str, str], None]) -> bool:
    """Whether ``place`` works once and the second time says "exists"."""
    mark = f"probe.{os.urandom(8).hex()}"
    names = [f"{mark}.a", f"{mark}.b", f"{mark}.target"]
    try:
        for name in names[:2]:
            files.close(files.create(name))
        place(names[0], names[2])
        try:
            place(names[1], names[2])
        except FileExistsError:
            return True
        return False
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    finally:
        for name in names:
            with suppress(OSError):
                files.unlink(name)


def mount_of(directory: Path) -> Mount:
    """Find the mount a directory is on; kind "unknown" if the kernel hides it."""
    best = Mount("", "unknown", "", read_only=False)
    try:
        path = str(directory.resolve())
        lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    except OSError:
        return best
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, device = left.split(), right.split()
        point = fields[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # The last one mounted on a point hides those before it.
        if inside and len(point) >= len(best.point):
            read_only = "ro" in fields[5].split(",")
            best = Mount(point, device[0], device[1], read_only)
    return best
