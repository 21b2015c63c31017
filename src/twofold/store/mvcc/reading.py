"""Sorting, filtering and blanking: the range options that must decode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twofold.proto.kv_pb2 import KeyValue
from twofold.proto.rpc_pb2 import RangeRequest

_SORT_KEYS: dict[int, Callable[[KeyValue], int | bytes]] = {
    RangeRequest.KEY: lambda kv: kv.key,
    RangeRequest.VERSION: lambda kv: kv.version,
    RangeRequest.CREATE: lambda kv: kv.create_revision,
    RangeRequest.MOD: lambda kv: kv.mod_revision,
    RangeRequest.VALUE: lambda kv: kv.value,
}


@dataclass(frozen=True, slots=True)
class Order:
    """How a range's result is filtered and sorted; enums as in RangeRequest."""

    target: int
    order: int
    min_mod: int
    max_mod: int
    min_create: int
    max_create: int

    @property
    def filters(self) -> bool:
        """Whether any revision filter is set."""
        return bool(self.min_mod or self.max_mod or self.min_create or self.max_create)

    @property
    def needs_all(self) -> bool:
        """Whether the limit counts only after sorting and filtering.

        Order NONE with a target other than the key is etcd's odd case: it sorts,
        but only what the limit let through.
        """
        return self.order != RangeRequest.NONE or self.filters

    @property
    def decodes(self) -> bool:
        """Whether there is anything to do."""
        return (
            self.filters
            or self.target != RangeRequest.KEY
            or self.order == RangeRequest.DESCEND
        )

    def arrange(self, kvs: list[bytes]) -> list[bytes]:
        """Filter and sort serialized KeyValues that come in key order."""
        pairs = [(KeyValue.FromString(data), data) for data in kvs]
        if self.filters:
            pairs = [pair for pair in pairs if self._keeps(pair[0])]
        if self.target != RangeRequest.KEY or self.order == RangeRequest.DESCEND:
            sort_key = _SORT_KEYS[self.target]
            pairs.sort(
                key=lambda pair: sort_key(pair[0]),
                reverse=self.order == RangeRequest.DESCEND,
            )
        return [data for _, data in pairs]

    def _keeps(self, kv: KeyValue) -> bool:
        mod, create = kv.mod_revision, kv.create_revision
        return (
            (not self.min_mod or mod >= self.min_mod)
            and (not self.max_mod or mod <= self.max_mod)
            and (not self.min_create or create >= self.min_create)
            and (not self.max_create or create <= self.max_create)
        )


def without_value(data: bytes) -> bytes:
    """The KeyValue with an empty value."""
    kv = KeyValue.FromString(data)
    kv.ClearField("value")
    return kv.SerializeToString()
