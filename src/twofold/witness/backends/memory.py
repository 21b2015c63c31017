"""A witness in memory, for tests and the simulator."""

from __future__ import annotations

import threading

from twofold.witness.port import Stored


class MemoryBackend:
    """Versions in a dict; safe to share between threads."""

    def __init__(self) -> None:
        self.versions: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def load(self) -> Stored | None:
        """Read the newest version."""
        with self._lock:
            if not self.versions:
                return None
            newest = max(self.versions)
            return Stored(self.versions[newest], newest)

    def publish(self, data: bytes, version: int) -> bool:
        """Create ``version`` unless it, or a higher one, is there."""
        with self._lock:
            newest = max(self.versions, default=0)
            if newest > version or (version > 1 and version - 1 not in self.versions):
                return False
            return self.versions.setdefault(version, data) == data

    def prune(self) -> None:
        """Keep the newest 32."""
        with self._lock:
            for version in sorted(self.versions)[:-32]:
                del self.versions[version]
