"""Which commands have been applied: each (origin, sequence) counts once."""

from __future__ import annotations

import struct

ORIGINS_MAX = 16

_COUNT = struct.Struct("<I")
_ORIGIN = struct.Struct("<QQI")
_SEQUENCE = struct.Struct("<Q")
_PRUNE_SIZE = 4_096


class _Seen:
    __slots__ = ("applied", "floor")

    def __init__(self, floor: int, applied: set[int]) -> None:
        self.floor = floor
        self.applied = applied


class Dedupe:
    """Applied commands of the origins heard of last, oldest origin first.

    Everything below an origin's floor is answered at its member, so nothing of
    it can be proposed again.
    """

    def __init__(self, data: bytes | None = None) -> None:
        self._origins: dict[int, _Seen] = {}
        if data is not None:
            self._load(data)

    def begin(self, floors: tuple[tuple[int, int], ...]) -> None:
        """A batch starts: note its floors; origins are by age of last batch."""
        for origin, floor in floors:
            seen = self._origins.pop(origin, None) or _Seen(0, set())
            self._origins[origin] = seen
            if floor > seen.floor:
                seen.floor = floor
                if len(seen.applied) > _PRUNE_SIZE:
                    self._prune(seen)
        self._forget()

    def first_time(self, origin: int, sequence: int) -> bool:
        """Whether the command is to be applied; notes that it was."""
        seen = self._origins.get(origin)
        if seen is None:
            seen = self._origins[origin] = _Seen(0, set())
            self._forget()
        if sequence < seen.floor or sequence in seen.applied:
            return False
        seen.applied.add(sequence)
        return True

    def _forget(self) -> None:
        while len(self._origins) > ORIGINS_MAX:
            del self._origins[next(iter(self._origins))]

    @staticmethod
    def _prune(seen: _Seen) -> None:
        floor = seen.floor
        seen.applied = {number for number in seen.applied if number >= floor}

    # ---- at rest; layout in docs/formats/backend.md

    def pack(self) -> bytes:
        """Encode; equal histories give equal bytes."""
        parts = [_COUNT.pack(len(self._origins))]
        for origin, seen in self._origins.items():
            self._prune(seen)
            parts.append(_ORIGIN.pack(origin, seen.floor, len(seen.applied)))
            parts += [_SEQUENCE.pack(number) for number in sorted(seen.applied)]
        return b"".join(parts)

    def _load(self, data: bytes) -> None:
        (count,) = _COUNT.unpack_from(data)
        at = _COUNT.size
        for _ in range(count):
            origin, floor, size = _ORIGIN.unpack_from(data, at)
            at += _ORIGIN.size
            numbers = struct.unpack_from(f"<{size}Q", data, at)
            at += size * _SEQUENCE.size
            self._origins[origin] = _Seen(floor, set(numbers))
