"""Stored values that were read or written lately, up to so many bytes.

A revision's bytes never change, so all that can become stale is what is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

_OVERHEAD_BYTES = 150


class ValueCache:
    """First in, first out."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._values: dict[bytes, bytes] = {}
        self._bytes = 0
        self.get = self._values.get

    def get_many(self, rev_keys: Sequence[bytes]) -> list[bytes | None]:
        """What is known of each."""
        return list(map(self.get, rev_keys))

    def remember(self, values: Mapping[bytes, bytes]) -> None:
        """Add values; a lot that would sweep everything else out is left out."""
        size = sum(map(len, values.values())) + _OVERHEAD_BYTES * len(values)
        if size > self._bytes_max // 2:
            return
        known = self._values
        self.forget(values.keys() & known.keys())
        known.update(values)
        self._bytes += size
        while self._bytes > self._bytes_max:
            oldest = next(iter(known))
            self._bytes -= len(known.pop(oldest)) + _OVERHEAD_BYTES

    def forget(self, rev_keys: Iterable[bytes]) -> None:
        """Values that are no longer stored, or stored anew."""
        for rev_key in rev_keys:
            value = self._values.pop(rev_key, None)
            if value is not None:
                self._bytes -= len(value) + _OVERHEAD_BYTES
