"""Random requests to twofold and to etcd in lock step: every reply is compared."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest
from google.protobuf.message import Message

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.differential import (
    Excuse,
    Pair,
    Refused,
    WatchTap,
    broken_rules,
    difference,
    settle,
    story,
)
from twofold.testing.etcd_requests import Requests

STEPS = 600
ROUNDS = 12
SEEDS = range(1, 1 + int(os.environ.get("TWOFOLD_SEEDS", "2")))


def _reads_keys_only(request: Message) -> bool:
    if isinstance(request, rpc.RangeRequest):
        return request.keys_only
    if isinstance(request, rpc.TxnRequest):
        ops = [*request.success, *request.failure]
        return any(
            _reads_keys_only(getattr(op, kind))
            for op in ops
            if (kind := op.WhichOneof("request")) is not None
        )
    return False


def _without_leases(message: Message) -> None:
    if isinstance(message, rpc.TxnResponse):
        for op in message.responses:
            _without_leases(op.response_txn)
            _without_leases(op.response_range)
            if not op.response_range.ByteSize():
                continue
    if isinstance(message, rpc.RangeResponse):
        for kv in message.kvs:
            if not kv.value:
                kv.lease = 0


class Known:
    """The differences that may be, each with its reason; they need a history."""

    def __init__(self) -> None:
        self.compactions: set[int] = set()
        self.excuses = [
            Excuse(
                "keys_only: etcd 3.6 gives the lease, 3.7 gives 0",
                _reads_keys_only,
                _without_leases,
            ),
            Excuse(
                "HashKV at a compaction's revision: etcd repeats the hash that it "
                "took while compacting, until it restarts",
                self._at_compaction,
                self._without_hash,
            ),
        ]

    def _at_compaction(self, request: Message) -> bool:
        return (
            isinstance(request, rpc.HashKVRequest)
            and request.revision in self.compactions
        )

    def _without_hash(self, message: Message) -> None:
        if isinstance(message, rpc.HashKVResponse):
            message.ClearField("hash")
            message.ClearField("compact_revision")


def _step(pair: Pair, requests: Requests, known: Known, request: Message) -> str:
    ours, theirs = pair.ask(request)
    if not isinstance(theirs, Refused):
        if isinstance(request, rpc.CompactionRequest):
            requests.compacted = request.revision
            known.compactions.add(request.revision)
        header: rpc.ResponseHeader | None = getattr(theirs, "header", None)
        if header is not None:
            requests.revision = max(requests.revision, header.revision)
    return difference(request, ours, theirs, known.excuses)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_reply_is_etcds(fresh: Pair, seed: int) -> None:
    requests, known = Requests(seed), Known()
    for step in range(STEPS):
        found = _step(fresh, requests, known, requests.next())
        assert not found, f"seed {seed}, step {step}: {found}"
    for revision in range(max(requests.compacted, 1), requests.revision + 1):
        request = rpc.HashKVRequest(revision=revision)
        found = _step(fresh, requests, known, request)
        assert not found, f"seed {seed}: {found}"


class Watching:
    """A watch stream on each side, fed alike."""

    def __init__(self, pair: Pair) -> None:
        self.ours = WatchTap(pair.ours)
        self.theirs = WatchTap(pair.theirs)

    def send(self, request: rpc.WatchRequest) -> None:
        self.ours.send(request)
        self.theirs.send(request)

    def compare(self, label: str) -> None:
        """All that was told so far is the same and keeps the rules."""
        ours, theirs = self.ours.replies, self.theirs.replies
        assert story(ours) == story(theirs), label
        assert broken_rules(ours) == [], label
        assert broken_rules(theirs) == [], f"etcd itself: {label}"

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def _compare(streams: Sequence[Watching], label: str) -> None:
    settle([tap for stream in streams for tap in (stream.ours, stream.theirs)])
    for stream in streams:
        stream.compare(label)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_watch_is_told_what_etcd_tells(fresh: Pair, seed: int) -> None:
    requests, known = Requests(seed), Known()
    chance = random.Random(-seed)
    streams = [Watching(fresh) for _ in range(3)]
    try:
        for round_ in range(ROUNDS):
            label = f"seed {seed}, round {round_}"
            for stream in streams:
                for _ in range(chance.randint(0, 2)):
                    stream.send(rpc.WatchRequest(create_request=requests.watch()))
                if chance.random() < 0.3:
                    cancel = rpc.WatchCancelRequest(watch_id=chance.randrange(8))
                    stream.send(rpc.WatchRequest(cancel_request=cancel))
            # Who is behind could miss what is compacted next, or get what comes
            # after its cancel: on one side only.
            _compare(streams, label)
            for _ in range(chance.randint(5, 40)):
                request = requests.next()
                while isinstance(request, rpc.CompactionRequest):
                    request = requests.next()
                found = _step(fresh, requests, known, request)
                assert not found, f"{label}: {found}"
            _compare(streams, label)
            if chance.random() < 0.3:
                _step(fresh, requests, known, requests.compaction())
    finally:
        for stream in streams:
            stream.close()
