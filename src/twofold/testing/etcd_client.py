"""A small etcd client on grpcio, so that tests do not judge us by our own code.

Retries nothing and hides nothing: each call is one RPC, errors are grpc's own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.processes import Member, TlsFiles

Answer = TypeVar("Answer", bound=Message)

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Tests measure gaps: hardly any back-off. The least is also the limit of
    # one attempt to connect.
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 100),
    # Two clients are two connections, as they are from two machines.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]


def channel(endpoint: str, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """One connection to one member."""
    if tls is None:
        return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.ca.read_bytes(),
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.certificate.read_bytes(),
    )
    return grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)


def put_op(key: bytes, value: bytes) -> rpc.RequestOp:
    """A put inside a transaction."""
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value))


def get_op(key: bytes) -> rpc.RequestOp:
    """A read of one key inside a transaction."""
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key))


def mod_is(key: bytes, revision: int) -> rpc.Compare:
    """Holds if the key was last changed at ``revision``; 0: if there is none."""
    return rpc.Compare(
        key=key,
        target=rpc.Compare.MOD,
        result=rpc.Compare.EQUAL,
        mod_revision=revision,
    )


class EtcdClient:
    """Calls to one member; use as an async context manager."""

    def __init__(self, endpoint: str, tls: TlsFiles | None = None) -> None:
        self.endpoint = endpoint
        self._channel = channel(endpoint, tls)

    @classmethod
    def of(cls, member: Member) -> EtcdClient:
        """A client of that member."""
        return cls(member.endpoint, member.tls)

    async def __aenter__(self) -> EtcdClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def call(
        self, method: str, request: Message, answer: type[Answer], timeout_s: float
    ) -> Answer:
        """One unary RPC of ``etcdserverpb``, for example ``KV/Put``.

        Raises:
            grpc.aio.AioRpcError: any status but OK.
        """
        stub = self._channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        result: Answer = await stub(request, timeout=timeout_s)
        return result

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        lease: int = 0,
        prev_kv: bool = False,
        timeout_s: float = 10.0,
    ) -> rpc.PutResponse:
        """Write one key."""
        request = rpc.PutRequest(key=key, value=value, lease=lease, prev_kv=prev_kv)
        return await self.call("KV/Put", request, rpc.PutResponse, timeout_s)

    async def get(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        revision: int = 0,
        serializable: bool = False,
        timeout_s: float = 10.0,
    ) -> rpc.RangeResponse:
        """Read one key or a range."""
        request = rpc.RangeRequest(
            key=key, range_end=range_end, revision=revision, serializable=serializable
        )
        return await self.call("KV/Range", request, rpc.RangeResponse, timeout_s)

    async def delete(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        prev_kv: bool = False,
        timeout_s: float = 10.0,
    ) -> rpc.DeleteRangeResponse:
        """Delete one key or a range."""
        request = rpc.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=prev_kv)
        answer = rpc.DeleteRangeResponse
        return await self.call("KV/DeleteRange", request, answer, timeout_s)

    async def swap(
        self, key: bytes, value: bytes, revision: int, *, timeout_s: float = 10.0
    ) -> rpc.TxnResponse:
        """Write if the key is still of ``revision``, else read it."""
        request = rpc.TxnRequest(
            compare=[mod_is(key, revision)],
            success=[put_op(key, value)],
            failure=[get_op(key)],
        )
        return await self.call("KV/Txn", request, rpc.TxnResponse, timeout_s)

    async def grant(self, ttl_s: int, timeout_s: float = 10.0) -> int:
        """A new lease's id."""
        request = rpc.LeaseGrantRequest(TTL=ttl_s)
        answer = rpc.LeaseGrantResponse
        return (await self.call("Lease/LeaseGrant", request, answer, timeout_s)).ID

    async def keep_alive(self, lease: int, timeout_s: float = 10.0) -> int:
        """Renew a lease once; the new time to live, 0 if there is no such lease."""
        stub = self._channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
        )
        call = stub(timeout=timeout_s)
        await call.write(rpc.LeaseKeepAliveRequest(ID=lease))
        answer = await call.read()
        call.cancel()
        # grpc's end-of-stream marker is no message.
        return answer.TTL if isinstance(answer, rpc.LeaseKeepAliveResponse) else 0

    async def status(self, timeout_s: float = 2.0) -> rpc.StatusResponse:
        """The member's own view."""
        request = rpc.StatusRequest()
        answer = rpc.StatusResponse
        return await self.call("Maintenance/Status", request, answer, timeout_s)

    async def hash_kv(
        self, revision: int = 0, timeout_s: float = 30.0
    ) -> rpc.HashKVResponse:
        """The hash of the key space up to ``revision``."""
        request = rpc.HashKVRequest(revision=revision)
        answer = rpc.HashKVResponse
        return await self.call("Maintenance/HashKV", request, answer, timeout_s)

    async def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[rpc.WatchResponse, None]:
        """Every reply of one watch, the first being ``created``."""
        stub = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc.WatchRequest.SerializeToString,
            response_deserializer=rpc.WatchResponse.FromString,
        )
        call = stub(timeout=timeout_s)
        create = rpc.WatchCreateRequest(
            key=key, range_end=range_end, start_revision=start_revision
        )
        await call.write(rpc.WatchRequest(create_request=create))
        try:
            async for reply in call:
                yield reply
        finally:
            call.cancel()


async def leader_of(members: list[Member], timeout_s: float = 2.0) -> Member | None:
    """The member that leads by its own word; None if none does now."""
    found: tuple[int, Member] | None = None
    for member in members:
        async with EtcdClient.of(member) as client:
            try:
                status = await client.status(timeout_s)
            except grpc.aio.AioRpcError:
                continue
        # A leader that was cut off still calls itself one: the newest term wins.
        leads = status.leader != 0 and status.leader == status.header.member_id
        if leads and (found is None or status.raftTerm > found[0]):
            found = (status.raftTerm, member)
    return found[1] if found else None
