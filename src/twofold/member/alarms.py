"""The space quota: when to raise NOSPACE, and when to lower it again.

etcd measures the file and leaves the alarm up until somebody lowers it. Here
the space in use counts, since freed pages are used again, and the alarm goes
by itself once there is room (docs/divergence.md).
"""

from __future__ import annotations

NOSPACE = 1
QUOTA_DEFAULT_BYTES = 2 << 30
_ROOM = 0.95


class Quota:
    """One member's view of its space; negative limit = no quota."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes or QUOTA_DEFAULT_BYTES

    def exceeded(self, in_use_bytes: int, cost_bytes: int) -> bool:
        """Whether a write of this cost would pass the limit."""
        if self.limit_bytes < 0 or cost_bytes <= 0:
            return False
        return in_use_bytes + cost_bytes >= self.limit_bytes

    def has_room(self, in_use_bytes: int) -> bool:
        """Whether enough has come free to lower the alarm without flapping."""
        if self.limit_bytes < 0:
            return True
        return in_use_bytes < self.limit_bytes * _ROOM
