"""A snapshot carries the whole state, or is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, Subterm, Term
from twofold.proto import rpc_pb2
from twofold.raft.types import Entry, EntryKind, Position
from twofold.store.apply.applier import Applier
from twofold.store.apply.commands import Command, CommandKind, pack
from twofold.store.backend.build import LmdbBuilder
from twofold.store.backend.lmdb import LmdbBackend
from twofold.store.backend.memory import MemoryBackend, MemoryBuilder, MemoryDisk
from twofold.store.errors import SnapshotCorrupt
from twofold.store.snap.reader import SnapshotReader, capture
from twofold.store.snap.stream import END, HEAD, PAIRS, pack_end, seal
from twofold.store.snap.writer import SnapshotWriter


def fill(applier: Applier, count: int) -> None:
    commands = [
        Command(
            1,
            applier.applied_index * 1_000 + number + 1,
            CommandKind.PUT,
            rpc_pb2.PutRequest(
                key=b"k%d" % number, value=b"v" * 900
            ).SerializeToString(),
        )
        for number in range(count)
    ]
    grant = rpc_pb2.LeaseGrantRequest(ID=applier.applied_index + 5, TTL=60)
    commands.append(
        Command(
            2, commands[-1].sequence, CommandKind.LEASE_GRANT, grant.SerializeToString()
        )
    )
    entry = Entry(
        Index(applier.applied_index + 1),
        Term(3),
        Subterm(1),
        EntryKind.COMMANDS,
        pack([(1, 1)], commands),
    )
    applier.apply(entry)


@pytest.fixture
def source() -> Applier:
    applier = Applier(MemoryBackend())
    fill(applier, 100)
    applier.backend.checkpoint(lambda _failure: None)
    return applier


def chunks(applier: Applier, chunk_bytes: int = 10_000) -> list[bytes]:
    assert isinstance(applier.backend, MemoryBackend)
    reader = SnapshotReader(applier.backend.view(), chunk_bytes=chunk_bytes)
    found = list(reader.chunks())
    reader.close()
    return found


def test_it_holds_the_last_checkpoint_and_nothing_later(source: Applier) -> None:
    assert isinstance(source.backend, MemoryBackend)
    reader = capture(source.backend)
    value = source.store.hash_kv()
    fill(source, 10)
    source.backend.checkpoint(lambda _failure: None)
    assert (reader.index, reader.position) == (1, Position(Term(3), Subterm(1)))
    disk = MemoryDisk()
    writer = SnapshotWriter(MemoryBuilder(disk))
    for chunk in reader.chunks():
        writer.add(chunk)
    reader.close()
    assert writer.complete
    assert (writer.index, writer.position) == (1, Position(Term(3), Subterm(1)))
    writer.install()
    copy = Applier(MemoryBackend(disk))
    assert copy.store.hash_kv() == value
    assert copy.applied_index == 1
    assert list(copy.lessor.leases()) == [(5, 60)]


def test_it_replaces_a_directory_that_was_in_use(
    source: Applier, tmp_path: Path
) -> None:
    backend = LmdbBackend(tmp_path / "state")
    applier = Applier(backend)
    fill(applier, 5)
    done = threading.Event()
    backend.checkpoint(lambda _failure: done.set())
    assert done.wait(30)
    # A map so small that it has to grow.
    builder = LmdbBuilder(tmp_path / "state", map_size_bytes=1 << 16)
    writer = SnapshotWriter(builder)
    for chunk in chunks(source):
        writer.add(chunk)
    store = applier.store
    backend.close()
    writer.install()
    backend = LmdbBackend(tmp_path / "state")
    applier.restore(backend)
    assert applier.store is store
    assert applier.store.hash_kv() == source.store.hash_kv()
    assert applier.applied_index == source.applied_index
    fill(applier, 3)
    fill(source, 3)
    assert applier.store.hash_kv() == source.store.hash_kv()
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "data.mdb",
        "lock.mdb",
    ]
    backend.close()


def test_an_abandoned_one_leaves_the_old_state(source: Applier, tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path / "state")
    writer = SnapshotWriter(LmdbBuilder(tmp_path / "state"))
    for chunk in chunks(source)[:3]:
        writer.add(chunk)
    with pytest.raises(InvariantError):
        writer.install()
    writer.abandon()
    backend.close()
    backend = LmdbBackend(tmp_path / "state")
    assert Applier(backend).applied_index == 0
    backend.close()


def test_every_damaged_byte_is_noticed(source: Applier) -> None:
    original = chunks(source, 1_000)[1]
    for at in range(0, len(original), 7):
        damaged = bytearray(original)
        damaged[at] ^= 1
        writer = SnapshotWriter(MemoryBuilder(MemoryDisk()))
        writer.add(chunks(source, 1_000)[0]) if at == 0 else None
        with pytest.raises(SnapshotCorrupt):
            writer.add(bytes(damaged))


def test_chunks_must_come_whole_and_in_order(source: Applier) -> None:
    stream = chunks(source)

    def refused(*parts: bytes) -> bool:
        writer = SnapshotWriter(MemoryBuilder(MemoryDisk()))
        try:
            for part in parts:
                writer.add(part)
        except SnapshotCorrupt:
            return True
        return not writer.complete

    head, first, second, end = stream[0], stream[1], stream[2], stream[-1]
    assert not refused(*stream)
    assert refused(*stream[:-1])
    assert refused(first)
    assert refused(head, second)
    assert refused(head, head)
    assert refused(*stream, end)
    assert refused(head, first[:-1])
    assert refused(b"")
    assert refused(head, seal(END, 1, pack_end(5)))
    assert refused(head, seal(END, 1, b"x"))
    assert refused(head, seal(9, 1, b""))
    assert refused(head, seal(PAIRS, 1, b"\x09"))
    assert refused(head, seal(PAIRS, 1, b"\x00\x05"))
    assert refused(head, seal(PAIRS, 1, b"\x00\x05\x00\x05\x00\x00\x00abc"))
    assert refused(seal(HEAD, 0, b"2FSNAP"))
    assert refused(seal(HEAD, 0, b"OTHERX\x01\x00" + bytes(24)))
