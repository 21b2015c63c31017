"""One member's extended Raft, step by step."""

from __future__ import annotations

from twofold.base.ids import Index, MemberId, Term
from twofold.base.invariant import check
from twofold.raft import candidate, follower, leader, tenure
from twofold.raft.state import Phase, State
from twofold.raft.types import (
    NO_INDEX,
    NO_MEMBER,
    Append,
    AppendReply,
    Applied,
    ClaimAnswered,
    Compacted,
    CoreConfig,
    CoreStatus,
    Effects,
    Event,
    HardState,
    Message,
    Mode,
    OwnerView,
    PeerAlive,
    PeerConnected,
    PeerDisconnected,
    Persisted,
    PreVote,
    PreVoteReply,
    Propose,
    ReadIndex,
    ReadIndexReply,
    ReadRequested,
    ReadState,
    Received,
    RecordSeen,
    Restart,
    Role,
    SnapshotInstalled,
    SnapshotRestored,
    SnapshotSent,
    StopRequested,
    TimedOut,
    TimeoutNow,
    TransferRequested,
    Vote,
    VoteReply,
)


class Core:
    """Extended Raft for one or two members and a witness: no I/O, no clock.

    Time comes in with each event; ``deadline_ms`` says when to call next.
    Source: Raft thesis ch. 3; extended Raft paper, "Log Replication"; our own
    owner record instead of the paper's vote and replication set.
    """

    def __init__(self, config: CoreConfig, restart: Restart, now_ms: int) -> None:
        """Start from what was durable; the first effects come with ``step``."""
        self._state = State(config, restart, now_ms)

    @property
    def config(self) -> CoreConfig:
        """What the core was made of."""
        return self._state.config

    @property
    def role(self) -> Role:
        """The role now."""
        return self._state.role

    @property
    def leader(self) -> MemberId:
        """The leader as far as known, itself included; 0: none."""
        return self._state.leader

    @property
    def term(self) -> Term:
        """The current term."""
        return self._state.term

    @property
    def mode(self) -> Mode:
        """How this member can commit right now."""
        return self._mode()

    @property
    def record(self) -> OwnerView | None:
        """The newest witness record known here."""
        return self._state.record

    @property
    def hard_state(self) -> HardState:
        """The newest hard state handed out, durable or about to be."""
        return self._state.durable_asked

    @property
    def persisted(self) -> tuple[Index, Term]:
        """The last entry known durable here, for a ``Persisted`` without entries."""
        log = self._state.log
        return log.persisted, log.term_at(log.persisted) or Term(0)

    def holds(self, index: Index, term: Term) -> bool:
        """Whether the log has this very entry.

        A driver that installs a snapshot ending there must then keep the
        entries behind it: the leader may count on them already.
        """
        return self._state.log.term_at(index) == term

    @property
    def deadline_ms(self) -> int:
        """When ``step(TimedOut)`` is due, no later."""
        state = self._state
        if state.role is Role.LEADER:
            return tenure.deadline_ms(state)
        due_ms = candidate.deadline_ms(state)
        reads_ms = state.follower_reads.deadline_ms()
        return due_ms if reads_ms is None else min(due_ms, reads_ms)

    def step(self, event: Event) -> Effects:
        """Advance by one event; return what the driver has to carry out.

        Order is the contract: ``appends`` may leave at once, ``messages`` and
        ``claim`` only when ``hard_state`` and ``entries`` are durable, because
        a vote that a crash can forget is a vote that can be given twice.

        Raises:
            InvariantError: the driver broke the contract. Stop the process.
        """
        state = self._state
        now_ms = event.now_ms
        if now_ms < state.now_ms:
            check(False, "the clock never runs backwards", now_ms=now_ms)
        if type(event) is TimedOut:
            self._forgive_own_stall(now_ms)
        state.now_ms = now_ms
        out = Effects()
        self._dispatch(event, out)

        asked = state.durable_asked
        if asked[0] != state.term or asked[1] != state.vote:
            check(state.term >= asked.term, "terms only grow")
            out.hard_state = state.durable_asked = HardState(state.term, state.vote)
        limit = state.commit
        if limit > state.handed:
            # What is visible here must be durable here, so that a member that
            # comes back never knows less than it has shown.
            limit = min(limit, state.log.persisted)
            if limit > state.handed:
                out.committed.extend(state.log.slice(state.handed + 1, limit))
                state.handed = limit
        return out

    def status(self) -> CoreStatus:
        """The state for status, metrics and logs."""
        state = self._state
        leads = state.role is Role.LEADER
        config = state.config
        return CoreStatus(
            role=state.role,
            mode=self._mode(),
            term=state.term,
            subterm=state.subterm if leads else state.log.last_position.subterm,
            leader=state.leader,
            last_index=state.log.last_index,
            commit_index=state.commit,
            applied_index=state.applied,
            peer_match=Index(state.progress.match if leads else 0),
            peer_alive=bool(config.peer)
            and not state.dead
            and state.now_ms - state.heard_ms < config.follower_suspicion_ms
            and state.link_up,
            peer_promotable=tenure.is_promotable(state)
            if leads
            else state.leader != NO_MEMBER,
            record=state.record,
            reason=self._reason(),
        )

    def _mode(self) -> Mode:
        state = self._state
        if not state.config.peer:
            return Mode.SINGLE
        if state.role is Role.LEADER:
            return state.mode
        if state.leader != NO_MEMBER:
            return Mode.LEARNER if state.leader_solo else Mode.PAIR
        if state.refused:
            return Mode.REFUSED
        if state.phase is Phase.REHEARSE or state.phase is Phase.CLAIM:
            return Mode.CLAIMING
        return Mode.ELECTING

    def _reason(self) -> str:
        state = self._state
        if state.role is Role.LEADER:
            if state.mode is not Mode.CLAIMING:
                return ""
            return state.reason or "the peer is lost; asking the witness"
        if state.leader != NO_MEMBER:
            return ""
        return state.reason or "no leader: waiting for the other member"

    def _forgive_own_stall(self, now_ms: int) -> None:
        """A process that was stopped must not blame its peer for the silence."""
        state = self._state
        grace_ms = 2 * state.config.heartbeat_ms
        if state.dead or now_ms - self.deadline_ms <= grace_ms:
            return
        config = state.config
        limit_ms = config.leader_suspicion_ms
        if state.role is not Role.LEADER:
            limit_ms = config.follower_suspicion_ms + config.leader_first_ms
        state.heard_ms = max(state.heard_ms, now_ms - limit_ms + grace_ms)
        state.election_ms = max(state.election_ms, now_ms + grace_ms)
        state.acknowledged_ms = max(state.acknowledged_ms, state.heard_ms)
        state.progress.moved_ms = max(state.progress.moved_ms, state.heard_ms)
        state.commit_ms = max(state.commit_ms, state.heard_ms)
        state.disk_ms = max(state.disk_ms, state.heard_ms)

    def _dispatch(self, event: Event, out: Effects) -> None:
        state = self._state
        match event:
            case Received(message=message):
                self._receive(message, out)
            case Persisted(index=index, term=term):
                moved = state.log.persist(index, term)
                if moved and state.role is Role.LEADER:
                    leader.advance(state, out)
                elif moved and state.muted:
                    self._unmute()
            case Propose(payloads=payloads):
                leader.propose(state, payloads, out)
            case Applied(index=index):
                check(index <= state.handed, "apply what was handed out", index=index)
                state.applied = max(state.applied, index)
            case TimedOut():
                self._tick(out)
            case ReadRequested(context=context):
                self._read(context, out)
            case PeerAlive():
                self._peer_alive()
            case PeerConnected():
                self._connected(out)
            case PeerDisconnected(dead=dead):
                self._disconnected(dead, out)
            case RecordSeen(record=record):
                self._observe(record, out)
            case ClaimAnswered():
                self._claim_answered(event, out)
            case SnapshotRestored(index=index, last=last):
                follower.restored(state, index, last, out)
            case SnapshotSent(ok=ok):
                leader.snapshot_sent(state, ok)
            case Compacted(index=index):
                check(index <= state.applied, "compact what is applied", index=index)
                state.log.compact(index)
            case StopRequested():
                state.stopping = True
                tenure.start_transfer(state, out)
            case TransferRequested():
                tenure.start_transfer(state, out)

    def _tick(self, out: Effects) -> None:
        state = self._state
        follower.tick(state, out)
        if state.role is Role.LEADER:
            tenure.tick(state, out)
        else:
            candidate.tick(state, out)

    def _unmute(self) -> None:
        state = self._state
        if state.log.persisted == state.log.last_index:
            state.muted = False
            state.election_ms = state.now_ms + state.config.follower_suspicion_ms

    def _read(self, context: int, out: Effects) -> None:
        state = self._state
        if state.role is Role.LEADER:
            leader.request_read(state, context, out)
        elif state.role is Role.FOLLOWER:
            follower.request_read(state, context, out)
        else:
            out.reads.append(ReadState(context, NO_INDEX))

    # ---- the peer's link --------------------------------------------------

    def _peer_alive(self) -> None:
        state = self._state
        if not state.hears_detector():
            return
        state.heard_ms = state.now_ms
        if state.role is Role.LEADER:
            tenure.heard(state)
        elif state.leader != NO_MEMBER:
            wait_ms = state.config.follower_suspicion_ms
            state.election_ms = max(state.election_ms, state.now_ms + wait_ms)

    def _connected(self, out: Effects) -> None:
        state = self._state
        state.link_up = True
        state.dead = False
        state.message_ms = state.now_ms
        state.peer_record_version = -1
        if state.role is Role.LEADER:
            state.progress.snapshot = False
            state.progress.snapshot_ms = 0
            state.progress.probe()
            leader.heartbeat(state, out)
        else:
            follower.reconnected(state, out)
            if state.phase is Phase.PREVOTE:
                state.resend_ms = state.now_ms

    def _disconnected(self, dead: bool, out: Effects) -> None:
        state = self._state
        state.link_up = False
        state.dead = state.dead or dead
        state.progress.snapshot = False
        if state.role is Role.LEADER:
            state.healthy_ms = None
            state.progress.probe()
            if dead:
                tenure.peer_lost(state, out)
        elif dead and state.phase in (Phase.IDLE, Phase.PREVOTE, Phase.VOTE):
            candidate.lose_leader(state, out)

    # ---- the witness ------------------------------------------------------

    def _observe(self, record: OwnerView, out: Effects) -> None:
        state = self._state
        known = state.record
        if known is not None and record.version <= known.version:
            return
        state.record = record
        state.record_doubted = False
        if state.config.trace:
            owner = f"{record.owner:x}" if record.owner else "nobody"
            out.trace.append(
                f"record {record.version}: {owner} owns {record.term}.{record.subterm}"
            )
        if state.role is Role.LEADER and record.term > state.term:
            follower.become(state, record.term, NO_MEMBER, out)

    def _claim_answered(self, event: ClaimAnswered, out: Effects) -> None:
        state = self._state
        claim = state.outstanding
        record = event.record
        ours = claim is not None and claim.number == event.number
        if record is not None:
            self._observe(record, out)
        if claim is None or not ours or state.outstanding is not claim:
            return
        state.forget_claim()
        if not claim.rehearse and claim.term != state.term:
            return
        if state.role is Role.LEADER:
            tenure.answered(state, claim, event.status, record, event.reason, out)
        else:
            candidate.answered(state, claim, event.status, record, event.reason, out)

    # ---- messages ---------------------------------------------------------

    def _receive(self, message: Message, out: Effects) -> None:
        state = self._state
        state.link_up = True
        state.dead = False
        state.heard_ms = state.message_ms = state.now_ms
        if state.muted:
            return
        if state.role is Role.LEADER:
            tenure.heard(state)
        else:
            candidate.heard(state, out)
        if message.term != state.term and not self._fits_term(message, out):
            return
        match message:
            case AppendReply():
                self._learn(message.record, out)
                if state.role is Role.LEADER:
                    leader.receive_reply(state, message, out)
                    tenure.peer_replied(state, out)
            case Append():
                self._learn(message.record, out)
                follower.receive_append(state, message, out)
            case ReadIndex():
                leader.receive_read_index(state, message, out)
            case ReadIndexReply():
                follower.receive_read_index_reply(state, message, out)
            case PreVote():
                follower.receive_pre_vote(state, message, out)
            case PreVoteReply():
                candidate.receive_pre_vote_reply(state, message, out)
            case Vote():
                follower.receive_vote(state, message, out)
            case VoteReply():
                candidate.receive_vote_reply(state, message, out)
            case SnapshotInstalled():
                leader.receive_installed(state, message, out)
            case TimeoutNow():
                candidate.receive_timeout_now(state, message, out)

    def _learn(self, record: OwnerView | None, out: Effects) -> None:
        if record is not None:
            state = self._state
            state.peer_record_version = max(state.peer_record_version, record.version)
            self._observe(record, out)

    def _fits_term(self, message: Message, out: Effects) -> bool:
        """Adopt a higher term; answer or drop what is of a lower one."""
        state = self._state
        term: Term = message.term
        if isinstance(message, PreVote | PreVoteReply):
            return True  # They speak of a term that nobody may ever reach.
        if term > state.term:
            follower.become(state, term, NO_MEMBER, out)
            return True
        if isinstance(message, Append):
            follower.reject_old_append(state, message, out)
        elif isinstance(message, Vote):
            follower.receive_vote(state, message, out)
        elif isinstance(message, ReadIndex):
            leader.receive_read_index(state, message, out)
        return False
