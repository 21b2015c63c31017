"""What the state machine costs: puts, lists, checkpoint, hash, start.

Usage: python bench/state_machine.py [puts]

CPU time of one thread; put values of 1 kB over 10 000 keys in batches of 100.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twofold.base.ids import Index, Subterm, Term
from twofold.proto.rpc_pb2 import Compare, PutRequest, RequestOp, TxnRequest
from twofold.raft.types import Entry, EntryKind
from twofold.store.apply.applier import Applier
from twofold.store.apply.commands import Command, CommandKind, pack
from twofold.store.backend.lmdb import LmdbBackend

_BATCH = 100
_KEYS = 10_000


def batches(count: int, first_index: int, kind: CommandKind) -> list[Entry]:
    """Entries of ``_BATCH`` puts, or of as many compare-and-put transactions."""
    entries = []
    for number in range(count // _BATCH):
        commands = []
        first = (first_index + number) * _BATCH
        for sequence in range(first, first + _BATCH):
            key = b"/registry/pods/default/pod-%06d" % (sequence % _KEYS)
            put = PutRequest(key=key, value=b"x" * 1_000)
            body = put.SerializeToString()
            if kind is CommandKind.TXN:
                body = TxnRequest(
                    compare=[Compare(key=key, target=Compare.MOD, mod_revision=1)],
                    failure=[RequestOp(request_put=put)],
                ).SerializeToString()
            commands.append(Command(1, sequence + 1, kind, body))
        index = Index(first_index + number + 1)
        data = pack([(1, first + 1)], commands)
        entries.append(Entry(index, Term(1), Subterm(0), EntryKind.COMMANDS, data))
    return entries


def cost_ms(work: Callable[[], object]) -> float:
    """CPU ms of ``work``."""
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1e3


def apply_all(applier: Applier, entries: list[Entry]) -> None:
    """Apply entries in order."""
    for entry in entries:
        applier.apply(entry)


def checkpoint(backend: LmdbBackend) -> float:
    """Wall ms until a checkpoint is durable."""
    done = threading.Event()
    started = time.monotonic()
    backend.checkpoint(lambda _failure: done.set())
    done.wait()
    return (time.monotonic() - started) * 1e3


def main(puts: int) -> None:
    """Run everything once and print it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "state"
        backend = LmdbBackend(directory)
        applier = Applier(backend)
        for kind in (CommandKind.PUT, CommandKind.TXN):
            entries = batches(puts, applier.applied_index, kind)
            spent = cost_ms(partial(apply_all, applier, entries))
            print(f"{kind.name.lower()}: {spent * 1e3 / puts:.2f} us")
        store = applier.store
        print(f"list from memory: {cost_ms(lambda: store.range(b'/', b'0')):.1f} ms")
        print(f"checkpoint: {checkpoint(backend):.0f} ms")
        for label in ("first", "again"):
            spent = cost_ms(lambda: store.range(b"/", b"0"))
            print(f"list from disk, {label}: {spent:.1f} ms")
        print(f"HashKV: {cost_ms(store.hash_kv):.0f} ms")
        backend.close()
        backend = LmdbBackend(directory)
        print(f"start: {cost_ms(lambda: Applier(backend)):.0f} ms")
        backend.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
