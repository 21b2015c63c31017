"""Reading segments back: from bytes to a Restart, or a clear refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from twofold.base.errors import InvariantError
from twofold.base.ids import Index
from twofold.raft.types import Entry, HardState, Restart
from twofold.store.wal import frames, records
from twofold.store.wal.errors import WalCorrupt
from twofold.store.wal.frames import Tail
from twofold.store.wal.records import Entries, Header, Mark, WalMeta, WalState


@dataclass(slots=True)
class SegmentEnd:
    """A segment: frames from ``begin`` to ``end``, in ``size`` bytes of file."""

    path: Path
    number: int
    begin: int
    end: int
    size: int
    tail: Tail
    max_index: Index


@dataclass(slots=True)
class Replay:
    """Collects segments in order; ``feed`` each, then ask ``restart``."""

    header: Header | None = None
    seed: int = 0
    sequence: int = 0
    state: WalState = field(default_factory=WalState)
    entries: list[Entry] = field(default_factory=list)

    def feed(self, path: Path, number: int, content: bytes, last: bool) -> SegmentEnd:
        """Read one segment; only the ``last`` one may end in a torn frame.

        Raises:
            WalCorrupt: something durable is missing or changed.
        """
        begin = at = self._read_header(path, number, content)
        max_index = Index(0)
        while (frame := frames.read(content, at, self.seed)) is not None:
            if frame.sequence != self.sequence:
                raise WalCorrupt(
                    path,
                    at,
                    f"frame {frame.sequence} where {self.sequence} must follow",
                )
            max_index = max(max_index, self._take(path, at, frame.body))
            self.sequence += 1
            at = frame.end
        tail = frames.judge_tail(content, at, self.sequence, self.seed)
        if tail is Tail.DAMAGED:
            raise WalCorrupt(path, at, f"frame {self.sequence} fails its checksum")
        if tail is Tail.TORN and not last:
            raise WalCorrupt(path, at, "unfinished, and yet a later segment exists")
        return SegmentEnd(path, number, begin, at, len(content), tail, max_index)

    @property
    def meta(self) -> WalMeta:
        """Whose log it is; known once a segment has been fed."""
        if self.header is None:
            raise InvariantError("no segment has been read")
        return self.header.meta

    def restart(self, path: Path) -> Restart:
        """What the whole log says.

        Raises:
            WalCorrupt: entries between the mark and the first one held are gone.
        """
        state = self.state
        first = self.entries[0].index if self.entries else Index(state.last_index + 1)
        if first > state.mark_index + 1:
            raise WalCorrupt(
                path, 0, f"entries {state.mark_index + 1} to {first - 1} are missing"
            )
        return Restart(
            hard_state=state.hard_state,
            snapshot_index=state.mark_index,
            snapshot=state.mark,
            applied=state.mark_index,
            entries=tuple(self.entries),
        )

    def _read_header(self, path: Path, number: int, content: bytes) -> int:
        frame = frames.read(content, 0, 0)
        if frame is None:
            raise WalCorrupt(path, 0, "the segment's header fails its checksum")
        try:
            (header,) = records.decode(frame.body)
        except records.RecordInvalid as error:
            raise WalCorrupt(path, 0, str(error)) from error
        if not isinstance(header, Header) or header.segment != number:
            raise WalCorrupt(path, 0, "the header is not that of this segment")
        if self.header is None:
            self.header = header
            self.seed = header.meta.seed()
            self.sequence = frame.sequence
            self.state = header.state
        elif header.meta != self.header.meta:
            raise WalCorrupt(path, 0, "the segment belongs to another member")
        elif header.segment != self.header.segment + 1:
            raise WalCorrupt(path, 0, f"segment {header.segment - 1} is missing")
        elif frame.sequence != self.sequence or header.state != self.state:
            raise WalCorrupt(path, 0, "the end of the segment before is missing")
        self.header = header
        self.sequence += 1
        return frame.end

    def _take(self, path: Path, at: int, body: bytes) -> Index:
        """Apply a frame; gives the highest index among its entries."""
        highest = Index(0)
        try:
            for record in records.decode(body):
                match record:
                    case Entries():
                        self._replace(path, at, record.entries)
                        highest = max(highest, record.entries[-1].index)
                    case HardState():
                        self.state = self.state._replace(hard_state=record)
                    case Mark():
                        self._mark(record)
                    case Header():
                        raise WalCorrupt(path, at, "a header inside a segment")
        except records.RecordInvalid as error:
            raise WalCorrupt(path, at, str(error)) from error
        return highest

    def _replace(self, path: Path, at: int, entries: list[Entry]) -> None:
        first = entries[0].index
        if not self.state.mark_index < first <= self.state.last_index + 1:
            raise WalCorrupt(
                path, at, f"entry {first} after entry {self.state.last_index}"
            )
        if self.entries:
            keep = max(0, first - self.entries[0].index)
            del self.entries[keep:]
        self.entries += entries
        self.state = self.state._replace(last_index=entries[-1].index)

    def _mark(self, mark: Mark) -> None:
        self.state = marked(self.state, mark)
        if self.state.last_index == mark.index:
            self.entries.clear()
        elif self.entries:
            drop = mark.index + 1 - self.entries[0].index
            del self.entries[: max(0, drop)]


def marked(state: WalState, mark: Mark) -> WalState:
    """The state after ``mark``: entries behind it stay unless it resets."""
    last_index = mark.index
    if not mark.reset:
        last_index = max(last_index, state.last_index)
    return state._replace(
        mark_index=mark.index, mark=mark.position, last_index=last_index
    )
