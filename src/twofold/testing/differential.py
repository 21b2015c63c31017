"""The same requests to twofold and to real etcd, and what each answered.

Start with `pair`: one member of each, asked in lock step, so that revisions are
equal and replies can be compared as they are. Only identities and times, which
mean nothing to a client, are blanked first.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.processes import Cluster, etcd_cluster, twofold_cluster

ANSWERS: dict[type[Message], tuple[str, type[Message]]] = {
    rpc.RangeRequest: ("KV/Range", rpc.RangeResponse),
    rpc.PutRequest: ("KV/Put", rpc.PutResponse),
    rpc.DeleteRangeRequest: ("KV/DeleteRange", rpc.DeleteRangeResponse),
    rpc.TxnRequest: ("KV/Txn", rpc.TxnResponse),
    rpc.CompactionRequest: ("KV/Compact", rpc.CompactionResponse),
    rpc.LeaseGrantRequest: ("Lease/LeaseGrant", rpc.LeaseGrantResponse),
    rpc.LeaseRevokeRequest: ("Lease/LeaseRevoke", rpc.LeaseRevokeResponse),
    rpc.LeaseTimeToLiveRequest: (
        "Lease/LeaseTimeToLive",
        rpc.LeaseTimeToLiveResponse,
    ),
    rpc.LeaseLeasesRequest: ("Lease/LeaseLeases", rpc.LeaseLeasesResponse),
    rpc.MemberListRequest: ("Cluster/MemberList", rpc.MemberListResponse),
    rpc.StatusRequest: ("Maintenance/Status", rpc.StatusResponse),
    rpc.AlarmRequest: ("Maintenance/Alarm", rpc.AlarmResponse),
    rpc.HashKVRequest: ("Maintenance/HashKV", rpc.HashKVResponse),
    rpc.MoveLeaderRequest: ("Maintenance/MoveLeader", rpc.MoveLeaderResponse),
    rpc.DefragmentRequest: ("Maintenance/Defragment", rpc.DefragmentResponse),
}
"""Each request's method and answer."""

_QUIET_S = 0.15
"""Longer than the 100 ms in which etcd serves watches that are behind."""

_LOST = "compacted"

Reply = TypeVar("Reply", bound=Message)


class Refused(NamedTuple):
    """An RPC's error."""

    code: str
    text: str


Answer = Message | Refused


class Side:
    """One of the two servers; of several members each is asked in turn."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.cluster = cluster
        self._connect()

    def _connect(self) -> None:
        self._channels = [
            grpc.insecure_channel(
                endpoint,
                options=[
                    ("grpc.max_receive_message_length", -1),
                    ("grpc.max_send_message_length", -1),
                    ("grpc.use_local_subchannel_pool", 1),
                ],
            )
            for endpoint in self.cluster.endpoints
        ]
        self._turn = 0

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()

    @property
    def channel(self) -> grpc.Channel:
        """To the first member."""
        return self._channels[0]

    def restart(self) -> None:
        """kill -9 to all, and start again on the same data."""
        self.cluster.close()
        self.close()
        self.cluster.start()
        self._connect()

    def ask(self, request: Message, timeout_s: float = 10.0) -> Answer:
        """One unary call."""
        self._turn = (self._turn + 1) % len(self._channels)
        channel = self._channels[self._turn]
        if len(self._channels) > 1 and isinstance(request, rpc.HashKVRequest):
            # It tells of the member's own state: let that be the newest.
            _call(channel, rpc.RangeRequest(key=b"\0"), timeout_s)
        return _call(channel, request, timeout_s)

    def get(self, request: Message, kind: type[Reply]) -> Reply:
        """A call that must succeed.

        Raises:
            AssertionError: it did not.
        """
        answer = self.ask(request)
        if not isinstance(answer, kind):
            raise AssertionError(f"{self.name}: {type(request).__name__}: {answer}")
        return answer

    def keep_alive(self, lease: int) -> rpc.LeaseKeepAliveResponse:
        """Renew a lease once."""
        stub = self.channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
        )
        call = stub(iter([rpc.LeaseKeepAliveRequest(ID=lease)]), timeout=10.0)
        reply: rpc.LeaseKeepAliveResponse = next(iter(call))
        call.cancel()
        return reply

    def revision(self) -> int:
        """The current one."""
        found = self.get(rpc.RangeRequest(key=b"\0", limit=1), rpc.RangeResponse)
        return found.header.revision


def _call(channel: grpc.Channel, request: Message, timeout_s: float) -> Answer:
    method, answer = ANSWERS[type(request)]
    stub = channel.unary_unary(
        f"/etcdserverpb.{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    try:
        reply: Message = stub(request, timeout=timeout_s)
    except grpc.RpcError as error:
        return Refused(error.code().name, error.details() or "")
    return reply


class Pair(NamedTuple):
    """Both servers; they hold the same keys at the same revisions."""

    ours: Side
    theirs: Side

    def ask(self, request: Message) -> tuple[Answer, Answer]:
        """Ask both, etcd first."""
        theirs = self.theirs.ask(request)
        return self.ours.ask(request), theirs


@contextmanager
def pair(
    folder: Path, flags: Sequence[str] = (), our_members: int = 1
) -> Iterator[Pair]:
    """New members of each kind; of etcd one.

    Raises:
        ProcessFailed: one does not start.
    """
    ours = twofold_cluster(folder / "ours", our_members, flags=flags)
    theirs = etcd_cluster(folder / "theirs", 1, flags=flags)
    with theirs, ours:
        both = Pair(Side("twofold", ours), Side("etcd", theirs))
        try:
            yield both
        finally:
            both.ours.close()
            both.theirs.close()


# ---- comparing


def blank(message: Message) -> None:
    """Take out what differs between any two clusters, at every depth."""
    if isinstance(message, rpc.ResponseHeader):
        message.ClearField("cluster_id")
        message.ClearField("member_id")
        message.ClearField("raft_term")
    if isinstance(message, rpc.LeaseTimeToLiveResponse):
        # A second may pass between the two; keys come in any order.
        if 0 < message.TTL <= message.grantedTTL:
            message.TTL = message.grantedTTL
        message.keys[:] = sorted(message.keys)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in [value] if isinstance(value, Message) else list(value):
            blank(one)


class Excuse(NamedTuple):
    """A known difference: ``reason``, ``when`` it applies, what not to compare."""

    reason: str
    when: Callable[[Message], bool]
    strip: Callable[[Message], None]


def words(answer: Answer, strips: Sequence[Callable[[Message], None]] = ()) -> str:
    """An answer as comparable text."""
    if isinstance(answer, Refused):
        return f"{answer.code}: {answer.text}"
    copy = type(answer)()
    copy.CopyFrom(answer)
    blank(copy)
    for strip in strips:
        strip(copy)
    return text_format.MessageToString(copy)


def difference(
    request: Message, ours: Answer, theirs: Answer, excuses: Sequence[Excuse] = ()
) -> str:
    """What differs beyond the excuses, for a person to read; empty if nothing."""
    strips = [excuse.strip for excuse in excuses if excuse.when(request)]
    mine, other = words(ours, strips), words(theirs, strips)
    if mine == other:
        return ""
    asked = text_format.MessageToString(request, as_one_line=True)
    name = type(request).__name__
    return f"{name} {asked}\n--- etcd\n{other}\n--- twofold\n{mine}"


# ---- watches


class WatchTap:
    """One watch stream of one side; ``replies`` grows by itself."""

    def __init__(self, side: Side) -> None:
        self.replies: list[rpc.WatchResponse] = []
        self.error: Refused | None = None
        self._requests: queue.SimpleQueue[rpc.WatchRequest | None] = queue.SimpleQueue()
        stub = side.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc.WatchRequest.SerializeToString,
            response_deserializer=rpc.WatchResponse.FromString,
        )
        self._call = stub(iter(self._requests.get, None))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self.replies.extend(self._call)
        except grpc.RpcError as error:
            self.error = Refused(error.code().name, error.details() or "")

    def send(self, request: rpc.WatchRequest) -> None:
        """Ask something on the stream."""
        self._requests.put(request)

    def create(self, **options: object) -> None:
        """Ask for a watch; the options are WatchCreateRequest's."""
        create = rpc.WatchCreateRequest(**options)  # type: ignore[arg-type]
        self.send(rpc.WatchRequest(create_request=create))

    def cancel(self, watch_id: int) -> None:
        """Ask to end one."""
        cancel = rpc.WatchCancelRequest(watch_id=watch_id)
        self.send(rpc.WatchRequest(cancel_request=cancel))

    def progress(self) -> None:
        """Ask how far all have come."""
        self.send(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))

    def wait(self, count: int, timeout_s: float = 5.0) -> list[rpc.WatchResponse]:
        """Replies so far, once there are ``count``.

        Raises:
            AssertionError: there are fewer after ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        while len(self.replies) < count:
            if time.monotonic() > deadline_s or self.error is not None:
                raise AssertionError(f"{count} awaited: {self.replies} {self.error}")
            time.sleep(0.005)
        return self.replies

    def close(self) -> None:
        """End the stream."""
        self._call.cancel()
        self._requests.put(None)
        self._thread.join(5.0)


def settle(taps: Sequence[WatchTap]) -> None:
    """Wait until none of them was told anything for a while."""
    count = -1
    while count != (now := sum(len(tap.replies) for tap in taps)):
        count = now
        time.sleep(_QUIET_S)


def story(replies: Sequence[rpc.WatchResponse]) -> dict[int, list[str]]:
    """What each watch was told, whatever messages it came in.

    How many revisions share a message is a matter of timing in both servers.
    """
    told: dict[int, list[str]] = {}
    for reply in replies:
        lines = told.setdefault(reply.watch_id, [])
        if reply.created:
            lines.append("created")
        for event in reply.events:
            lines.append(text_format.MessageToString(event, as_one_line=True))
        if reply.canceled and not any(line.startswith(_LOST) for line in lines):
            # Known difference: a watch that a compaction ended is, in etcd, still
            # there to be cancelled by the client, and is then told a second time.
            kind = _LOST if reply.compact_revision else "canceled"
            lines.append(f"{kind} {reply.compact_revision} {reply.cancel_reason!r}")
        if not (reply.created or reply.canceled or reply.events):
            lines.append(f"progress {reply.header.revision}")
    return told


def broken_rules(replies: Sequence[rpc.WatchResponse]) -> list[str]:
    """Replies that break what a watch stream promises, in any grouping."""
    broken = []
    shown = 0
    last: dict[int, int] = {}
    for at, reply in enumerate(replies):
        revision = reply.header.revision
        if 0 < revision < shown:
            broken.append(f"reply {at}: header {revision} after {shown}")
        shown = max(shown, revision)
        mains = [event.kv.mod_revision for event in reply.events]
        if mains and not reply.fragment:
            if mains[0] <= last.get(reply.watch_id, 0):
                broken.append(f"reply {at}: revision {mains[0]} is split or late")
            last[reply.watch_id] = mains[-1]
        if mains != sorted(mains) or (mains and mains[-1] > revision):
            broken.append(f"reply {at}: events {mains} under header {revision}")
    return broken
