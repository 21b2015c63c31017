"""C1 to C4, clause by clause."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.base.errors import InvariantError
from twofold.base.ids import Index, MemberId, Revision, Subterm, Term
from twofold.raft.types import Claim, Position
from twofold.witness.record import Incarnation, Purpose, WitnessRecord
from twofold.witness.rules import Clause, Verdict, may_claim, wanted_position

ME, PEER = MemberId(0xA1), MemberId(0xB2)
MINE, OTHER = 0x1111, 0x2222


def at(term: int, subterm: int) -> Position:
    return Position(Term(term), Subterm(subterm))


def record(
    term: int, subterm: int, owner: MemberId = PEER, incarnation: int = OTHER
) -> WitnessRecord:
    return WitnessRecord(
        cluster_id=7,
        witness_id=9,
        version=20,
        term=Term(term),
        subterm=Subterm(subterm),
        owner=owner,
        owner_incarnation=incarnation,
        purpose=Purpose.CLAIM if owner else Purpose.INIT,
        members=(Incarnation(ME, MINE), Incarnation(PEER, OTHER)),
        nonce=bytes(16),
        last=at(term, 0),
        last_index=Index(50),
        last_revision=Revision(44),
        wall_time_ms=1_767_225_600_000,
    )


def claim(
    term: int,
    subterm: int,
    last: tuple[int, int],
    *,
    sitting: bool = False,
    rehearse: bool = False,
) -> Claim:
    return Claim(
        1, Term(term), Subterm(subterm), at(*last), Index(40), sitting, rehearse
    )


def judge(stored: WitnessRecord, asked: Claim, seen: int = 0) -> Verdict:
    return may_claim(
        stored, asked, ME, MINE, 7, 9, seen, members=(ME, PEER), last_revision=33
    )


# ---- C1 ---------------------------------------------------------------------


def test_a_position_is_never_claimed_twice() -> None:
    mine = record(5, 2, ME, MINE)
    for subterm in (0, 1, 2):
        verdict = judge(mine, claim(5, subterm, (4, 0), sitting=True))
        assert verdict.clause is Clause.NEWER
    assert judge(mine, claim(5, 3, (5, 2), sitting=True)).allowed


def test_an_older_term_is_refused_to_the_owner_too() -> None:
    assert judge(record(5, 2, ME, MINE), claim(4, 0, (3, 0))).clause is Clause.NEWER


def test_within_a_term_only_its_owner_claims_again() -> None:
    # The claimer is beyond the record, so that C2 alone would let it pass.
    verdict = judge(record(5, 0), claim(5, 2, (5, 1), sitting=True))
    assert verdict.clause is Clause.NEWER
    assert f"{PEER:016x}" in verdict.reason


def test_nobody_claims_term_0() -> None:
    fresh = record(0, 0, MemberId(0), 0)
    assert judge(fresh, claim(0, 1, (0, 0), sitting=True)).clause is Clause.HOLDS_ALL


def test_what_time_does_not_cure_is_told_first() -> None:
    assert judge(record(5, 2), claim(5, 0, (4, 0))).clause is Clause.HOLDS_ALL


# ---- C2 ---------------------------------------------------------------------


def test_the_owner_claims_again_with_the_same_data_directory() -> None:
    assert judge(record(5, 2, ME, MINE), claim(6, 0, (5, 0))).allowed


def test_a_wiped_owner_is_refused() -> None:
    verdict = judge(record(5, 2, ME, MINE + 1), claim(6, 0, (5, 2)))
    assert verdict.clause is Clause.HOLDS_ALL
    assert "another data directory" in verdict.reason


def test_a_wiped_owner_that_has_caught_up_beyond_its_record_passes() -> None:
    assert judge(record(5, 2, ME, MINE + 1), claim(6, 0, (5, 3))).allowed


@pytest.mark.parametrize("last", [(5, 2), (5, 1), (4, 9), (0, 0)])
def test_the_other_member_needs_an_entry_strictly_beyond(last: tuple[int, int]) -> None:
    assert judge(record(5, 2), claim(6, 0, last)).clause is Clause.HOLDS_ALL


@pytest.mark.parametrize("last", [(5, 3), (6, 0)])
def test_the_other_member_passes_with_an_entry_beyond(last: tuple[int, int]) -> None:
    assert judge(record(5, 2), claim(7, 0, last)).allowed


def test_a_cluster_that_never_ran_needs_both_members() -> None:
    verdict = judge(record(0, 0, MemberId(0), 0), claim(1, 0, (0, 0)))
    assert verdict.clause is Clause.HOLDS_ALL
    assert "first start needs both members" in verdict.reason
    assert "2026-01-01T00:00:00Z" in verdict.reason


def test_the_first_failover_of_a_cluster_passes() -> None:
    assert judge(record(0, 0, MemberId(0), 0), claim(2, 0, (1, 0))).allowed


def test_a_forced_record_binds_like_any_other() -> None:
    forced = replace(record(1005, 0), purpose=Purpose.FORCED)
    assert judge(forced, claim(1006, 0, (6, 0))).clause is Clause.HOLDS_ALL


def test_the_refusal_tells_the_operator_everything() -> None:
    reason = judge(record(5, 2), claim(6, 0, (5, 1))).reason
    for told in (
        f"member {PEER:016x} owns the witness since 2026-01-01T00:00:00Z",
        "may hold acknowledged writes that this member lacks",
        "last entry (5, 1) index 40 revision 33",
        "(5, 2): index 50 revision 44",
        "start the other member",
        "recover the owner's disk",
        f"force-takeover --accept-data-loss --as {ME:016x}",
    ):
        assert told in reason


# ---- C3 ---------------------------------------------------------------------

GOOD = claim(6, 0, (5, 3))


def test_another_clusters_record_is_refused() -> None:
    verdict = judge(replace(record(5, 2), cluster_id=8), GOOD)
    assert verdict.clause is Clause.OURS
    assert "cluster" in verdict.reason


def test_another_witness_is_refused() -> None:
    assert judge(replace(record(5, 2), witness_id=8), GOOD).clause is Clause.OURS


def test_a_record_older_than_ever_seen_is_refused_to_the_owner_too() -> None:
    assert judge(record(5, 2), GOOD, seen=20).allowed
    assert judge(record(5, 2), GOOD, seen=21).clause is Clause.OURS
    mine = record(5, 2, ME, MINE)
    verdict = judge(mine, claim(6, 0, (5, 2)), seen=21)
    assert verdict.clause is Clause.OURS
    assert "back in time" in verdict.reason


def test_a_sealed_witness_is_refused() -> None:
    sealed = replace(record(5, 2, ME, MINE), purpose=Purpose.SEALED)
    assert judge(sealed, claim(6, 0, (5, 3))).clause is Clause.OURS


def test_a_claimer_outside_its_own_configuration_is_refused() -> None:
    verdict = may_claim(record(5, 2), GOOD, ME, MINE, 7, 9, 0, members=(PEER,))
    assert verdict.clause is Clause.OURS
    assert may_claim(record(5, 2), GOOD, ME, MINE, 7, 9, 0).allowed


# ---- C4 ---------------------------------------------------------------------


def test_a_candidate_claims_subterm_0() -> None:
    assert judge(record(5, 2), claim(6, 1, (5, 3))).clause is Clause.WELL_FORMED


@pytest.mark.parametrize("term", [5, 6])
def test_a_candidate_claims_a_term_it_has_no_entry_of(term: int) -> None:
    verdict = judge(record(4, 0), claim(term, 0, (6, 0)))
    assert verdict.clause is Clause.WELL_FORMED


@pytest.mark.parametrize("wanted", [(6, 1), (6, 0), (5, 9)])
def test_a_sitting_leader_claims_a_fresh_subterm(wanted: tuple[int, int]) -> None:
    verdict = judge(record(5, 2), claim(*wanted, (6, 1), sitting=True))
    assert verdict.clause is Clause.WELL_FORMED


def test_a_sitting_leader_may_claim_before_its_first_entry_is_durable() -> None:
    assert judge(record(5, 2), claim(6, 1, (5, 3), sitting=True)).allowed


# ---- rehearsals and misuse ----------------------------------------------------


def test_a_rehearsal_of_term_0_asks_for_the_next_free_term() -> None:
    asked = claim(0, 0, (5, 3), rehearse=True)
    assert wanted_position(record(5, 2), asked) == at(6, 0)
    assert judge(record(5, 2), asked).allowed
    assert wanted_position(record(5, 2), claim(0, 0, (8, 0), rehearse=True)) == at(9, 0)
    refused = judge(record(5, 2), claim(0, 0, (5, 2), rehearse=True))
    assert refused.clause is Clause.HOLDS_ALL


def test_a_claimer_without_identity_is_our_own_fault() -> None:
    with pytest.raises(InvariantError):
        may_claim(record(5, 2), GOOD, MemberId(0), MINE, 7, 9, 0)
    with pytest.raises(InvariantError):
        may_claim(record(5, 2), GOOD, ME, 0, 7, 9, 0)


small = st.integers(min_value=0, max_value=3)


@given(
    stored=st.tuples(small, small),
    owner=st.sampled_from([(ME, MINE), (ME, 99), (PEER, OTHER)]),
    asked=st.tuples(small, small),
    last=st.tuples(small, small),
    sitting=st.booleans(),
)
def test_what_is_allowed_is_exactly_the_conjunction(
    stored: tuple[int, int],
    owner: tuple[MemberId, int],
    asked: tuple[int, int],
    last: tuple[int, int],
    sitting: bool,
) -> None:
    if stored == (0, 0):
        owner = (MemberId(0), 0)
    c1 = asked > stored and (asked[0] != stored[0] or owner[0] == ME)
    c2 = owner == (ME, MINE) or last > stored
    c4 = asked > last if sitting else asked[1] == 0 and asked[0] > last[0]
    verdict = judge(record(*stored, *owner), claim(*asked, last, sitting=sitting))
    assert verdict.allowed == (c1 and c2 and c4)
    assert bool(verdict.reason) == (not verdict.allowed)
