"""How long each lease has left: kept by the leader alone, in its own time.

Which leases exist is in the state machine; when they end is not, since the
members' clocks differ. A new leader gives every lease its full time again.
"""

from __future__ import annotations

from collections.abc import Iterable


class LeaseClock:
    """Deadlines of the leases while this member leads.

    Shape: times are monotonic ms. A lease that has run out stays in the table,
    renewals refused, until its revocation has been applied.
    """

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self._ttl_s: dict[int, int] = {}
        self._deadline_ms: dict[int, int] = {}
        self._revoking: set[int] = set()
        self.leading = False

    def lead(self, leases: Iterable[tuple[int, int]], now_ms: int) -> None:
        """Begin to count: full time and a grace for every (id, ttl_s)."""
        self.resign()
        self.leading = True
        for lease_id, ttl_s in leases:
            self.granted(lease_id, ttl_s, now_ms + self._grace_ms)

    def resign(self) -> None:
        """Another member counts from now on."""
        self.leading = False
        self._ttl_s.clear()
        self._deadline_ms.clear()
        self._revoking.clear()

    def granted(self, lease_id: int, ttl_s: int, now_ms: int) -> None:
        """A grant was applied."""
        if self.leading:
            self._ttl_s[lease_id] = ttl_s
            self._deadline_ms[lease_id] = now_ms + ttl_s * 1000

    def revoked(self, lease_id: int) -> None:
        """A revocation was applied."""
        self._ttl_s.pop(lease_id, None)
        self._deadline_ms.pop(lease_id, None)
        self._revoking.discard(lease_id)

    def renew(self, lease_id: int, now_ms: int) -> int:
        """Start a lease's time anew; gives its TTL in s, 0 if it is gone."""
        ttl_s = self._ttl_s.get(lease_id)
        if ttl_s is None or lease_id in self._revoking:
            return 0
        if self._deadline_ms[lease_id] <= now_ms:
            return 0
        self._deadline_ms[lease_id] = now_ms + ttl_s * 1000
        return ttl_s

    def remaining_s(self, lease_id: int, now_ms: int) -> int:
        """Whole seconds left, -1 if there is no such lease."""
        deadline_ms = self._deadline_ms.get(lease_id)
        if deadline_ms is None:
            return -1
        return max(0, (deadline_ms - now_ms) // 1000)

    def take_expired(self, now_ms: int, limit: int) -> list[int]:
        """Leases to revoke now, oldest deadline first; each is given once."""
        if not self.leading:
            return []
        expired = sorted(
            (deadline_ms, lease_id)
            for lease_id, deadline_ms in self._deadline_ms.items()
            if deadline_ms <= now_ms and lease_id not in self._revoking
        )[:limit]
        ids = [lease_id for _, lease_id in expired]
        self._revoking.update(ids)
        return ids

    def revoke_failed(self, lease_id: int) -> None:
        """The revocation got no answer: try it again."""
        self._revoking.discard(lease_id)
