"""One member's services over the real state machine, without network or time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pytest
from google.protobuf.message import Message

from twofold.etcd.context import WireOptions
from twofold.etcd.front.port import StreamHandler
from twofold.etcd.routes import Services
from twofold.proto import rpc_pb2
from twofold.testing.fakes_facade import FakeFacade
from twofold.testing.fakes_front import (
    FakeCall,
    FakeHttpRequest,
    FakeStream,
    FakeTimers,
)

Reply = TypeVar("Reply", bound=Message)


class Wire:
    """Calls services as the front would."""

    def __init__(self, options: WireOptions | None = None) -> None:
        self.facade = FakeFacade()
        self.timers = FakeTimers()
        options = options or WireOptions(watch_progress_jitter=0.0)
        self.services = Services(self.facade, options, later=self.timers)

    def call(
        self,
        path: str,
        request: Message | bytes,
        metadata: Mapping[bytes, bytes] | None = None,
        timeout_ms: int | None = None,
    ) -> FakeCall:
        """Make a unary call."""
        call = FakeCall(path, metadata or {}, timeout_ms)
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        self.services.routes.unary[path](call, raw)
        return call

    def ask(self, path: str, request: Message, reply: type[Reply]) -> Reply:
        """Make a unary call that succeeds."""
        call = self.call(path, request)
        assert call.status is None
        assert call.answer is not None
        return reply.FromString(call.answer)

    def error(self, path: str, request: Message | bytes) -> tuple[int, str]:
        """Make a unary call that fails."""
        call = self.call(path, request)
        assert call.status is not None
        return call.status

    def open(
        self, path: str, metadata: Mapping[bytes, bytes] | None = None
    ) -> tuple[FakeStream, StreamHandler]:
        """Open a stream."""
        stream = FakeStream(path, metadata or {})
        handler = self.services.routes.streams[path](stream)
        handler.opened(stream)
        return stream, handler

    def get(self, path: str, query: str = "", method: str = "GET") -> tuple[int, str]:
        """Make an HTTP request."""
        request = FakeHttpRequest(path, method, query)
        self.services.routes.http(request)
        assert request.answer is not None
        status, _, body = request.answer
        return status, body.decode()

    def put(self, key: bytes, value: bytes = b"v", lease: int = 0) -> int:
        """Put a key; gives the revision."""
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease)
        path = "/etcdserverpb.KV/Put"
        return self.ask(path, request, rpc_pb2.PutResponse).header.revision

    def delete(self, key: bytes, range_end: bytes = b"") -> int:
        """Delete keys; gives the revision."""
        request = rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end)
        path = "/etcdserverpb.KV/DeleteRange"
        return self.ask(path, request, rpc_pb2.DeleteRangeResponse).header.revision

    def compact(self, revision: int) -> None:
        """Compact."""
        request = rpc_pb2.CompactionRequest(revision=revision)
        path = "/etcdserverpb.KV/Compact"
        self.ask(path, request, rpc_pb2.CompactionResponse)


@pytest.fixture
def wire() -> Wire:
    """A fresh member's services."""
    return Wire()
