"""Records and identities that the witness suites share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import Claim, Position
from twofold.witness.backends.files import Files
from twofold.witness.backends.share import ShareBackend
from twofold.witness.record import Incarnation, WitnessRecord, encode, initial_record
from twofold.witness.session import Identity

A, B = MemberId(0xA1), MemberId(0xB2)


@pytest.fixture(scope="session")
def first_record() -> WitnessRecord:
    """Version 1 of cluster 7 on witness 9, of members A1 and B2."""
    return initial_record(
        cluster_id=7,
        witness_id=9,
        members=(Incarnation(A, 0), Incarnation(B, 0)),
        nonce=bytes(16),
        wall_time_ms=500,
    )


@pytest.fixture
def make(first_record: WitnessRecord) -> Callable[[int], bytes]:
    """Bytes of a record of a version, new ones with every call."""

    def build(version: int) -> bytes:
        return encode(replace(first_record, version=version, nonce=os.urandom(16)))

    return build


@pytest.fixture
def identities() -> tuple[Identity, Identity]:
    """Who A and B are."""
    return (
        Identity(7, 9, A, 0x1111, (A, B)),
        Identity(7, 9, B, 0x2222, (A, B)),
    )


@pytest.fixture
def candidate() -> Callable[..., Claim]:
    """Claims of a candidate for a term, with entries up to (last, 0)."""

    def build(term: int, last: int = 1, *, rehearse: bool = False) -> Claim:
        position = Position(Term(last), Subterm(0))
        return Claim(term, Term(term), Subterm(0), position, Index(40), False, rehearse)

    return build


@pytest.fixture
def medium(tmp_path: Path, first_record: WitnessRecord) -> Path:
    """A directory that holds the first record."""
    directory = tmp_path / "witness"
    directory.mkdir()
    assert ShareBackend(Files(directory)).publish(encode(first_record), 1)
    return directory
