"""What client and helper process say to each other: one JSON text a message.

Both run from the same installation, so there is no version to agree on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.types import Claim, ClaimStatus, Position
from twofold.witness.record import decode, encode
from twofold.witness.session import Answer, Identity, Trouble, Writer

MESSAGE_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Request:
    """``claim`` None: only read the record."""

    number: int
    claim: Claim | None
    writer: Writer


@dataclass(frozen=True, slots=True)
class Reply:
    """``number`` is the request's; reads and writes count since the start."""

    number: int
    answer: Answer
    reads: int
    writes: int
    witness_id: int


def identity_to_text(identity: Identity) -> str:
    """Write an identity for the helper's command line."""
    return json.dumps(
        [
            identity.cluster_id,
            identity.witness_id,
            identity.member_id,
            identity.incarnation,
            *identity.members,
        ]
    )


def identity_from_text(text: str) -> Identity:
    """Read it back."""
    cluster_id, witness_id, member_id, incarnation, first, second = json.loads(text)
    members = (MemberId(first), MemberId(second))
    return Identity(cluster_id, witness_id, MemberId(member_id), incarnation, members)


def request_to_bytes(request: Request) -> bytes:
    """Write a request."""
    claim, writer = request.claim, request.writer
    asked = None
    if claim is not None:
        asked = [
            claim.number,
            claim.term,
            claim.subterm,
            *claim.last,
            claim.last_index,
            claim.sitting,
            claim.rehearse,
        ]
    told = [writer.last_revision, writer.newest_version_seen, writer.peer_incarnation]
    return json.dumps([request.number, asked, told]).encode()


def request_from_bytes(data: bytes) -> Request:
    """Read a request back."""
    number, asked, told = json.loads(data)
    claim = None
    if asked is not None:
        claim = Claim(
            number=asked[0],
            term=Term(asked[1]),
            subterm=Subterm(asked[2]),
            last=Position(Term(asked[3]), Subterm(asked[4])),
            last_index=Index(asked[5]),
            sitting=asked[6],
            rehearse=asked[7],
        )
    return Request(number, claim, Writer(*told))


def reply_to_bytes(reply: Reply) -> bytes:
    """Write a reply."""
    answer = reply.answer
    record = None if answer.record is None else encode(answer.record).hex()
    fields: list[Any] = [
        reply.number,
        answer.number,
        answer.status.value,
        record,
        answer.reason,
        answer.trouble.value,
        reply.reads,
        reply.writes,
        reply.witness_id,
    ]
    return json.dumps(fields).encode()


def reply_from_bytes(data: bytes) -> Reply:
    """Read a reply back."""
    number, claim, status, record, reason, trouble, reads, writes, witness_id = (
        json.loads(data)
    )
    answer = Answer(
        claim,
        ClaimStatus(status),
        None if record is None else decode(bytes.fromhex(record)),
        reason,
        Trouble(trouble),
    )
    return Reply(number, answer, reads, writes, witness_id)
