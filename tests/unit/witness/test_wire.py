"""Messages between client and helper survive the way."""

from __future__ import annotations

import pytest

from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import Claim, ClaimStatus, Position
from twofold.witness.record import Incarnation, WitnessRecord, initial_record
from twofold.witness.session import Answer, Identity, Trouble, Writer
from twofold.witness.wire import (
    MESSAGE_BYTES_MAX,
    Reply,
    Request,
    identity_from_text,
    identity_to_text,
    reply_from_bytes,
    reply_to_bytes,
    request_from_bytes,
    request_to_bytes,
)

BIG = (1 << 64) - 1
CLAIM = Claim(
    BIG, Term(BIG), Subterm(3), Position(Term(4), Subterm(5)), Index(6), True, False
)
MEMBERS = (MemberId(BIG), MemberId(2))


@pytest.mark.parametrize("claim", [None, CLAIM])
def test_a_request_survives(claim: Claim | None) -> None:
    request = Request(1, claim, Writer(BIG, 2, 3))
    assert request_from_bytes(request_to_bytes(request)) == request


RECORD = initial_record(
    cluster_id=BIG,
    witness_id=9,
    members=(Incarnation(MEMBERS[0], BIG), Incarnation(MEMBERS[1], 0)),
    nonce=bytes(range(16)),
    wall_time_ms=5,
)


@pytest.mark.parametrize("record", [None, RECORD])
@pytest.mark.parametrize("status", list(ClaimStatus))
@pytest.mark.parametrize("trouble", list(Trouble))
def test_a_reply_survives(
    record: WitnessRecord | None, status: ClaimStatus, trouble: Trouble
) -> None:
    answer = Answer(7, status, record, "because ü", trouble)
    reply = Reply(1, answer, 2, 3, BIG)
    data = reply_to_bytes(reply)
    assert reply_from_bytes(data) == reply
    assert len(data) < MESSAGE_BYTES_MAX


def test_an_identity_survives() -> None:
    identity = Identity(BIG, 0, MEMBERS[0], BIG, MEMBERS)
    assert identity_from_text(identity_to_text(identity)) == identity
