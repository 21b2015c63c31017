"""Random requests to twofold and to etcd in lock step: every reply is compared."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

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
from twofold.testing.differential import pair as start_pair
from twofold.testing.etcd_requests import KEYS, WIDE, Requests

STEPS = 600
ROUNDS = 9
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


def _run(pair: Pair, requests: Requests, known: Known, label: str) -> None:
    for step in range(STEPS):
        found = _step(pair, requests, known, requests.next())
        assert not found, f"{label}, step {step}: {found}"


def _compare_hashes(pair: Pair, requests: Requests, known: Known, label: str) -> None:
    for revision in range(max(requests.compacted, 1), requests.revision + 1):
        request = rpc.HashKVRequest(revision=revision)
        found = _step(pair, requests, known, request)
        assert not found, f"{label}: {found}"


@pytest.mark.parametrize(
    ("seed", "keys"),
    [*((seed, KEYS) for seed in SEEDS), *((-seed, WIDE) for seed in SEEDS[::2])],
    ids=lambda given: str(given) if isinstance(given, int) else str(len(given)),
)
def test_every_reply_is_etcds(fresh: Pair, seed: int, keys: Sequence[bytes]) -> None:
    requests, known = Requests(seed, keys), Known()
    label = f"seed {seed}"
    _run(fresh, requests, known, label)
    _compare_hashes(fresh, requests, known, label)


def test_every_reply_of_two_members_is_that_of_one_etcd(
    peers: None, tmp_path: Path
) -> None:
    with start_pair(tmp_path, our_members=2) as both:
        requests, known = Requests(3, local_reads=False), Known()
        _run(both, requests, known, "two members")
        _compare_hashes(both, requests, known, "two members")


def test_every_reply_is_etcds_after_a_restart(fresh: Pair) -> None:
    requests, known = Requests(0), Known()
    _run(fresh, requests, known, "first life")
    # A trailing tombstone, compacted: the revision must not go back (etcd#17780).
    everything = rpc.DeleteRangeRequest(key=b"\0", range_end=b"\0")
    assert not _step(fresh, requests, known, everything)
    last = rpc.CompactionRequest(revision=requests.revision, physical=True)
    assert not _step(fresh, requests, known, last)
    # What etcd has not committed to its file it would apply once more.
    time.sleep(0.5)
    for side in fresh:
        side.restart()
    # No hash of a compaction is remembered: now all must be equal.
    known.compactions.clear()
    _compare_hashes(fresh, requests, known, "second life")
    _run(fresh, requests, known, "second life")
    _compare_hashes(fresh, requests, known, "second life")


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

    def agree(self) -> bool:
        return story(self.ours.replies) == story(self.theirs.replies)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def _compare(streams: Sequence[Watching], label: str) -> None:
    taps = [tap for stream in streams for tap in (stream.ours, stream.theirs)]
    settle(taps)
    deadline_s = time.monotonic() + 5.0
    while time.monotonic() < deadline_s and not all(one.agree() for one in streams):
        # A busy machine: one of the servers has not told everything yet.
        settle(taps)
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
                # First, since how much of its history a new watch still gets before
                # its cancel is a matter of time.
                if chance.random() < 0.3:
                    cancel = rpc.WatchCancelRequest(watch_id=chance.randrange(8))
                    stream.send(rpc.WatchRequest(cancel_request=cancel))
                for _ in range(chance.randint(0, 2)):
                    stream.send(rpc.WatchRequest(create_request=requests.watch()))
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
