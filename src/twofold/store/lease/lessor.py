"""The table of leases, the same on both members."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from twofold.proto.rpc_pb2 import LeaseCheckpoint
from twofold.store.backend.port import Backend
from twofold.store.errors import ApplyRefused

TTL_MIN_S = 2
TTL_MAX_S = 9_000_000_000

_KEY = struct.Struct(">Q")
_MASK = (1 << 64) - 1


class _Lease:
    __slots__ = ("keys", "ttl_s")

    def __init__(self, ttl_s: int) -> None:
        self.ttl_s = ttl_s
        self.keys: set[bytes] = set()


class Lessor:
    """Leases and the keys on them. Shape: at most one lease a key.

    ``on_granted(lease_id, ttl_s)`` and ``on_revoked(lease_id)`` are for the one
    who keeps time; they run inside apply and must not fail.
    """

    def __init__(self, backend: Backend, *, ttl_min_s: int = TTL_MIN_S) -> None:
        self.on_granted: Callable[[int, int], None] | None = None
        self.on_revoked: Callable[[int], None] | None = None
        self._ttl_min_s = ttl_min_s
        self._leases: dict[int, _Lease] = {}
        self._by_key: dict[bytes, int] = {}
        self._backend = backend
        self.restore(backend)

    def restore(self, backend: Backend) -> None:
        """Start over with the leases of ``backend``; keys are attached anew."""
        self._backend = backend
        self._by_key = {}
        self._leases = {}
        for lease_key, data in sorted(backend.leases().items()):
            lease_id = _signed(int(_KEY.unpack(lease_key)[0]))
            self._leases[lease_id] = _Lease(_ttl_of(data))

    # ---- commands

    def grant(self, lease_id: int, ttl_s: int) -> int:
        """Grant; gives the TTL as raised to the minimum.

        Raises:
            ApplyRefused: LEASE_EXIST, LEASE_TTL_TOO_LARGE.
        """
        if ttl_s > TTL_MAX_S:
            raise ApplyRefused("LEASE_TTL_TOO_LARGE")
        if lease_id == 0 or lease_id in self._leases:
            raise ApplyRefused("LEASE_EXIST")
        ttl_s = max(ttl_s, self._ttl_min_s)
        self._leases[lease_id] = _Lease(ttl_s)
        self._backend.put_lease(_KEY.pack(lease_id & _MASK), _encode(lease_id, ttl_s))
        if self.on_granted is not None:
            self.on_granted(lease_id, ttl_s)
        return ttl_s

    def revoke(self, lease_id: int) -> list[bytes]:
        """Forget a lease; gives the keys that must be deleted with it, sorted.

        Raises:
            ApplyRefused: LEASE_NOT_FOUND.
        """
        lease = self._leases.pop(lease_id, None)
        if lease is None:
            raise ApplyRefused("LEASE_NOT_FOUND")
        keys = sorted(lease.keys)
        for key in keys:
            del self._by_key[key]
        self._backend.put_lease(_KEY.pack(lease_id & _MASK), None)
        if self.on_revoked is not None:
            self.on_revoked(lease_id)
        return keys

    # ---- keys, for the store

    def exists(self, lease_id: int) -> bool:
        """Whether the lease is granted."""
        return lease_id in self._leases

    def lease_of(self, key: bytes) -> int:
        """The lease of a key, 0 if none."""
        return self._by_key.get(key, 0)

    def attach(self, key: bytes, lease_id: int) -> None:
        """Hang ``key`` on a lease that exists, or on none by 0."""
        former = self._by_key.get(key, 0)
        if former == lease_id:
            return
        if former:
            self._leases[former].keys.discard(key)
        if lease_id:
            self._leases[lease_id].keys.add(key)
            self._by_key[key] = lease_id
        else:
            del self._by_key[key]

    # ---- facts

    def __len__(self) -> int:
        return len(self._leases)

    def leases(self) -> Iterator[tuple[int, int]]:
        """Every lease as (id, granted TTL in s)."""
        for lease_id, lease in self._leases.items():
            yield lease_id, lease.ttl_s

    def ttl_s(self, lease_id: int) -> int | None:
        """The granted TTL; None: no such lease."""
        lease = self._leases.get(lease_id)
        return None if lease is None else lease.ttl_s

    def keys_of(self, lease_id: int) -> list[bytes]:
        """The keys on a lease, sorted; none if there is no such lease."""
        lease = self._leases.get(lease_id)
        return [] if lease is None else sorted(lease.keys)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _encode(lease_id: int, ttl_s: int) -> bytes:
    # The bytes of etcd's leasepb.Lease, which is not in its API module: this
    # message has the same fields, ID = 1 and a number of seconds = 2.
    return LeaseCheckpoint(ID=lease_id, remaining_TTL=ttl_s).SerializeToString()


def _ttl_of(data: bytes) -> int:
    return LeaseCheckpoint.FromString(data).remaining_TTL
