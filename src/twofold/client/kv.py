"""The calls that our commands and tests make, typed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from twofold.client.connection import Connection, connect
from twofold.proto import kv_pb2, rpc_pb2

TIMEOUT_MS = 5000

_KV = "/etcdserverpb.KV/"
_MAINTENANCE = "/etcdserverpb.Maintenance/"
_CLUSTER = "/etcdserverpb.Cluster/"


@dataclass(slots=True)
class EtcdClient:
    """One endpoint, connected on first use and again after a loss.

    It never repeats a call by itself: only the caller knows whether a second
    put would do harm.
    """

    url: str
    tls: ssl.SSLContext | None = None
    timeout_ms: int = TIMEOUT_MS
    _connection: Connection | None = field(default=None, init=False, repr=False)

    async def call(
        self, path: str, request: bytes, *, timeout_ms: int | None = None
    ) -> bytes:
        """One unary call; see Connection.call for what it raises."""
        limit_ms = self.timeout_ms if timeout_ms is None else timeout_ms
        if self._connection is None or not self._connection.usable:
            self.close()
            self._connection = await connect(
                self.url, timeout_ms=min(limit_ms, 2000), tls=self.tls
            )
        return await self._connection.call(path, request, limit_ms)

    async def put(
        self, key: bytes, value: bytes, *, timeout_ms: int | None = None
    ) -> int:
        """Write one key; gives the revision."""
        request = rpc_pb2.PutRequest(key=key, value=value).SerializeToString()
        reply = await self.call(f"{_KV}Put", request, timeout_ms=timeout_ms)
        return rpc_pb2.PutResponse.FromString(reply).header.revision

    async def get(self, key: bytes) -> bytes | None:
        """The newest value, linearizable; None if there is no such key."""
        found = await self.range(key)
        return found[0].value if found else None

    async def range(
        self, key: bytes, range_end: bytes = b"", *, serializable: bool = False
    ) -> list[kv_pb2.KeyValue]:
        """Keys from ``key`` up to ``range_end``; without it the key alone."""
        request = rpc_pb2.RangeRequest(
            key=key, range_end=range_end, serializable=serializable
        )
        reply = await self.call(f"{_KV}Range", request.SerializeToString())
        return list(rpc_pb2.RangeResponse.FromString(reply).kvs)

    async def delete(self, key: bytes, range_end: bytes = b"") -> int:
        """Delete a key or a range; gives how many there were."""
        request = rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end)
        reply = await self.call(f"{_KV}DeleteRange", request.SerializeToString())
        return rpc_pb2.DeleteRangeResponse.FromString(reply).deleted

    async def status(self, *, timeout_ms: int | None = None) -> rpc_pb2.StatusResponse:
        """What the member says of itself; needs no quorum."""
        reply = await self.call(f"{_MAINTENANCE}Status", b"", timeout_ms=timeout_ms)
        return rpc_pb2.StatusResponse.FromString(reply)

    async def hash_kv(self, revision: int = 0) -> rpc_pb2.HashKVResponse:
        """Hash of all keys up to a revision; 0 is the newest."""
        request = rpc_pb2.HashKVRequest(revision=revision)
        reply = await self.call(f"{_MAINTENANCE}HashKV", request.SerializeToString())
        return rpc_pb2.HashKVResponse.FromString(reply)

    async def members(self) -> list[rpc_pb2.Member]:
        """The members, as the cluster sees them."""
        reply = await self.call(f"{_CLUSTER}MemberList", b"")
        return list(rpc_pb2.MemberListResponse.FromString(reply).members)

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
