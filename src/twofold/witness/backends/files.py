"""The few file operations that the file backends are made of.

Every one is a place where a fault can strike, so tests replace this class.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_RENAME_NOREPLACE = 1
_READ_BYTES_MAX = 4096


class Files:
    """Names in one directory, used as ``with files:``. Raises only OSError.

    Between enter and exit everything goes through one handle, hence to one
    medium, even if the mount goes away and uncovers a local directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._at = -1

    def __enter__(self) -> Files:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._at = os.open(self.directory, flags)
        return self

    def __exit__(self, *_: object) -> None:
        handle, self._at = self._at, -1
        os.close(handle)

    def names(self) -> list[str]:
        """List the directory."""
        return os.listdir(self._at)  # noqa: PTH208 (pathlib knows no handles)

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is no such name."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._at)
        except FileNotFoundError:
            return None
        try:
            return os.read(descriptor, _READ_BYTES_MAX)
        finally:
            os.close(descriptor)

    def create(self, name: str) -> int:
        """Create a file that must not exist; the caller closes it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(name, flags, 0o644, dir_fd=self._at)

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
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._at)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Close; some network file systems report write errors only here."""
        os.close(descriptor)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name that must not exist."""
        at = self._at
        os.link(source, target, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)

    def rename_exclusive(self, source: str, target: str) -> None:
        """Rename to a name that must not exist, in one step."""
        libc = ctypes.CDLL(None, use_errno=True)
        renamed = libc.renameat2(
            self._at,
            os.fsencode(source),
            self._at,
            os.fsencode(target),
            _RENAME_NOREPLACE,
        )
        if renamed != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), target)

    def unlink(self, name: str) -> None:
        """Remove a name; one that is gone already is fine."""
        try:
            os.unlink(name, dir_fd=self._at)
        except FileNotFoundError:
            return

    def sync_directory(self) -> None:
        """Make the names durable."""
        try:
            os.fsync(self._at)
        except OSError as error:
            # Some file systems cannot sync a directory and need not.
            if error.errno != errno.EINVAL:
                raise
