"""Rules of a member without a leader: ask the peer first, then the witness."""

from __future__ import annotations

from twofold.base.ids import Subterm, Term
from twofold.raft import epoch, follower, leader
from twofold.raft.state import Phase, State
from twofold.raft.types import (
    NO_MEMBER,
    Claim,
    ClaimStatus,
    Effects,
    Mode,
    OwnerView,
    PreVote,
    PreVoteReply,
    Role,
    TimeoutNow,
    Vote,
    VoteReply,
)


def tick(state: State, out: Effects) -> None:
    """Go on with whatever is due."""
    now_ms = state.now_ms
    phase = state.phase
    if not state.config.peer:
        _lead_single(state, out)
    elif state.stopping or state.muted:
        pass
    elif phase is Phase.IDLE:
        if now_ms >= state.election_ms:
            lose_leader(state, out)
    elif phase is Phase.PREVOTE:
        if _may_consult(state) and now_ms >= _consult_ms(state):
            consult(state, out)
        elif now_ms >= state.resend_ms:
            _ask_pre_vote(state, out)
    elif phase is Phase.VOTE:
        if now_ms >= state.resend_ms:
            _to_pre_vote(state)
            _ask_pre_vote(state, out)
    elif now_ms >= state.claim_until_ms:
        state.forget_claim()
        _unreachable(state, "", out)


def deadline_ms(state: State) -> int:
    """When ``tick`` has to run next."""
    phase = state.phase
    if not state.config.peer:
        return state.now_ms
    if state.stopping or state.muted:
        return state.now_ms + 3_600_000
    if phase is Phase.IDLE:
        return state.election_ms
    if phase is Phase.PREVOTE:
        if not _may_consult(state):
            return state.resend_ms
        return min(state.resend_ms, _consult_ms(state))
    if phase is Phase.VOTE:
        return state.resend_ms
    return state.claim_until_ms


def _lead_single(state: State, out: Effects) -> None:
    state.term = Term(state.term + 1)
    state.vote = state.member_id
    leader.become(state, Mode.SINGLE, out)


def _may_consult(state: State) -> bool:
    return state.config.witness and not state.stopping


def _consult_ms(state: State) -> int:
    if state.dead:
        return state.backoff.until_ms
    config = state.config
    # The leader gets a head start: its claim costs less than its removal.
    silent_ms = (
        state.heard_ms
        + config.follower_suspicion_ms
        + config.leader_first_ms
        + state.consult_jitter_ms
    )
    # However long the silence was, the pre-vote just sent may be answered.
    asked_ms = state.asked_ms + config.heartbeat_ms
    return max(silent_ms, asked_ms, state.backoff.until_ms)


def lose_leader(state: State, out: Effects) -> None:
    """The leader is silent or dead (or there was none): look for another."""
    if state.leader != NO_MEMBER or state.phase is not Phase.IDLE:
        state.follower_reads.lapse(out)
        state.leader = NO_MEMBER
        state.leader_solo = False
    _to_pre_vote(state)
    if state.config.trace:
        out.trace.append("leader dead" if state.dead else "no leader")
    if state.stopping or state.muted:
        return
    if state.dead and _may_consult(state) and state.now_ms >= state.backoff.until_ms:
        consult(state, out)
    else:
        _ask_pre_vote(state, out)


def _to_pre_vote(state: State) -> None:
    state.role = Role.FOLLOWER
    state.phase = Phase.PREVOTE
    state.forget_claim()
    state.asked_ms = state.now_ms
    state.consult_jitter_ms = state.jitter()
    state.resend_ms = state.now_ms


def _ask_pre_vote(state: State, out: Effects) -> None:
    config = state.config
    state.resend_ms = state.now_ms + 2 * config.heartbeat_ms + state.jitter()
    log = state.log
    term = Term(state.term + 1)
    out.appends.append(PreVote(term, log.last_index, log.last_position))


def heard(state: State, out: Effects) -> None:
    """The peer sent something: it is there, so the witness is not needed."""
    if state.phase is Phase.REHEARSE:
        _to_pre_vote(state)
        state.backoff.reset()
        _ask_pre_vote(state, out)


def receive_pre_vote_reply(state: State, message: PreVoteReply, out: Effects) -> None:
    """With the peer's word that it would vote, the real election costs nothing."""
    if state.phase is not Phase.PREVOTE:
        return
    if message.granted and message.term == state.term + 1:
        campaign(state, False, out)
    elif not message.granted:
        if message.term > state.term:
            follower.become(state, message.term, NO_MEMBER, out)
            _to_pre_vote(state)
        wait_ms = state.config.follower_suspicion_ms // 2 + state.jitter()
        state.resend_ms = state.now_ms + wait_ms


def campaign(state: State, transfer: bool, out: Effects) -> None:
    """Take the next term, vote for ourselves and ask the peer."""
    config = state.config
    state.follower_reads.lapse(out)
    state.forget_claim()
    state.leader = NO_MEMBER
    state.leader_solo = False
    state.role = Role.CANDIDATE
    state.phase = Phase.VOTE
    state.term = Term(state.term + 1)
    state.vote = state.member_id
    state.resend_ms = state.now_ms + config.follower_suspicion_ms + state.jitter()
    if config.trace:
        out.trace.append(f"campaign for term {state.term}")
    log = state.log
    vote = Vote(state.term, log.last_index, log.last_position, transfer)
    out.messages.append(vote)


def receive_timeout_now(state: State, message: TimeoutNow, out: Effects) -> None:
    """The leader hands over to us."""
    if state.role is Role.FOLLOWER and message.term == state.term:
        if state.leader == NO_MEMBER or state.stopping:
            return
        campaign(state, True, out)


def receive_vote_reply(state: State, message: VoteReply, out: Effects) -> None:
    """The peer's vote decides: both members have spoken then."""
    if state.phase is not Phase.VOTE or message.term != state.term:
        return
    if message.granted:
        leader.become(state, Mode.PAIR, out)
        return
    _to_pre_vote(state)
    wait_ms = state.config.follower_suspicion_ms // 2 + state.jitter()
    state.resend_ms = state.now_ms + wait_ms


def consult(state: State, out: Effects) -> None:
    """The peer does not answer: would the witness let us lead alone?

    Only a peer that is proven dead lets us trust the record that we remember.
    A silent one may just have claimed; raising our term only to be refused
    would depose it when the link is back.
    """
    record, last = state.record, state.log.last_position
    config = state.config
    if record is not None:
        if epoch.may_lead_alone(record, state.member_id, config.incarnation, last):
            if state.dead and not state.record_doubted:
                _claim(state, out)
                return
        else:
            _refuse(state, epoch.refusal(record, last), out)
    state.phase = Phase.REHEARSE
    if config.trace:
        out.trace.append(f"ask the witness: may {last.term}.{last.subterm} lead alone")
    state.ask_witness(
        Claim(
            number=state.next_number(),
            term=Term(0),
            subterm=Subterm(0),
            last=last,
            last_index=state.log.last_index,
            sitting=False,
            rehearse=True,
        ),
        out,
    )


def _claim(state: State, out: Effects) -> None:
    known = state.record.term if state.record is not None else 0
    state.term = Term(max(state.term, known) + 1)
    state.vote = state.member_id
    state.role = Role.CANDIDATE
    state.phase = Phase.CLAIM
    # Until it is answered nobody knows whether the record is still the same.
    state.record_doubted = True
    if state.config.trace:
        out.trace.append(f"claim {state.term}.0")
    state.ask_witness(
        Claim(
            number=state.next_number(),
            term=state.term,
            subterm=Subterm(0),
            last=state.log.last_position,
            last_index=state.log.last_index,
            sitting=False,
            rehearse=False,
        ),
        out,
    )


def answered(
    state: State,
    claim: Claim,
    status: ClaimStatus,
    record: OwnerView | None,
    reason: str,
    out: Effects,
) -> None:
    """The witness's answer to the claim or rehearsal that is outstanding."""
    if status is ClaimStatus.UNREACHABLE:
        _unreachable(state, reason, out)
    elif status is ClaimStatus.REFUSED:
        last = state.log.last_position
        config = state.config
        _to_pre_vote(state)
        if record is not None and not epoch.may_lead_alone(
            record, state.member_id, config.incarnation, last
        ):
            _refuse(state, epoch.refusal(record, last), out)
        else:
            state.reason = reason or "the witness refuses"
        state.backoff.fail(state.now_ms, state.jitter())
        state.resend_ms = state.now_ms + 2 * config.heartbeat_ms
    elif claim.rehearse:
        state.refused = False
        if state.stopping:
            _to_pre_vote(state)
        else:
            _claim(state, out)
    else:
        state.record_doubted = False
        leader.become(state, Mode.SOLO, out)


def _refuse(state: State, reason: str, out: Effects) -> None:
    record: OwnerView | None = state.record
    state.refused = record is not None and record.owner != NO_MEMBER
    if state.config.trace and reason != state.reason:
        out.trace.append(f"refused: {reason}")
    state.reason = reason


def _unreachable(state: State, reason: str, out: Effects) -> None:
    state.record_doubted = True
    _to_pre_vote(state)
    state.resend_ms = state.now_ms + 2 * state.config.heartbeat_ms
    if not state.refused:
        state.reason = reason or "the witness does not answer"
    state.backoff.fail(state.now_ms, state.jitter())
    if state.config.trace:
        out.trace.append("no answer from the witness")
