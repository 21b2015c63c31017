"""Methods of etcd that are left out on purpose, and what to do instead.

The front answers any other unknown path by itself.
"""

from __future__ import annotations

from twofold.etcd.context import Context, fail
from twofold.etcd.errors import Code, Status
from twofold.etcd.front.port import Call, Stream, StreamFactory, UnaryHandler

_MEMBERS = "the members are those of --initial-cluster and cannot be changed online"
_SNAPSHOT = "no etcd snapshots are served: copy a stopped member's data directory"
_DOWNGRADE = "there is no version to go back to"

_UNARY = {
    "/etcdserverpb.Cluster/MemberAdd": _MEMBERS,
    "/etcdserverpb.Cluster/MemberRemove": _MEMBERS,
    "/etcdserverpb.Cluster/MemberUpdate": _MEMBERS,
    "/etcdserverpb.Cluster/MemberPromote": _MEMBERS,
    "/etcdserverpb.Maintenance/Downgrade": _DOWNGRADE,
}
_STREAMS = {"/etcdserverpb.Maintenance/Snapshot": _SNAPSHOT}


def unary_handlers(context: Context) -> dict[str, UnaryHandler]:
    """Handlers that refuse with a reason, by path."""
    return {path: _refusing(context, path, why) for path, why in _UNARY.items()}


def _refusing(context: Context, path: str, why: str) -> UnaryHandler:
    counts = context.unary(path)
    status = Status(Code.UNIMPLEMENTED, f"twofold: {why}")

    def refuse(call: Call, body: bytes) -> None:
        del body
        counts.started += 1
        fail(call, counts, status)

    return refuse


def stream_factories() -> dict[str, StreamFactory]:
    """Handlers of streams that refuse with a reason, by path."""
    return {path: _refusing_stream(why) for path, why in _STREAMS.items()}


def _refusing_stream(why: str) -> StreamFactory:
    def factory(stream: Stream) -> RefusedStream:
        del stream
        return RefusedStream(f"twofold: {why}")

    return factory


class RefusedStream:
    """Ends the stream as soon as it is open."""

    def __init__(self, text: str) -> None:
        self._text = text

    def opened(self, stream: Stream) -> None:
        """Refuse."""
        stream.fail(Code.UNIMPLEMENTED, self._text)

    def message(self, message: bytes) -> None:
        """Too late to matter."""

    def half_closed(self) -> None:
        """Too late to matter."""

    def writable(self) -> None:
        """There is nothing to send."""

    def closed(self) -> None:
        """There is nothing to forget."""
