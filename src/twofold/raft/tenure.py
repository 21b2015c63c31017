"""A sitting leader's standing: claims, solo, the way back to a pair, hand-over."""

from __future__ import annotations

from twofold.base.ids import Subterm
from twofold.raft import follower, leader, quorum
from twofold.raft.state import SILENT_FACTOR, State
from twofold.raft.types import (
    NO_MEMBER,
    Claim,
    ClaimStatus,
    Effects,
    Mode,
    OwnerView,
    Role,
    TimeoutNow,
)

STALL_FACTOR = 10
"""A peer that answers but stores nothing for so many suspicions is lost too."""

START_FACTOR = 5
"""So many suspicions may pass until a new leader's first commit: a peer that
has much to catch up must not hold up writes."""

WEDGED_MS = 3_000
"""A leader whose own disk stands still for so long steps aside."""

TRANSFER_MS = 1_000
"""So long a hand-over may hold up writes."""


def tick(state: State, out: Effects) -> None:
    """Look after the peer, the claim, the hold-down and the heartbeat."""
    if not state.config.peer:
        return
    now_ms = state.now_ms
    if now_ms >= state.check_ms:
        state.check_ms = now_ms + state.config.heartbeat_ms
        _check(state, out)
    if state.role is not Role.LEADER:
        return
    if is_silent(state):
        state.healthy_ms = None
        peer_lost(state, out)
    elif state.mode is Mode.CLAIMING:
        _claim_overdue(state, out)


def deadline_ms(state: State) -> int:
    """When ``tick`` has to run next."""
    if not state.config.peer:
        return state.now_ms + 3_600_000
    due_ms = state.check_ms
    if state.mode is Mode.PAIR:
        silent_ms = state.heard_ms + state.config.leader_suspicion_ms
        if state.now_ms < silent_ms < due_ms:
            due_ms = silent_ms
    return due_ms


def _check(state: State, out: Effects) -> None:
    progress = state.progress
    progress.sample(state.log.last_index, state.now_ms)
    if state.commit >= state.log.persisted:
        state.commit_ms = state.now_ms
    if _disk_is_wedged(state) and is_promotable(state) and not is_silent(state):
        _step_aside(state, out)
        return
    if progress.snapshot and 0 < progress.snapshot_ms <= state.now_ms:
        progress.snapshot = False
    if state.transfer_ms:
        _continue_transfer(state, out)
    if state.mode is Mode.SOLO and _may_reopen(state):
        reopen(state, out)
    if state.now_ms - state.sent_ms >= state.config.heartbeat_ms // 2 or (
        progress.probing
    ):
        leader.heartbeat(state, out)


def _disk_is_wedged(state: State) -> bool:
    persisted = state.log.persisted
    if persisted != state.disk_index or persisted == state.log.last_index:
        state.disk_index, state.disk_ms = persisted, state.now_ms
    return state.now_ms - state.disk_ms >= WEDGED_MS


def _step_aside(state: State, out: Effects) -> None:
    """Let the peer take over: our vote would need the disk that hangs.

    So we fall silent until the disk is back, and the peer, whose log is beyond
    the record, asks the witness.
    """
    follower.become(state, state.term, NO_MEMBER, out)
    state.muted = True
    if state.config.trace:
        out.trace.append("own disk stands still: silent until it is back")


def is_silent(state: State) -> bool:
    """Whether the peer must be counted as lost, by silence or by standstill."""
    if state.dead or (state.progress.empty and state.mode is not Mode.SOLO):
        return True
    now_ms, limit_ms = state.now_ms, state.config.leader_suspicion_ms
    if now_ms - state.heard_ms >= limit_ms:
        return True
    if now_ms - state.acknowledged_ms >= SILENT_FACTOR * limit_ms:
        return True
    return _stands_still(state)


def _stands_still(state: State) -> bool:
    progress, log = state.progress, state.log
    if state.mode is Mode.SOLO:
        since_ms, factor = progress.moved_ms, STALL_FACTOR
        behind = progress.match < log.last_index
    else:
        since_ms = state.commit_ms
        started = state.commit >= state.term_start
        factor = STALL_FACTOR if started else START_FACTOR
        # If our own disk is the slow one, the witness cannot help.
        behind = max(progress.match, state.commit) < log.persisted
    limit_ms = factor * state.config.leader_suspicion_ms
    return behind and state.now_ms - since_ms >= limit_ms


def heard(state: State) -> None:
    """The peer is alive, as of now."""
    if state.healthy_ms is None:
        state.healthy_ms = state.now_ms


def peer_lost(state: State, out: Effects) -> None:
    """Ask the witness for sole ownership, unless we have it or may not."""
    state.healthy_ms = None
    if not state.progress.probing and not state.progress.snapshot:
        state.progress.probe()
    if state.mode is Mode.PAIR and state.config.witness:
        if state.stopping:
            return  # A member that leaves must not shut the other one out.
        state.mode = Mode.CLAIMING
        state.transfer_ms = 0
        if state.config.trace:
            out.trace.append("peer lost")
        state.backoff.reset()
        _claim(state, out)
    elif state.mode is Mode.CLAIMING:
        _claim_overdue(state, out)
        if state.outstanding is None and state.now_ms >= state.backoff.until_ms:
            _claim(state, out)


def _claim(state: State, out: Effects) -> None:
    if state.stopping:
        return
    state.highest_subterm += 1
    subterm = Subterm(state.highest_subterm)
    log = state.log
    claim = Claim(
        number=state.next_number(),
        term=state.term,
        subterm=subterm,
        last=log.last_position,
        last_index=log.last_index,
        sitting=True,
        rehearse=False,
    )
    if state.config.trace:
        out.trace.append(f"claim {state.term}.{subterm}")
    state.ask_witness(claim, out)


def _claim_overdue(state: State, out: Effects) -> None:
    if state.outstanding is not None and state.now_ms >= state.claim_until_ms:
        state.forget_claim()
        _unreachable(state, out)


def answered(
    state: State,
    claim: Claim,
    status: ClaimStatus,
    record: OwnerView | None,
    reason: str,
    out: Effects,
) -> None:
    """The witness's answer to the claim that is outstanding."""
    if status is ClaimStatus.OK:
        _enter_solo(state, claim, out)
    elif status is ClaimStatus.UNREACHABLE:
        state.reason = reason or "the witness does not answer"
        _unreachable(state, out)
    elif record is not None and (
        record.term > state.term
        or (record.term == state.term and record.owner != state.member_id)
    ):
        # Another member was faster; observing the record has its term already.
        follower.become(state, max(state.term, record.term), NO_MEMBER, out)
    else:
        state.reason = reason or "the witness refuses the claim"
        state.backoff.fail(state.now_ms, state.jitter())


def _unreachable(state: State, out: Effects) -> None:
    if state.config.trace:
        out.trace.append("no answer from the witness")
    state.backoff.fail(state.now_ms, state.jitter())
    if not is_silent(state):
        resume_pair(state, out)


def resume_pair(state: State, out: Effects) -> None:
    """The peer answers again and no claim is under way: go on as a pair.

    A claim that we gave up may still land. The marker lifts the pair beyond
    it: otherwise the peer, which holds all, would be refused one day.
    """
    state.mode = Mode.PAIR
    state.reason = ""
    state.backoff.reset()
    if state.config.trace:
        out.trace.append("peer answers again: pair")
    _open_marker(state, out)


def _open_marker(state: State, out: Effects) -> None:
    state.highest_subterm += 1
    state.subterm = Subterm(state.highest_subterm)
    state.pair_from = leader.open_subterm(state, out)


def _enter_solo(state: State, claim: Claim, out: Effects) -> None:
    state.mode = Mode.SOLO
    state.subterm = claim.subterm
    state.reason = ""
    state.backoff.reset()
    # Nobody else can lead without us now: our disk commits even what was
    # proposed to the pair.
    state.alone_through = quorum.ALL
    state.solo_ms = state.now_ms
    state.progress.empty = False
    state.hold_down.enter_solo(state.now_ms)
    if state.config.trace:
        out.trace.append(f"solo {claim.term}.{claim.subterm}")
    leader.advance(state, out)
    if state.commit >= state.term_start:
        state.reads.confirm_all(out)


def _may_reopen(state: State) -> bool:
    if state.healthy_ms is None or state.stopping:
        return False
    calm_since_ms = max(state.healthy_ms, state.solo_ms)
    calm = state.now_ms - calm_since_ms >= state.hold_down.current_ms
    return calm and _peer_is_close(state)


def _peer_is_close(state: State) -> bool:
    healthy = state.healthy_ms is not None and not is_silent(state)
    # Own disk behind: the marker would wait for it anyway.
    return healthy and state.progress.is_close(state.log.last_index)


def reopen(state: State, out: Effects) -> None:
    """Let both disks count again, from a marker on; no witness write."""
    state.mode = Mode.PAIR
    state.alone_through = state.log.last_index
    state.hold_down.reopen(state.now_ms)
    # Reads wait for confirmations from now on: who holds the marker may claim.
    if state.config.trace:
        out.trace.append("peer is close: pair")
    _open_marker(state, out)


def peer_replied(state: State, out: Effects) -> None:
    """An answer of the peer in our term came in."""
    if state.mode is Mode.CLAIMING and state.outstanding is None:
        if not is_silent(state):
            resume_pair(state, out)
    elif state.transfer_ms:
        _continue_transfer(state, out)


def start_transfer(state: State, out: Effects) -> None:
    """Hand leadership to the peer if it is there and has nearly all."""
    if state.role is not Role.LEADER or not state.config.peer or state.transfer_ms:
        return
    if state.mode is Mode.SOLO and _peer_is_close(state):
        reopen(state, out)
    if state.mode is not Mode.PAIR or is_silent(state):
        return
    state.transfer_ms = state.now_ms + TRANSFER_MS
    _continue_transfer(state, out)


def _continue_transfer(state: State, out: Effects) -> None:
    late = state.now_ms >= state.transfer_ms
    if late or state.mode is not Mode.PAIR or is_silent(state):
        state.transfer_ms = 0
        return
    # Sent again with each heartbeat until the vote comes: it may be lost.
    if state.progress.match >= state.log.last_index:
        out.messages.append(TimeoutNow(state.term))
        if state.config.trace:
            out.trace.append("hand over")


def is_promotable(state: State) -> bool:
    """Whether the peer's log is beyond whatever the witness may say of us."""
    pair = state.mode is Mode.PAIR or state.mode is Mode.CLAIMING
    known = state.highest_subterm == state.subterm
    usable = pair and known and state.config.witness
    return usable and state.progress.match >= state.pair_from
