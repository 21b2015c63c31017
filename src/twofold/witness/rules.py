"""When a member may claim sole ownership; pure.

C1 the position is new, and within the record's term only its owner goes on;
C2 the claimer owns the record with the same data directory, or holds an entry
   strictly beyond it, hence everything that may be committed;
C3 it is our record, not foreign, rolled back or replaced;
C4 a sitting leader claims a fresh subterm of its term, a candidate subterm 0
   of a term it has no entries of yet.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from twofold.base.ids import MemberId, Subterm, Term
from twofold.base.invariant import check
from twofold.raft.types import Claim, Position
from twofold.witness.record import Purpose, WitnessRecord, utc_text


class Clause(Enum):
    """The condition that decided."""

    NONE = "allowed"
    NEWER = "C1"
    HOLDS_ALL = "C2"
    OURS = "C3"
    WELL_FORMED = "C4"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a claim is allowed, and why not, in words for an operator."""

    allowed: bool
    reason: str = ""
    clause: Clause = Clause.NONE


ALLOWED = Verdict(allowed=True)


def may_claim(
    record: WitnessRecord,
    claim: Claim,
    me: MemberId,
    incarnation: int,
    cluster_id: int,
    witness_id: int,
    newest_version_seen: int,
    *,
    members: Collection[MemberId] = (),
    last_revision: int = 0,
) -> Verdict:
    """Judge a claim, or its rehearsal, against the record just read.

    ``members``: those of the claimer's configuration, () to leave that check
    to the caller. ``last_revision`` only goes into the reason.
    """
    check(me != 0 and incarnation != 0, "a claimer has an id and an incarnation")
    foreign = usable(record, cluster_id, witness_id, newest_version_seen)
    if not foreign.allowed:
        return foreign
    if members and me not in members:
        return _refuse(Clause.OURS, f"member {me:016x} is not in its configuration")
    wanted = wanted_position(record, claim)
    malformed = _malformed(claim, wanted)
    if malformed:
        return _refuse(Clause.WELL_FORMED, malformed)
    # C2 before C1: it does not pass with time, so it is what to tell first.
    owned = me == record.owner and incarnation == record.owner_incarnation
    # Strictly: with >= a member that lacks the owner's last writes would pass.
    if not owned and claim.last <= record.position:
        return _refuse(
            Clause.HOLDS_ALL, _may_lack_writes(record, claim, me, last_revision)
        )
    if wanted <= record.position:
        return _refuse(
            Clause.NEWER,
            f"{_place(wanted)} is not newer than the record's"
            f" {_place(record.position)} of {_owner(record)}",
        )
    if wanted.term == record.term and me != record.owner:
        return _refuse(
            Clause.NEWER, f"term {record.term} was claimed by {_owner(record)}"
        )
    return ALLOWED


def usable(
    record: WitnessRecord, cluster_id: int, witness_id: int, newest_version_seen: int
) -> Verdict:
    """Judge whether the record is ours at all (C3)."""
    if record.cluster_id != cluster_id:
        return _refuse(
            Clause.OURS,
            f"the record is of cluster {record.cluster_id:016x},"
            f" ours is {cluster_id:016x}: wrong URL, or another cluster's witness",
        )
    if record.witness_id != witness_id:
        return _refuse(
            Clause.OURS,
            f"the record is of witness {record.witness_id:016x},"
            f" ours is {witness_id:016x}: the witness was replaced or set up anew",
        )
    if record.version < newest_version_seen:
        return _refuse(
            Clause.OURS,
            f"the record is version {record.version}, but version"
            f" {newest_version_seen} has been seen: the witness went back in time"
            " (restored from a backup?); replace it",
        )
    if record.purpose is Purpose.SEALED:
        return _refuse(Clause.OURS, "the witness was sealed when it was replaced")
    return ALLOWED


def wanted_position(record: WitnessRecord, claim: Claim) -> Position:
    """What the claim asks for; a rehearsal of term 0 asks for the next term."""
    if claim.rehearse and claim.term == 0:
        return Position(Term(max(record.term, claim.last.term) + 1), Subterm(0))
    return Position(claim.term, claim.subterm)


def _malformed(claim: Claim, wanted: Position) -> str:
    """Say how a claim breaks C4; "" if it does not."""
    if claim.sitting:
        if wanted <= claim.last:
            return f"a sitting leader needs a fresh subterm, not {_place(wanted)}"
        return ""
    if wanted.subterm != 0:
        return f"a candidate claims subterm 0, not {_place(wanted)}"
    if wanted.term <= claim.last.term:
        return f"a candidate needs a new term, not {wanted.term}"
    return ""


def _may_lack_writes(
    record: WitnessRecord, claim: Claim, me: MemberId, last_revision: int
) -> str:
    if record.owner == 0:
        return (
            "the cluster has never run: its first start needs both members"
            f" (the record was made at {utc_text(record.wall_time_ms)})"
        )
    if record.owner == me:
        who = (
            f"this member owned the witness since {utc_text(record.wall_time_ms)}"
            " with another data directory, which"
        )
        choice = "put the old data directory back"
    else:
        who = (
            f"{_owner(record)} owns the witness since"
            f" {utc_text(record.wall_time_ms)} and"
        )
        choice = "start the other member (recovery is automatic)"
    return (
        f"{who} may hold acknowledged writes that this member lacks."
        f" Here: last entry {_place(claim.last)} index {claim.last_index}"
        f" revision {last_revision}. Owner when it claimed"
        f" {_place(record.position)}: index {record.last_index}"
        f" revision {record.last_revision}."
        f" Choices: {choice}; or recover the owner's disk; or, losing those"
        f" writes, force-takeover --accept-data-loss --as {me:016x}"
    )


def _refuse(clause: Clause, reason: str) -> Verdict:
    return Verdict(allowed=False, reason=reason, clause=clause)


def _owner(record: WitnessRecord) -> str:
    return f"member {record.owner:016x}" if record.owner else "nobody"


def _place(position: Position) -> str:
    return f"({position.term}, {position.subterm})"
