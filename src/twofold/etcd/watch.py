"""The Watch service: one handler for each stream, many watches on it.

A stream is told at once of what is applied. When its client reads too slowly,
its watches are stalled in the hub, which lets them catch up from history once
there is room again: what waits for a slow client is bounded.

Source: etcd ``server/etcdserver/api/v3rpc/watch.go``.
"""

from __future__ import annotations

import random

from google.protobuf.message import DecodeError

from twofold.etcd import watch_replies as replies
from twofold.etcd.context import Context
from twofold.etcd.errors import (
    BAD_REQUEST,
    TABLE,
    WATCHER_DUPLICATE_ID,
    WATCHER_RANGE_EMPTY,
    Status,
)
from twofold.etcd.front.port import Stream
from twofold.etcd.leader import LeaderGuard, wants_leader
from twofold.etcd.timers import Timer
from twofold.proto import rpc_pb2
from twofold.store.mvcc.watch import Group, Watcher, WatchHub

PATH = "/etcdserverpb.Watch/Watch"
_PROGRESS_INTERVAL_MIN_MS = 100
_UNREAD_REPLIES_MAX = 10_000
_MESSAGE_BYTES = 1 << 20
"""Revisions are put together into messages of about this size."""
_NO_PUT = rpc_pb2.WatchCreateRequest.NOPUT
_NO_DELETE = rpc_pb2.WatchCreateRequest.NODELETE


class WatchService:
    """Makes stream handlers, and ends them all when the server stops."""

    def __init__(self, context: Context, guard: LeaderGuard) -> None:
        self.context = context
        self.guard = guard
        self.counts = context.meter.method(PATH, "bidi_stream")
        self.streams: set[WatchStream] = set()
        self._catching_up = False
        self._random = random.Random()  # noqa: S311 - jitter, not a secret.
        hub = context.facade.store.hub
        if hub.on_behind is None:
            hub.on_behind = self._catch_up_soon

    def watch(self, stream: Stream) -> WatchStream:
        """The handler for one stream."""
        self.counts.started += 1
        return WatchStream(self, stream)

    def cut_all(self, error: str) -> None:
        """End every stream, by a name of the table.

        Clients resume a watch after Unavailable only: any other code ends it.
        """
        for stream in tuple(self.streams):
            stream.cut(TABLE[error])

    def _catch_up_soon(self) -> None:
        """Serve watches that are behind, slice by slice, in later turns."""
        if not self._catching_up:
            self._catching_up = True
            self.context.later(0, self._catch_up)

    def _catch_up(self) -> None:
        self._catching_up = False
        if self.context.facade.store.hub.catch_up():
            self._catch_up_soon()

    def progress_interval_ms(self) -> int:
        """The interval, a little different each time."""
        options = self.context.options
        interval_ms = options.watch_progress_interval_ms
        if interval_ms < _PROGRESS_INTERVAL_MIN_MS:
            interval_ms = _PROGRESS_INTERVAL_MIN_MS
        spread = interval_ms * options.watch_progress_jitter
        return interval_ms + int(self._random.random() * spread)


class Watch:
    """One watch of a stream: the hub's sink for it."""

    __slots__ = ("fragment", "id_field", "notify", "quiet", "stream", "watcher")

    def __init__(
        self, stream: WatchStream, watch_id: int, notify: bool, fragment: bool
    ) -> None:
        self.stream = stream
        self.id_field = replies.watch_id_field(watch_id)
        self.notify = notify
        self.fragment = fragment
        self.quiet = True
        self.watcher: Watcher | None = None

    def events(self, watcher: Watcher, revision: int, groups: list[Group]) -> None:
        """The hub has news."""
        self.quiet = False
        self.stream.send_events(self, watcher, revision, groups)

    def compacted(self, watcher: Watcher, compact_revision: int) -> None:
        """The hub cannot go on: the history this watch needs is gone."""
        self.stream.end_compacted(watcher.watch_id, self, compact_revision)


class WatchStream:
    """The watches of one stream."""

    def __init__(self, service: WatchService, stream: Stream) -> None:
        self._service = service
        self._context = service.context
        self._stream = stream
        self._watches: dict[int, Watch] = {}
        self._next_id = 0
        self._revision = 0
        self._full = False
        self._unread_replies = 0
        self._over = False
        self._timer: Timer | None = None

    # ---- what the front calls

    def opened(self, stream: Stream) -> None:
        """Refuse it if it wants a leader and there is none."""
        self._service.streams.add(self)
        if wants_leader(stream):
            if not self._context.facade.has_leader():
                self.cut(TABLE["NO_LEADER"])
                return
            self._service.guard.add(self)

    def message(self, message: bytes) -> None:
        """One request; an empty one, as from newer clients, means nothing."""
        if self._over:
            return
        # No answer may overtake an event that is older than its revision.
        self._hub.notify()
        try:
            request = rpc_pb2.WatchRequest.FromString(message)
        except DecodeError:
            self.cut(BAD_REQUEST)
            return
        which = request.WhichOneof("request_union")
        if which == "create_request":
            self._create(request.create_request)
        elif which == "cancel_request":
            self._cancel(request.cancel_request.watch_id)
        elif which == "progress_request":
            self._answer_progress_request()

    def half_closed(self) -> None:
        """The client asks nothing more, but still listens."""

    def writable(self) -> None:
        """The client has caught up: let the hub go on."""
        self._full = False
        self._unread_replies = 0
        for watcher in self._watchers():
            self._hub.resume(watcher)

    def closed(self) -> None:
        """Forget everything."""
        if not self._over:
            # The client went away: etcd calls that canceled.
            self._service.counts.fail(TABLE["WATCH_CANCELED"].code)
        self._forget()

    def cut(self, status: Status) -> None:
        """End the stream from our side."""
        if not self._over:
            self._service.counts.fail(status.code)
            self._forget()
            self._stream.fail(status.code, status.text)

    def _forget(self) -> None:
        self._over = True
        self._service.streams.discard(self)
        self._service.guard.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        watchers = self._watchers()
        self._watches.clear()
        for watcher in watchers:
            self._hub.cancel(watcher)

    @property
    def _hub(self) -> WatchHub:
        return self._context.facade.store.hub

    def _watchers(self) -> list[Watcher]:
        return [one.watcher for one in self._watches.values() if one.watcher]

    # ---- requests

    def _create(self, request: rpc_pb2.WatchCreateRequest) -> None:
        key = request.key or b"\0"
        range_end = request.range_end
        watch_id = request.watch_id
        if request.start_revision < 0:
            self._refuse(TABLE["COMPACTED"].text)
        elif range_end and range_end != b"\0" and key >= range_end:
            self._refuse(WATCHER_RANGE_EMPTY)
        elif watch_id and watch_id in self._watches:
            self._refuse(WATCHER_DUPLICATE_ID)
        else:
            watch_id = watch_id or self._free_id()
            watch = Watch(self, watch_id, request.progress_notify, request.fragment)
            self._watches[watch_id] = watch
            # Before the hub knows it: no event may come before this reply.
            self._reply(replies.created(self._current_header(), watch.id_field))
            if not self._over:
                self._start(watch, watch_id, (key, range_end), request)

    def _start(
        self,
        watch: Watch,
        watch_id: int,
        selected: tuple[bytes, bytes],
        request: rpc_pb2.WatchCreateRequest,
    ) -> None:
        watch.watcher = self._hub.watch(
            watch,
            watch_id,
            *selected,
            start_revision=request.start_revision,
            no_put=_NO_PUT in request.filters,
            no_delete=_NO_DELETE in request.filters,
            prev_kv=request.prev_kv,
        )
        if watch.notify and self._timer is None:
            self._set_timer()

    def _refuse(self, reason: str) -> None:
        self._reply(replies.not_created(self._current_header(), reason))

    def _free_id(self) -> int:
        while self._next_id in self._watches:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _cancel(self, watch_id: int) -> None:
        watch = self._watches.pop(watch_id, None)
        if watch is not None:
            if watch.watcher is not None:
                self._hub.cancel(watch.watcher)
            self._reply(replies.canceled(self._current_header(), watch.id_field))

    # ---- progress

    def _answer_progress_request(self) -> None:
        """One answer for all watches, or none: the client asks again."""
        watchers = self._watchers()
        if watchers and self._hub.synced(watchers):
            id_field = replies.watch_id_field(replies.NO_WATCH)
            self._reply(replies.progress(self._current_header(), id_field))

    def _set_timer(self) -> None:
        delay_ms = self._service.progress_interval_ms()
        self._timer = self._context.later(delay_ms, self._tick)

    def _tick(self) -> None:
        self._timer = None
        waiting = False
        for watch in tuple(self._watches.values()):
            if not watch.notify:
                continue
            waiting = True
            # Events since the last tick have told the client as much.
            watcher = watch.watcher
            if watch.quiet and watcher is not None and self._hub.synced([watcher]):
                self._reply(replies.progress(self._current_header(), watch.id_field))
            watch.quiet = True
        if waiting and not self._over:
            self._set_timer()

    # ---- what the hub calls, through a watch

    def send_events(
        self, watch: Watch, watcher: Watcher, revision: int, groups: list[Group]
    ) -> None:
        """Send groups of events, each a revision, which is never split.

        What a slow client has no room for goes back to the hub.
        """
        header = self._header(revision)
        if len(groups) == 1 and not watch.fragment and not self._full:
            self._send(b"".join((header, watch.id_field, groups[0][1])))
            return
        batch: list[bytes] = []
        size = 0
        for main, events in groups:
            if batch and size + len(events) > _MESSAGE_BYTES:
                self._send_batch(watch, header, batch)
                batch, size = [], 0
            if self._full or self._over:
                self._hub.stall(watcher, main)
                return
            batch.append(events)
            size += len(events)
        self._send_batch(watch, header, batch)

    def _send_batch(self, watch: Watch, header: bytes, batch: list[bytes]) -> None:
        if not watch.fragment:
            self._send(b"".join((header, watch.id_field, *batch)))
            return
        options = self._context.options
        bytes_max = options.request_bytes_max + options.response_overhead_bytes
        group = b"".join(batch)
        for piece in replies.fragments(header, watch.id_field, group, bytes_max):
            self._send(piece)

    def end_compacted(self, watch_id: int, watch: Watch, compact_revision: int) -> None:
        """Tell the client where history begins now, and drop the watch."""
        self._watches.pop(watch_id, None)
        # etcd leaves the revision out here, and clients take it so.
        header = self._context.header(0)
        self._reply(replies.compacted(header, watch.id_field, compact_revision))

    # ---- sending

    def _current_header(self) -> bytes:
        return self._header(self._context.facade.store.current_revision)

    def _header(self, revision: int) -> bytes:
        """A header that never goes back: clients order a stream by it."""
        if revision > self._revision:
            self._revision = revision
        return self._context.header(self._revision)

    def _reply(self, message: bytes) -> None:
        """Send an answer; a client that only asks and never reads is cut off."""
        if self._full:
            self._unread_replies += 1
            if self._unread_replies > _UNREAD_REPLIES_MAX:
                self.cut(TABLE["TOO_MANY_REQUESTS"])
                return
        self._send(message)

    def _send(self, message: bytes) -> None:
        if not self._stream.send(message):
            # Watches are stalled one by one, when there are events for them.
            self._full = True
