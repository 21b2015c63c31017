"""Random requests of etcd's KV and Lease services, from a seed.

Few keys and few leases on purpose: the requests shall meet each other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from google.protobuf.message import Message

from twofold.proto import rpc_pb2 as rpc

KEYS = [b"a", b"a\0", b"aa", b"ab", b"b", b"b/1", b"b/2", b"c", b"\xff", b"\xff\xff"]
WIDE = [b"%c/%d" % (97 + number % 5, number) for number in range(150)]
LEASES = [11, 12, 13]
_VALUES = [b"", b"0", b"1", b"x" * 20, b"\0\xff"]
_TTL_S = 5_000
_STABLE_MAX = 12
"""Go sorts so few stably; more, in no stated order among equals."""


class Requests:
    """A sequence of requests; ``revision`` and ``compacted`` are kept by the user."""

    def __init__(
        self, seed: int, keys: Sequence[bytes] = KEYS, local_reads: bool = True
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._keys = keys
        self._local = 0.2 if local_reads else 0.0
        self._ends = [*keys, b"\0", b"b0", b"c0", b"d"]
        self.revision = 1
        self.compacted = -1

    def next(self) -> Message:
        """The next one."""
        make = self._random.choices(
            [
                self.range,
                self.put,
                self.delete,
                self.txn,
                self.compaction,
                self.lease,
                self.hash_kv,
            ],
            [30, 25, 10, 25, 2, 8, 2],
        )[0]
        return make()

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _key(self) -> bytes:
        return b"" if self._chance(0.01) else self._random.choice(self._keys)

    def _end(self) -> bytes:
        return b"" if self._chance(0.4) else self._random.choice(self._ends)

    def _revision(self) -> int:
        if self._chance(0.7):
            return 0
        if self._chance(0.1):
            return self._random.choice([-2, -1, 1])
        first = max(self.compacted - 1, 1)
        return self._random.randint(first, self.revision + 1)

    def _bound(self) -> int:
        if self._chance(0.85):
            return 0
        return self._random.randint(-1, self.revision + 1)

    def range(self) -> rpc.RangeRequest:
        """A read with any of its options."""
        choice = self._random.choice
        order, target = 0, 0
        if self._chance(0.4):
            few = len(self._keys) <= _STABLE_MAX
            order, target = self._random.randrange(3), self._random.randrange(5)
            target = target if few else 0
        if self._chance(0.02):
            order, target = choice([(3, 0), (0, 5), (-1, 0)])
        return rpc.RangeRequest(
            key=self._key(),
            range_end=self._end(),
            limit=choice([0, 0, 0, 1, 2, 5, 40, -1]),
            revision=self._revision(),
            sort_order=rpc.RangeRequest.SortOrder.ValueType(order),
            sort_target=rpc.RangeRequest.SortTarget.ValueType(target),
            serializable=self._chance(self._local),
            keys_only=self._chance(0.15),
            count_only=self._chance(0.1),
            min_mod_revision=self._bound(),
            max_mod_revision=self._bound(),
            min_create_revision=self._bound(),
            max_create_revision=self._bound(),
        )

    def put(self) -> rpc.PutRequest:
        """A put with any of its options."""
        keeps_value, keeps_lease = self._chance(0.1), self._chance(0.1)
        clash = self._chance(0.1)
        value = b"" if keeps_value and not clash else self._random.choice(_VALUES)
        lease = 0
        if self._chance(0.3) and (clash or not keeps_lease):
            lease = self._random.choice(LEASES)
        return rpc.PutRequest(
            key=self._key(),
            value=value,
            lease=lease,
            prev_kv=self._chance(0.3),
            ignore_value=keeps_value,
            ignore_lease=keeps_lease,
        )

    def delete(self, open_end: bool = True) -> rpc.DeleteRangeRequest:
        """A delete of a key or a range."""
        end = self._end() if self._chance(0.5) else b""
        if end == b"\0" and not open_end:
            end = b"d"
        return rpc.DeleteRangeRequest(
            key=self._key(), range_end=end, prev_kv=self._chance(0.4)
        )

    def compare(self) -> rpc.Compare:
        """A condition on a key or a range."""
        result = self._random.choice([0, 0, 0, 1, 2, 3])
        compare = rpc.Compare(
            key=self._key(),
            range_end=self._end() if self._chance(0.3) else b"",
            result=rpc.Compare.CompareResult.ValueType(result),
            target=rpc.Compare.CompareTarget.ValueType(self._random.randrange(5)),
        )
        if self._chance(0.1):
            return compare  # Nothing to compare with.
        number = self._random.choice([0, 1, 2, self.revision, self.revision - 1])
        if compare.target == rpc.Compare.VALUE:
            compare.value = self._random.choice(_VALUES)
        elif compare.target == rpc.Compare.LEASE:
            compare.lease = self._random.choice([0, *LEASES])
        elif compare.target == rpc.Compare.VERSION:
            compare.version = number
        elif compare.target == rpc.Compare.CREATE:
            compare.create_revision = number
        else:
            compare.mod_revision = number
        return compare

    def txn(self, depth: int = 0) -> rpc.TxnRequest:
        """A transaction, at times with others within."""
        counts = [0, 1, 1, 2, 3]
        compares, thens, elses = (self._random.choice(counts) for _ in range(3))
        return rpc.TxnRequest(
            compare=[self.compare() for _ in range(compares)],
            success=[self._op(depth) for _ in range(thens)],
            failure=[self._op(depth) for _ in range(elses)],
        )

    def _op(self, depth: int) -> rpc.RequestOp:
        if self._chance(0.005):
            return rpc.RequestOp()
        kind = self._random.choices(range(4), [4, 4, 2, 2 if depth < 2 else 0])[0]
        if kind == 0:
            return rpc.RequestOp(request_range=self.range())
        if kind == 1:
            return rpc.RequestOp(request_put=self.put())
        if kind == 2:
            # With an open end etcd lets a key be deleted and put in one revision,
            # and loses it if just that revision is compacted.
            deleted = self.delete(open_end=False)
            return rpc.RequestOp(request_delete_range=deleted)
        return rpc.RequestOp(request_txn=self.txn(depth + 1))

    def compaction(self) -> rpc.CompactionRequest:
        """Of some revision near the present."""
        # Not of 0: etcd then answers every later HashKV of 0 with that hash.
        first = max(self.revision - 30, 1)
        revision = self._random.randint(first, self.revision + 1)
        physical = self._chance(0.7)
        return rpc.CompactionRequest(revision=revision, physical=physical)

    def lease(self) -> Message:
        """A grant, a revoke or a question, of few leases."""
        lease = self._random.choice(LEASES)
        kind = self._random.randrange(4)
        if kind < 2:
            return rpc.LeaseGrantRequest(ID=lease, TTL=_TTL_S)
        if kind == 2:
            return rpc.LeaseRevokeRequest(ID=lease)
        return rpc.LeaseTimeToLiveRequest(ID=lease, keys=True)

    def hash_kv(self) -> rpc.HashKVRequest:
        """At any revision."""
        return rpc.HashKVRequest(revision=self._revision())

    def watch(self) -> rpc.WatchCreateRequest:
        """A watch with any of its options; its id is the server's."""
        first = max(self.compacted - 2, 1)
        start = self._random.choice([0, self._random.randint(first, self.revision + 2)])
        filters = []
        if self._chance(0.3):
            filters.append(rpc.WatchCreateRequest.FilterType.ValueType(0))
        if self._chance(0.2):
            filters.append(rpc.WatchCreateRequest.FilterType.ValueType(1))
        return rpc.WatchCreateRequest(
            key=self._key(),
            range_end=self._end(),
            start_revision=-1 if self._chance(0.03) else start,
            prev_kv=self._chance(0.5),
            fragment=self._chance(0.2),
            filters=filters,
        )
