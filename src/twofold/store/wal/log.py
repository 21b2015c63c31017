"""The log itself: a directory of segments, appended to by one thread at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twofold.base.disk import Disk, DiskFailed, DiskFile, RealDisk
from twofold.base.errors import InvariantError
from twofold.base.ids import Index
from twofold.base.invariant import check
from twofold.raft.types import Entry, HardState, Position, Restart
from twofold.store.wal import frames, records
from twofold.store.wal.errors import WalExists, WalMissing, WalStopped
from twofold.store.wal.frames import Tail
from twofold.store.wal.records import Header, Mark, WalMeta, WalState
from twofold.store.wal.replay import Replay, SegmentEnd, marked

SEGMENT_BYTES = 16 << 20
RESERVE_BYTES = 1 << 20
_SUFFIX = ".wal"
_TEMPORARY = ".tmp"


def encode(entries: Sequence[Entry], hard_state: HardState | None) -> bytes:
    """Records for ``Wal.add``; a pure function, callable from any thread."""
    parts = []
    if entries:
        parts.append(records.encode_entries(entries))
    if hard_state is not None:
        parts.append(records.encode_hard_state(hard_state))
    return b"".join(parts)


class Wal:
    """An open log. Not thread-safe: one thread appends, syncs and releases.

    After any disk error it takes nothing more: what a failed sync left behind is
    known only after reading the disk anew.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        meta: WalMeta,
        state: WalState,
        segment_bytes: int,
        reserve_bytes: int,
    ) -> None:
        """For ``create`` and ``open`` only."""
        self.meta = meta
        self._directory = directory
        self._disk = disk
        self._seed = meta.seed()
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._durable = state
        self._pending = state
        self._parts: list[bytes] = []
        self._buffered = 0
        self._pending_max = Index(0)
        self._sequence = 0
        self._closed: list[SegmentEnd] = []
        self._current = SegmentEnd(directory, 0, 0, 0, 0, Tail.CLEAN, Index(0))
        self._file: DiskFile | None = None
        self._broken = False

    @classmethod
    def create(
        cls,
        directory: Path,
        meta: WalMeta,
        *,
        disk: Disk | None = None,
        state: WalState | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Wal:
        """A new log, durable on return; ``state`` when it starts from a snapshot.

        Raises:
            WalExists: the directory holds a log.
            DiskFailed: the log may exist half; ``create`` may be called again.
        """
        disk = RealDisk() if disk is None else disk
        state = state or WalState()
        state = state._replace(last_index=max(state.last_index, state.mark_index))
        wal = cls(directory, disk, meta, state, segment_bytes, reserve_bytes)
        try:
            disk.make_dir(directory)
            if _segments(disk, directory):
                raise WalExists(f"{directory} holds a log already")
            wal._begin_segment(1)
        except OSError as error:
            raise DiskFailed(f"cannot create the log {directory}: {error}") from error
        return wal

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> tuple[Wal, Restart]:
        """Read a log back and cut a torn tail off; ready to append.

        ``Restart.applied`` is the mark: the caller raises it to where its state
        machine stands.

        Raises:
            WalMissing: no log here.
            WalCorrupt: durable bytes are missing or changed.
            DiskFailed: reading or cutting failed.
        """
        disk = RealDisk() if disk is None else disk
        try:
            return cls._open(directory, disk, segment_bytes, reserve_bytes)
        except OSError as error:
            raise DiskFailed(f"cannot open the log {directory}: {error}") from error

    @classmethod
    def _open(
        cls, directory: Path, disk: Disk, segment_bytes: int, reserve_bytes: int
    ) -> tuple[Wal, Restart]:
        numbers = _segments(disk, directory)
        if not numbers:
            raise WalMissing(f"{directory} holds no log")
        replay = Replay()
        ends = []
        for number in numbers:
            path = _path(directory, number)
            file = disk.open(path)
            try:
                content = file.read()
            finally:
                file.close()
            last = number == numbers[-1]
            ends.append(replay.feed(path, number, content, last))
        restart = replay.restart(ends[0].path)
        wal = cls(
            directory, disk, replay.meta, replay.state, segment_bytes, reserve_bytes
        )
        wal._go_on(ends, replay.sequence)
        return wal, restart

    @property
    def last_index(self) -> Index:
        """Index of the last entry appended, synced or not."""
        return self._pending.last_index

    @property
    def mark_index(self) -> Index:
        """Where the newest durable mark stands."""
        return self._durable.mark_index

    @property
    def buffered_bytes(self) -> int:
        """What the next ``sync`` will write."""
        return self._buffered

    def append(self, entries: Sequence[Entry], hard_state: HardState | None) -> int:
        """Buffer entries and hard state; gives the bytes now waiting for ``sync``.

        Entries replace the log from the first one's index on.
        """
        return self.add(entries, hard_state, encode(entries, hard_state))

    def add(
        self, entries: Sequence[Entry], hard_state: HardState | None, encoded: bytes
    ) -> int:
        """``append`` of what ``encode`` has made of the same arguments."""
        self._check_usable()
        state = self._pending
        if entries:
            first = entries[0].index
            check(
                state.mark_index < first <= state.last_index + 1,
                "the log has no gap and keeps what a checkpoint holds",
                first=first,
                last=state.last_index,
                mark=state.mark_index,
            )
            check(
                entries[-1].index - first == len(entries) - 1,
                "indexes rise by one",
                first=first,
                last=entries[-1].index,
                count=len(entries),
            )
            state = state._replace(last_index=entries[-1].index)
            self._pending_max = max(self._pending_max, entries[-1].index)
        if hard_state is not None:
            state = state._replace(hard_state=hard_state)
        self._pending = state
        return self._buffer(encoded)

    def mark(self, index: Index, position: Position, *, reset: bool = False) -> int:
        """Buffer the note that a durable checkpoint holds everything up to ``index``.

        Entries behind it stay; with ``reset`` the log is empty afterwards, as
        after the leader's snapshot has been installed.
        """
        self._check_usable()
        mark = Mark(index, position, reset)
        check(
            index >= self._pending.mark_index,
            "a checkpoint never goes back",
            index=index,
            mark=self._pending.mark_index,
        )
        self._pending = marked(self._pending, mark)
        return self._buffer(records.encode_mark(mark))

    def sync(self) -> None:
        """Write what is buffered as one frame and wait until it is durable.

        Cost: one write-through; at a segment's end also a new file.

        Raises:
            DiskFailed: the log is stopped; nothing of the buffer is acknowledged.
        """
        self._check_usable()
        if not self._parts:
            return
        body = b"".join(self._parts)
        try:
            self._make_room(frames.HEAD_SIZE + len(body) + 8)
            frame = frames.seal(body, self._sequence, self._seed)
            self._open_file().write_through(self._current.end, frame)
        except OSError as error:
            self._broken = True
            raise DiskFailed(f"writing {self._current.path}: {error}") from error
        self._parts.clear()
        self._buffered = 0
        self._sequence += 1
        self._current.end += len(frame)
        self._current.max_index = max(self._current.max_index, self._pending_max)
        self._pending_max = Index(0)
        self._durable = self._pending

    def release(self, index: Index) -> int:
        """Delete old segments that hold nothing behind ``index``; gives how many.

        Never deletes what the newest durable mark does not cover.
        """
        self._check_usable()
        limit = min(index, self._durable.mark_index)
        count = 0
        try:
            while self._closed and self._closed[0].max_index <= limit:
                self._disk.remove(self._closed[0].path)
                # One by one and in order: a hole in the sequence is damage.
                self._disk.sync_dir(self._directory)
                del self._closed[0]
                count += 1
        except OSError as error:
            self._broken = True
            raise DiskFailed(f"releasing {self._directory}: {error}") from error
        return count

    def close(self) -> None:
        """Close the file; what is buffered and not synced is dropped."""
        self._broken = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def _buffer(self, encoded: bytes) -> int:
        if encoded:
            self._parts.append(encoded)
            self._buffered += len(encoded)
        return self._buffered

    def _check_usable(self) -> None:
        if self._broken:
            raise WalStopped(f"the log {self._directory} is closed or has failed")

    def _open_file(self) -> DiskFile:
        if self._file is None:
            raise InvariantError("the log has no current segment")
        return self._file

    def _make_room(self, size: int) -> None:
        current = self._current
        if current.end > current.begin and current.end + size > self._segment_bytes:
            self._begin_segment(current.number + 1)
            current = self._current
        needed = current.end + size - current.size
        if needed > 0:
            # Whole steps: the size changes once a step and not with each sync.
            step = self._reserve_bytes
            grow = (needed + step - 1) // step * step
            self._open_file().reserve(current.size, grow)
            current.size += grow

    def _begin_segment(self, number: int) -> None:
        """Make a segment appear with its header in place, or not at all."""
        header = Header(number, self.meta, self._durable)
        frame = frames.seal(records.encode_header(header), self._sequence, 0)
        path = _path(self._directory, number)
        temporary = path.with_suffix(_TEMPORARY)
        file = self._disk.create(temporary)
        file.reserve(0, self._reserve_bytes)
        file.write(0, frame)
        file.sync()
        self._disk.rename(temporary, path)
        self._disk.sync_dir(self._directory)
        if self._file is not None:
            self._file.close()
            self._closed.append(self._current)
        self._file = file
        self._sequence += 1
        size = max(self._reserve_bytes, len(frame))
        self._current = SegmentEnd(
            path, number, len(frame), len(frame), size, Tail.CLEAN, Index(0)
        )

    def _go_on(self, ends: list[SegmentEnd], sequence: int) -> None:
        """Continue at the end of the last segment."""
        *self._closed, self._current = ends
        self._sequence = sequence
        for name in self._disk.list(self._directory):
            if name.endswith(_TEMPORARY):
                self._disk.remove(self._directory / name)
        self._file = self._disk.open(self._current.path)
        if self._current.tail is Tail.TORN:
            # Gone before anything is written: bytes of it must never be taken
            # for the rest of a later frame.
            self._file.truncate(self._current.end)
            self._file.sync()
            self._current.size = self._current.end
            self._current.tail = Tail.CLEAN


def _segments(disk: Disk, directory: Path) -> list[int]:
    names = disk.list(directory)
    return [int(name[: -len(_SUFFIX)], 16) for name in names if name.endswith(_SUFFIX)]


def _path(directory: Path, number: int) -> Path:
    return directory / f"{number:016x}{_SUFFIX}"
