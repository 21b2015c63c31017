"""A disk in memory that forgets, tears and fails like a real one."""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from twofold.base.disk import DiskFile

_SECTOR = 512


@dataclass(slots=True)
class _Change:
    """A write, or with ``data`` None a new size, that no sync has covered yet."""

    at: int
    data: bytes | None


@dataclass(slots=True)
class _Inode:
    current: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)

    def change(self, change: _Change) -> None:
        _apply(self.current, change)
        self.pending.append(change)

    def settle(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def crash(self, chance: random.Random | None) -> None:
        """Keep what was synced and, by chance, any sectors of what was not."""
        if chance is not None:
            for change in self.pending:
                for part in _sectors(change):
                    if chance.random() < 0.5:
                        _apply(self.durable, part)
        self.pending.clear()
        self.current = bytearray(self.durable)


@dataclass(slots=True)
class _Naming:
    """A change of names that no sync_dir has covered yet; ``inode`` None removes."""

    name: Path
    inode: _Inode | None
    source: Path | None = None


class MemoryDisk:
    """``Disk`` in memory.

    ``operations`` counts calls that change or sync something. Set ``fail_at`` to
    a number of them: from that call on each raises OSError(``fail_errno``), with
    the first one done by half: a write stays unsynced, a sync does not happen.
    """

    def __init__(self) -> None:
        self.operations = 0
        self.fail_at: int | None = None
        self.fail_errno = errno.EIO
        self._generation = 0
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._pending_names: list[_Naming] = []
        self._directories: set[Path] = set()

    def crash(self, chance: random.Random | None = None) -> None:
        """Power loss: without ``chance`` everything unsynced is gone.

        With it, each unsynced sector survives or not, and so does a prefix of
        the unsynced name changes. Open files become useless; faults end.
        """
        self._generation += 1
        self.fail_at = None
        if chance is not None:
            kept = chance.randint(0, len(self._pending_names))
            for naming in self._pending_names[:kept]:
                _rename(self._durable_names, naming)
        self._pending_names.clear()
        self._names = dict(self._durable_names)
        for inode in {id(inode): inode for inode in self._names.values()}.values():
            inode.crash(chance)

    def damage(self, path: Path, at: int, flip: int = 0xFF) -> None:
        """Change a durable byte behind everybody's back."""
        inode = self._inode(path)
        inode.durable[at] ^= flip
        inode.current[at] ^= flip

    def content(self, path: Path) -> bytes:
        """What a reader sees now."""
        return bytes(self._inode(path).current)

    def make_dir(self, path: Path) -> None:
        """Durable at once."""
        self._count()
        self._directories.update((path, *path.parents))

    def create(self, path: Path) -> DiskFile:
        """A new empty file."""
        self._count()
        if path.parent not in self._directories:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        inode = _Inode()
        self._name(_Naming(path, inode))
        return MemoryFile(self, inode, self._generation)

    def open(self, path: Path) -> DiskFile:
        """An existing file."""
        return MemoryFile(self, self._inode(path), self._generation)

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target``; durable after ``sync_dir``."""
        self._count()
        self._name(_Naming(target, self._inode(source), source))

    def remove(self, path: Path) -> None:
        """Unlink; durable after ``sync_dir``."""
        self._count()
        self._inode(path)
        self._name(_Naming(path, None))

    def list(self, path: Path) -> list[str]:
        """Names in a directory, sorted."""
        return sorted(name.name for name in self._names if name.parent == path)

    def sync_dir(self, path: Path) -> None:
        """Make name changes in ``path`` durable."""
        self._count()
        later = []
        for naming in self._pending_names:
            if naming.name.parent == path:
                _rename(self._durable_names, naming)
            else:
                later.append(naming)
        self._pending_names = later

    def _name(self, naming: _Naming) -> None:
        _rename(self._names, naming)
        self._pending_names.append(naming)

    def _inode(self, path: Path) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return inode

    def _count(self) -> None:
        self.operations += 1
        if self.fail_at is not None and self.operations >= self.fail_at:
            raise OSError(self.fail_errno, os.strerror(self.fail_errno))

    def _use(self, generation: int) -> None:
        if generation != self._generation:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class MemoryFile:
    """An open file of a MemoryDisk."""

    def __init__(self, disk: MemoryDisk, inode: _Inode, generation: int) -> None:
        self._disk = disk
        self._inode = inode
        self._generation = generation

    def write(self, at: int, data: bytes) -> None:
        """Seen by readers at once, durable after ``sync``."""
        self._disk._use(self._generation)
        # Before counting: of a call that fails, any part may have been done.
        self._inode.change(_Change(at, data))
        self._disk._count()

    def write_through(self, at: int, data: bytes) -> None:
        """Write, then sync."""
        self.write(at, data)
        self.sync()

    def sync(self) -> None:
        """Everything written to the file becomes durable."""
        self._disk._use(self._generation)
        self._disk._count()
        self._inode.settle()

    def reserve(self, at: int, size: int) -> None:
        """Extend by zeros."""
        self._disk._use(self._generation)
        self._disk._count()
        if at + size > len(self._inode.current):
            self._inode.change(_Change(at + size, None))

    def truncate(self, size: int) -> None:
        """Cut off, or extend by zeros."""
        self._disk._use(self._generation)
        self._disk._count()
        self._inode.change(_Change(size, None))

    def read(self) -> bytes:
        """The whole content."""
        self._disk._use(self._generation)
        return bytes(self._inode.current)

    def close(self) -> None:
        """Nothing: closing makes nothing durable."""


def _apply(content: bytearray, change: _Change) -> None:
    if change.data is None:
        del content[change.at :]
        content.extend(bytes(change.at - len(content)))
        return
    end = change.at + len(change.data)
    if end > len(content):
        content.extend(bytes(end - len(content)))
    content[change.at : end] = change.data


def _sectors(change: _Change) -> list[_Change]:
    """The parts of a change that a crash can keep or lose each for itself."""
    if change.data is None:
        return [change]
    parts = []
    at, end = change.at, change.at + len(change.data)
    while at < end:
        stop = min(end, at - at % _SECTOR + _SECTOR)
        parts.append(_Change(at, change.data[at - change.at : stop - change.at]))
        at = stop
    return parts


def _rename(names: dict[Path, _Inode], naming: _Naming) -> None:
    if naming.source is not None:
        names.pop(naming.source, None)
    if naming.inode is None:
        names.pop(naming.name, None)
    else:
        names[naming.name] = naming.inode
