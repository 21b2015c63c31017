"""The few file operations that the file backends are made of.

Every one is a place where a fault can strike, so tests replace this class.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_READ_BYTES_MAX = 4096


class Files:
    """Names in one directory. Raises OSError, nothing else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """List the directory."""
        return [path.name for path in self.directory.iterdir()]

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is no such name."""
        try:
            descriptor = os.open(self.directory / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return os.read(descriptor, _READ_BYTES_MAX)
        finally:
            os.close(descriptor)

    def create(self, name: str) -> int:
        """Create a file that must not exist; the caller closes it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(self.directory / name, flags, 0o644)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of ``data`` in one call, or fail."""
        written = os.write(descriptor, data)
        if written != len(data):
            raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes written")

    def sync(self, descriptor: int) -> None:
        """Make a file's content durable."""
        os.fsync(descriptor)

    def sync_name(self, name: str) -> None:
        """Make the content of a file that somebody else opened durable."""
        # For writing: some file systems sync nothing on a read-only handle.
        descriptor = os.open(self.directory / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Close; some network file systems report write errors only here."""
        os.close(descriptor)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name that must not exist."""
        (self.directory / target).hardlink_to(self.directory / source)

    def rename_exclusive(self, source: str, target: str) -> None:
        """Rename to a name that must not exist, in one step."""
        libc = ctypes.CDLL(None, use_errno=True)
        renamed = libc.renameat2(
            _AT_FDCWD,
            os.fsencode(self.directory / source),
            _AT_FDCWD,
            os.fsencode(self.directory / target),
            _RENAME_NOREPLACE,
        )
        if renamed != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), target)

    def unlink(self, name: str) -> None:
        """Remove a name; one that is gone already is fine."""
        (self.directory / name).unlink(missing_ok=True)

    def sync_directory(self) -> None:
        """Make the names durable."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some file systems cannot sync a directory and need not.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)
