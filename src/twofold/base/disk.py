"""The few things storage code asks of a disk, as a port.

``RealDisk`` is the operating system; ``testing.disk.MemoryDisk`` loses what was
not synced, tears writes and fails on demand. Every call may raise OSError.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from twofold.base.errors import Failure

_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class DiskFailed(Failure):
    """The disk gave an error: what was being written may or may not be there.

    After a failed sync the kernel may have dropped the dirty pages, so that a
    second sync "succeeds" without the data: never retry, stop and restart.
    """

    retry = False


class DiskFile(Protocol):
    """An open file; positions are absolute, there is no cursor."""

    def write(self, at: int, data: bytes) -> None:
        """Write all of ``data``; not durable before ``sync``."""

    def write_through(self, at: int, data: bytes) -> None:
        """``write`` and ``sync`` in one call."""

    def sync(self) -> None:
        """Make content durable, and the size if reading needs it (fdatasync)."""

    def reserve(self, at: int, size: int) -> None:
        """Have room for bytes ``at`` to ``at + size``; unwritten ones read as 0."""

    def truncate(self, size: int) -> None:
        """Cut off, or extend by zeros."""

    def read(self) -> bytes:
        """The whole content."""

    def close(self) -> None:
        """Give the descriptor back; says nothing about durability."""


class Disk(Protocol):
    """A file system; names are paths."""

    def make_dir(self, path: Path) -> None:
        """Create a directory and its parents, durably; fine if it exists."""

    def create(self, path: Path) -> DiskFile:
        """A new empty file; one of that name is emptied."""

    def open(self, path: Path) -> DiskFile:
        """An existing file, for reading and writing."""

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target``; durable after ``sync_dir``."""

    def remove(self, path: Path) -> None:
        """Unlink; durable after ``sync_dir``."""

    def list(self, path: Path) -> list[str]:
        """Names in a directory, sorted."""

    def sync_dir(self, path: Path) -> None:
        """Make creations, renames and removals in a directory durable."""


class RealFile:
    """A file of the operating system."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, at: int, data: bytes) -> None:
        """Write all of ``data``; not durable before ``sync``."""
        self._write_rest(at, data, os.pwrite(self._descriptor, data, at))

    def write_through(self, at: int, data: bytes) -> None:
        """``write`` and ``sync`` in one system call.

        The thread gives the interpreter's lock up once and not twice, which
        matters while the loop's thread is busy.
        """
        done = os.pwritev(self._descriptor, [data], at, os.RWF_DSYNC)
        if done < len(data):
            self._write_rest(at, data, done)
            os.fdatasync(self._descriptor)

    def sync(self) -> None:
        """Make content durable (fdatasync)."""
        os.fdatasync(self._descriptor)

    def reserve(self, at: int, size: int) -> None:
        """Allocate blocks, so that syncs need not store a new size each time."""
        try:
            os.posix_fallocate(self._descriptor, at, size)
        except OSError as error:
            if error.errno not in _CANNOT_ALLOCATE:
                raise
            # Slower syncs and a late "disk full" there, but no less durable.
            if os.fstat(self._descriptor).st_size < at + size:
                os.ftruncate(self._descriptor, at + size)

    def truncate(self, size: int) -> None:
        """Cut off, or extend by zeros."""
        os.ftruncate(self._descriptor, size)

    def read(self) -> bytes:
        """The whole content."""
        size = os.fstat(self._descriptor).st_size
        parts: list[bytes] = []
        at = 0
        while at < size:
            part = os.pread(self._descriptor, min(size - at, 1 << 24), at)
            if not part:
                break
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_rest(self, at: int, data: bytes, done: int) -> None:
        while done < len(data):
            done += os.pwrite(self._descriptor, data[done:], at + done)


class RealDisk:
    """The operating system's file systems."""

    def make_dir(self, path: Path) -> None:
        """Create missing directories from the top, each made durable in its parent."""
        if path.is_dir():
            return
        self.make_dir(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        self.sync_dir(path.parent)

    def create(self, path: Path) -> DiskFile:
        """A new empty file, readable by the owner only."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return RealFile(os.open(path, flags, 0o600))

    def open(self, path: Path) -> DiskFile:
        """An existing file, for reading and writing."""
        return RealFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target``; durable after ``sync_dir``."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Unlink; durable after ``sync_dir``."""
        path.unlink()

    def list(self, path: Path) -> list[str]:
        """Names in a directory, sorted; empty if there is no such directory."""
        if not path.is_dir():
            return []
        return sorted(entry.name for entry in path.iterdir())

    def sync_dir(self, path: Path) -> None:
        """fsync the directory itself."""
        sync_directory(path)


def sync_directory(directory: Path) -> None:
    """Make names in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
