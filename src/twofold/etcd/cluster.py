"""The Cluster service: two members by configuration, never the witness."""

from __future__ import annotations

from functools import partial

from google.protobuf.message import DecodeError

from twofold.base.errors import TwofoldError
from twofold.etcd.context import Context, fail, succeed
from twofold.etcd.errors import BAD_REQUEST
from twofold.etcd.front.port import Call
from twofold.proto import rpc_pb2

PATH = "/etcdserverpb.Cluster/"


class ClusterService:
    """Lists the members; changing them is not offered."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lists = context.unary(PATH + "MemberList")

    def member_list(self, call: Call, body: bytes) -> None:
        """MemberList; clients ask for a linearizable one by default."""
        counts = self._lists
        counts.started += 1
        try:
            request = rpc_pb2.MemberListRequest.FromString(body)
        except DecodeError:
            fail(call, counts, BAD_REQUEST)
            return
        if request.linearizable:
            done = partial(self._list, call)
            self._context.facade.confirm_read(done, self._context.timeout_ms(call))
        else:
            self._list(call, None)

    def _list(self, call: Call, error: TwofoldError | None) -> None:
        if error is not None:
            self._context.refuse_read(call, self._lists, error)
            return
        reply = rpc_pb2.MemberListResponse(
            members=[
                rpc_pb2.Member(
                    ID=member.member_id,
                    name=member.name,
                    peerURLs=member.peer_urls,
                    clientURLs=member.client_urls,
                )
                for member in self._context.facade.members()
            ]
        ).SerializeToString()
        # etcd's replies of this service carry no revision.
        succeed(call, self._lists, self._context.header(0) + reply)
