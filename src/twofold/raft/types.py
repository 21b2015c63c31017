"""Events, effects, messages and log entries of the consensus core.

The driver's duties, in order, after each ``Core.step``:

1. send ``appends`` at once, before anything is durable;
2. make ``hard_state`` and ``entries`` durable together (one sync; when
   ``entries`` is not empty, everything in the log from ``entries[0].index`` on
   is replaced), then step ``Persisted``;
3. send ``messages`` only when what came with them, and before them, is durable;
4. hand ``claim`` to the witness session only under the same condition;
5. apply ``committed`` in order (each entry is handed out once), answer
   ``reads`` when the applied index has reached ``ReadState.index``;
6. call ``step(TimedOut)`` no later than ``Core.deadline_ms``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NamedTuple

from twofold.base.ids import Index, MemberId, Subterm, Term

NO_MEMBER = MemberId(0)


class EntryKind(IntEnum):
    """What a log entry carries."""

    EMPTY = 0
    """Opens a term or a subterm; the one that reopens a pair is the marker."""
    COMMANDS = 1
    """A batch of commands for the state machine, opaque to the core."""


class Entry(NamedTuple):
    """One log entry; (index, term) identifies it, subterm is its epoch."""

    index: Index  # type: ignore[assignment]
    term: Term
    subterm: Subterm
    kind: EntryKind
    data: bytes


class Position(NamedTuple):
    """A place in the order of epochs; compares lexicographically."""

    term: Term
    subterm: Subterm


class HardState(NamedTuple):
    """What must be durable before any message that follows from it."""

    term: Term
    vote: MemberId


NO_INDEX = Index(0)
ORIGIN = Position(Term(0), Subterm(0))
FRESH = HardState(Term(0), NO_MEMBER)


@dataclass(frozen=True, slots=True)
class OwnerView:
    """What the core needs of the witness record.

    ``owner`` 0 means nobody yet: term and subterm are 0 too.
    """

    version: int
    term: Term
    subterm: Subterm
    owner: MemberId
    owner_incarnation: int

    @property
    def position(self) -> Position:
        """The record as a place in the order of epochs."""
        return Position(self.term, self.subterm)


class Role(Enum):
    """Raft's roles."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Mode(Enum):
    """How this member can commit right now; also what operators see."""

    SINGLE = "single"
    """The only member by configuration."""
    PAIR = "pair"
    """Both disks count (leader or follower of a pair)."""
    CLAIMING = "claiming"
    """Leader or candidate that has lost its peer and asks the witness."""
    SOLO = "solo"
    """The witness names this member: its own disk suffices."""
    LEARNER = "learner"
    """Follower of a solo leader: it holds copies that nobody waits for."""
    ELECTING = "electing"
    """No leader known; the peer answers or may answer."""
    REFUSED = "refused"
    """The other member may hold more: this one must not serve alone."""


# ---- messages between the two members -------------------------------------


@dataclass(frozen=True, slots=True)
class PreVote:
    """Would you vote for me in ``term``? Changes nothing at either side."""

    term: Term
    last_index: Index
    last: Position


@dataclass(frozen=True, slots=True)
class PreVoteReply:
    """Answer to PreVote; ``term`` is the asked term if granted, else our own."""

    term: Term
    granted: bool


@dataclass(frozen=True, slots=True)
class Vote:
    """Vote for me in ``term``. ``transfer``: the leader itself asked for it."""

    term: Term
    last_index: Index
    last: Position
    transfer: bool = False


@dataclass(frozen=True, slots=True)
class VoteReply:
    """Answer to Vote."""

    term: Term
    granted: bool


@dataclass(frozen=True, slots=True)
class Append:
    """The leader's entries, commit index and heartbeat in one.

    ``round`` counts the leader's confirmation rounds; the reply carries it
    back, which proves that the peer still followed when it answered.
    ``solo``: the sender commits alone at present. ``record``: newest witness
    record the sender knows.
    """

    term: Term
    prev_index: Index
    prev_term: Term
    entries: tuple[Entry, ...]
    commit: Index
    round: int
    solo: bool
    record: OwnerView | None


@dataclass(frozen=True, slots=True)
class AppendReply:
    """``ok``: durable up to ``match``. Else ``match`` is a hint where to go on."""

    term: Term
    ok: bool
    match: Index
    round: int
    record: OwnerView | None


@dataclass(frozen=True, slots=True)
class SnapshotInstalled:
    """The follower has installed a snapshot that ends at ``index``."""

    term: Term
    index: Index


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader hands over: start an election at once."""

    term: Term


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """A follower asks for a read index; by asking it confirms the leader."""

    term: Term
    context: int


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """``index`` 0: not leader (any more) or not able to say: ask again."""

    term: Term
    context: int
    index: Index


Message = (
    PreVote
    | PreVoteReply
    | Vote
    | VoteReply
    | Append
    | AppendReply
    | SnapshotInstalled
    | TimeoutNow
    | ReadIndex
    | ReadIndexReply
)


# ---- events ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Propose:
    """Append these payloads, one entry each; only valid on a leader.

    A core that does not lead (or is handing over) ignores the event and says
    so in ``Effects.dropped``; the driver keeps the commands and tries again.
    """

    now_ms: int
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the peer; the driver has checked the peer's incarnation."""

    now_ms: int
    message: Message


@dataclass(frozen=True, slots=True)
class Persisted:
    """Everything handed out up to now with index <= ``index`` is durable.

    ``term`` is the term of the entry at ``index`` (an old sync must not count
    for entries that have since been replaced) and ``hard_state`` the newest
    durable one.
    """

    now_ms: int
    index: Index
    term: Term
    hard_state: HardState


@dataclass(frozen=True, slots=True)
class Applied:
    """The state machine has applied up to ``index``."""

    now_ms: int
    index: Index


@dataclass(frozen=True, slots=True)
class TimedOut:
    """``deadline_ms`` has been reached (or it is worth having a look)."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class PeerAlive:
    """A heartbeat arrived (from the detector); the peer's loop turns."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """The link is up: resend what the peer may lack."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The link is down. ``dead``: its kernel says that the process is gone."""

    now_ms: int
    dead: bool


@dataclass(frozen=True, slots=True)
class ReadRequested:
    """A batch of linearizable reads waits; ``context`` is never reused."""

    now_ms: int
    context: int


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """The witness session has read the record (start, probe, conflict)."""

    now_ms: int
    record: OwnerView


class ClaimStatus(Enum):
    """How a claim or its rehearsal ended."""

    OK = "ok"
    """Claim: the record is ours, durable. Rehearsal: the rules would allow it."""
    REFUSED = "refused"
    """The rules forbid it against the record returned with the answer."""
    UNREACHABLE = "unreachable"
    """The witness did not answer; a claim may still land (never reuse it)."""


@dataclass(frozen=True, slots=True)
class ClaimAnswered:
    """The answer to ``Effects.claim`` with the same ``number``."""

    now_ms: int
    number: int
    status: ClaimStatus
    record: OwnerView | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotRestored:
    """The driver has durably installed the leader's snapshot (on a follower)."""

    now_ms: int
    index: Index
    last: Position


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """The stream of the snapshot ended; ``ok`` False: try again later."""

    now_ms: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Compacted:
    """The driver wants entries <= ``index`` dropped from memory (applied ones)."""

    now_ms: int
    index: Index


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Graceful stop: hand leadership over if the peer is up, claim no more."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """Hand leadership to the peer (MoveLeader)."""

    now_ms: int


Event = (
    Propose
    | Received
    | Persisted
    | Applied
    | TimedOut
    | PeerAlive
    | PeerConnected
    | PeerDisconnected
    | ReadRequested
    | RecordSeen
    | ClaimAnswered
    | SnapshotRestored
    | SnapshotSent
    | Compacted
    | StopRequested
    | TransferRequested
)


# ---- effects ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask the witness for sole ownership of (``term``, ``subterm``).

    ``rehearse``: only read and judge, change nothing; then ``term`` 0 means
    "the next free one". ``last`` is the position of our last durable entry.
    ``sitting``: the claimer leads ``term`` already.
    """

    number: int
    term: Term
    subterm: Subterm
    last: Position
    last_index: Index
    sitting: bool
    rehearse: bool


class ReadState(NamedTuple):
    """Reads of ``context`` may be answered once ``index`` is applied.

    ``index`` 0: the leader is unknown or lost; the driver asks again later.
    """

    context: int
    index: Index  # type: ignore[assignment]


@dataclass(slots=True)
class Effects:
    """What the driver has to carry out; see the module's numbered duties."""

    hard_state: HardState | None = None
    entries: list[Entry] = field(default_factory=list)
    appends: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    reads: list[ReadState] = field(default_factory=list)
    claim: Claim | None = None
    send_snapshot: bool = False
    """The peer needs entries that are compacted away: stream a snapshot."""
    dropped: bool = False
    """A Propose was ignored; nothing of it is in the log."""
    trace: list[str] = field(default_factory=list)
    """Why, in the scripts' words; filled only when the core traces."""


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """What a core is made of; times in ms, all positive.

    ``peer`` 0: single member, no peer. ``witness``: a witness is configured.
    """

    member_id: MemberId
    incarnation: int
    peer: MemberId
    witness: bool
    heartbeat_ms: int = 50
    leader_suspicion_ms: int = 150
    follower_suspicion_ms: int = 200
    leader_first_ms: int = 75
    jitter_ms: int = 50
    hold_down_ms: int = 1_000
    hold_down_max_ms: int = 60_000
    append_bytes_max: int = 1 << 20
    seed: int = 0
    """Of the jitter; two members get different ones."""
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """What was durable: where a core starts from.

    ``entries`` follow the snapshot at (``snapshot_index``, ``snapshot``);
    ``applied`` >= ``snapshot_index`` is where the state machine stands.
    """

    hard_state: HardState = FRESH
    snapshot_index: Index = NO_INDEX
    snapshot: Position = ORIGIN
    applied: Index = NO_INDEX
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class CoreStatus:
    """A core's state for status, metrics and logs."""

    role: Role
    mode: Mode
    term: Term
    subterm: Subterm
    leader: MemberId
    last_index: Index
    commit_index: Index
    applied_index: Index
    peer_match: Index
    peer_alive: bool
    peer_promotable: bool
    """The peer could take over alone, with the witness, if we died now."""
    record: OwnerView | None
    reason: str
    """Why not serving, for people; empty while serving."""
