"""The follower's rules: take entries, vote, pass reads on."""

from __future__ import annotations

from twofold.base.ids import Index, MemberId, Term
from twofold.base.invariant import check
from twofold.raft.log import Log
from twofold.raft.state import Phase, State
from twofold.raft.types import (
    NO_INDEX,
    NO_MEMBER,
    Append,
    AppendReply,
    Effects,
    Entry,
    OwnerView,
    Position,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    ReadState,
    Role,
    SnapshotInstalled,
    Vote,
    VoteReply,
)


def become(state: State, term: Term, leader: MemberId, out: Effects) -> None:
    """Follow ``leader`` (or nobody yet) in ``term``; whatever we were ends."""
    if term > state.term:
        state.term = term
        state.vote = NO_MEMBER
    config = state.config
    wait_ms = config.follower_suspicion_ms
    if state.role is Role.LEADER:
        state.reads.lapse(out)
        state.transfer_ms = 0
        # The peer is alive, or another leader is: nothing to wait for.
        wait_ms = 0
    state.follower_reads.lapse(out)
    state.forget_claim()
    state.role = Role.FOLLOWER
    state.phase = Phase.IDLE
    state.leader = leader
    state.leader_solo = False
    state.election_ms = state.now_ms + wait_ms + state.jitter()
    if config.trace:
        whom = f"follow {leader:x}" if leader else "no leader"
        out.trace.append(f"{whom} in term {term}")


def receive_append(state: State, message: Append, out: Effects) -> None:
    """Take the leader's entries, or say where our log leaves its."""
    check(state.role is not Role.LEADER, "one leader a term", term=state.term)
    peer = state.config.peer
    news = state.leader != peer or state.phase is not Phase.IDLE
    if news:
        become(state, message.term, peer, out)
        state.refused = False
        state.reason = ""
        state.backoff.reset()
    state.leader_solo = message.solo
    state.election_ms = state.now_ms + state.config.follower_suspicion_ms

    log = state.log
    prev, entries = message.prev_index, message.entries
    if prev < log.snapshot_index:
        # All up to the snapshot is committed, hence the same at the leader.
        reach = prev + len(entries)
        if reach <= log.snapshot_index:
            _reply(state, message, reach, news, out)
            return
        entries = entries[log.snapshot_index - prev :]
        prev = log.snapshot_index
    elif log.term_at(prev) != message.prev_term:
        _reject(state, message, out)
        return
    if entries:
        _take(state, entries, out)
    match = prev + len(entries)
    if message.commit > state.commit:
        state.commit = Index(max(state.commit, min(message.commit, match)))
    _reply(state, message, match, news, out)


def _take(state: State, entries: tuple[Entry, ...], out: Effects) -> None:
    log = state.log
    if entries[0].index <= log.last_index:
        for position, entry in enumerate(entries):
            if entry.index > log.last_index:
                entries = entries[position:]
                break
            if log.term_at(entry.index) != entry.term:
                check(entry.index > state.commit, "keep what is committed")
                log.cut(entry.index)
                entries = entries[position:]
                break
        else:
            return
    log.append(entries)
    out.entries.extend(entries)
    # More log may mean that we may lead alone again.
    state.refused = False


def _reply(state: State, message: Append, match: int, news: bool, out: Effects) -> None:
    record = _record(state, message)
    if message.entries or news:
        reply = AppendReply(state.term, True, Index(match), message.round, record)
        out.messages.append(reply)
        return
    # A bare heartbeat is answered before our disk is done with what came
    # earlier: reads at the leader wait for it, and it claims nothing that is
    # not durable already.
    match = min(match, state.log.persisted)
    out.appends.append(
        AppendReply(state.term, True, Index(match), message.round, record)
    )


def _record(state: State, message: Append) -> OwnerView | None:
    # Echoing it tells the leader that it need not send it any more.
    return state.record if message.record is not None else state.news()


def _reject(state: State, message: Append, out: Effects) -> None:
    log = state.log
    if message.prev_index > log.last_index:
        hint = log.last_index
    else:
        hint = log.before_term(message.prev_index)
    hint = max(hint, state.commit)
    if state.config.trace and hint != state.traced_hint:
        out.trace.append(f"lacks {message.prev_term}/{message.prev_index}: {hint}")
        state.traced_hint = hint
    record = _record(state, message)
    out.messages.append(AppendReply(state.term, False, hint, message.round, record))


def reject_old_append(state: State, message: Append, out: Effects) -> None:
    """Tell a leader of the past that its term is over."""
    out.messages.append(
        AppendReply(state.term, False, state.log.last_index, message.round, None)
    )


def is_current(log: Log, last: Position, last_index: Index) -> bool:
    """Whether a candidate's log is at least as new as ours (Raft §5.4.1)."""
    ours = log.last_position.term
    return last.term > ours or (last.term == ours and last_index >= log.last_index)


def receive_pre_vote(state: State, message: PreVote, out: Effects) -> None:
    """Say whether we would vote; changes nothing but our own eagerness."""
    granted = (
        message.term > state.term
        and state.role is not Role.LEADER
        and state.phase is not Phase.CLAIM
        and is_current(state.log, message.last, message.last_index)
        and not _prefers_itself(state, message)
    )
    if granted:
        # Give way: two members that ask at once would split the vote.
        give_way_ms = state.config.follower_suspicion_ms + state.jitter()
        state.election_ms = max(state.election_ms, state.now_ms + give_way_ms)
        state.resend_ms = max(state.resend_ms, state.now_ms + give_way_ms)
    elif (
        message.term > state.term
        and state.role is Role.FOLLOWER
        and not is_current(state.log, message.last, message.last_index)
    ):
        # Only we can win; the peer that asks leads nobody any more.
        state.election_ms = min(state.election_ms, state.now_ms + state.jitter())
        state.resend_ms = min(state.resend_ms, state.election_ms)
    if state.config.trace:
        verdict = "would" if granted else "would not"
        out.trace.append(f"{verdict} vote for the peer in term {message.term}")
    term = message.term if granted else state.term
    out.appends.append(PreVoteReply(term, granted))


def _prefers_itself(state: State, message: PreVote) -> bool:
    """With equal logs and both asking, the higher member id goes first."""
    log = state.log
    return (
        state.phase is Phase.PREVOTE
        and not state.stopping
        and state.member_id > state.config.peer
        and message.last_index == log.last_index
        and message.last.term == log.last_position.term
    )


def receive_vote(state: State, message: Vote, out: Effects) -> None:
    """Vote once a term, for a log that has all that ours has."""
    peer = state.config.peer
    granted = (
        message.term == state.term
        and state.role is Role.FOLLOWER
        and state.leader == NO_MEMBER
        and state.vote in (NO_MEMBER, peer)
        and is_current(state.log, message.last, message.last_index)
    )
    if granted:
        state.vote = peer
        state.phase = Phase.IDLE
        state.forget_claim()
        wait_ms = state.config.follower_suspicion_ms + state.jitter()
        state.election_ms = state.now_ms + wait_ms
    if state.config.trace:
        verdict = "vote" if granted else "no vote"
        out.trace.append(f"{verdict} for the peer in term {message.term}")
    out.messages.append(VoteReply(state.term, granted))


def request_read(state: State, context: int, out: Effects) -> None:
    """Pass a read on to the leader; asking confirms the leader at once."""
    if state.leader == NO_MEMBER:
        out.reads.append(ReadState(context, NO_INDEX))
        return
    until_ms = state.now_ms + state.config.follower_suspicion_ms
    state.follower_reads.ask(context, until_ms)
    out.appends.append(ReadIndex(state.term, context))


def receive_read_index_reply(
    state: State, message: ReadIndexReply, out: Effects
) -> None:
    """The leader's answer to a read that we passed on."""
    state.follower_reads.answer(message.context, message.index, out)


def reconnected(state: State, out: Effects) -> None:
    """The link is new: what was asked on the old one may be lost."""
    if state.leader != NO_MEMBER:
        for context in state.follower_reads.contexts():
            out.appends.append(ReadIndex(state.term, context))


def restored(state: State, index: Index, last: Position, out: Effects) -> None:
    """Go on behind the snapshot that the driver has installed."""
    if index > state.applied:
        check(state.role is not Role.LEADER, "a leader lacks nothing", index=index)
        state.log.restore(index, last)
        # A tail that fits is handed out again, in case the driver's log was
        # emptied: the leader may count on it.
        out.entries.extend(state.log.slice(index + 1, state.log.last_index))
        state.commit = max(state.commit, index)
        state.handed = max(state.handed, index)
        state.applied = index
    if state.role is Role.FOLLOWER and state.leader != NO_MEMBER:
        out.messages.append(SnapshotInstalled(state.term, index))


def tick(state: State, out: Effects) -> None:
    """Lapse reads whose answer was lost."""
    state.follower_reads.expire(state.now_ms, out)
