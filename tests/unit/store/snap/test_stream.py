"""The test vectors of docs/formats/snapshot.md and backend.md."""

from __future__ import annotations

from twofold.base.ids import Index, Subterm, Term
from twofold.raft.types import Position
from twofold.store.apply.dedupe import Dedupe
from twofold.store.mvcc.revision import live_key, tombstone_key
from twofold.store.snap.stream import END, HEAD, pack_end, pack_head, seal, unseal


def test_a_head_is_written_as_documented() -> None:
    chunk = seal(HEAD, 0, pack_head(Index(5), Position(Term(2), Subterm(1))))
    assert chunk.hex() == (
        "d8b0982d01000000003246534e41500100000000"
        "000000000500000000000000020000000000000001"
    )
    assert unseal(chunk).kind == HEAD


def test_an_end_is_written_as_documented() -> None:
    assert seal(END, 1, pack_end(0)).hex() == "23661b2903010000000000000000000000"


def test_revision_keys_are_written_as_documented() -> None:
    assert live_key(2, 0).hex() == "00000000000000025f0000000000000000"
    assert tombstone_key(3, 1).hex() == "00000000000000035f000000000000000174"


def test_dedupe_is_written_as_documented() -> None:
    dedupe = Dedupe()
    dedupe.begin(((7, 3),))
    dedupe.first_time(7, 4)
    assert dedupe.pack().hex() == (
        "0100000007000000000000000300000000000000010000000400000000000000"
    )
