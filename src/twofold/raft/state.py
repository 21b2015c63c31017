"""The state that the roles share; each role's rules are in its own module."""

from __future__ import annotations

from enum import Enum

from twofold.base.ids import Index, Subterm, Term
from twofold.raft.epoch import CLAIM_LOST_MS, Backoff, HoldDown
from twofold.raft.log import Log
from twofold.raft.progress import Progress
from twofold.raft.readindex import FollowerReads, LeaderReads
from twofold.raft.types import (
    NO_MEMBER,
    Claim,
    CoreConfig,
    Effects,
    HardState,
    Mode,
    OwnerView,
    Restart,
    Role,
)

SILENT_FACTOR = 5
"""Heartbeats of the detector count only so long without a real message."""


class Phase(Enum):
    """Where a member without a leader stands."""

    IDLE = "idle"
    """A leader is known, or hoped for."""
    PREVOTE = "prevote"
    VOTE = "vote"
    REHEARSE = "rehearse"
    """The witness is asked whether a claim would be allowed."""
    CLAIM = "claim"
    """Term and own vote are durable, the claim is on its way."""


class State:
    """One member's consensus state; only the role modules write to it."""

    def __init__(self, config: CoreConfig, restart: Restart, now_ms: int) -> None:
        """Start as a follower from what was durable."""
        self.config = config
        self.member_id = config.member_id
        self.now_ms = now_ms
        self.term: Term = restart.hard_state.term
        self.vote = restart.hard_state.vote
        self.durable_asked: HardState = restart.hard_state
        self.role = Role.FOLLOWER
        self.phase = Phase.IDLE
        self.leader = NO_MEMBER
        self.leader_solo = False
        self.log = Log(restart.snapshot_index, restart.snapshot, restart.entries)
        self.commit: Index = restart.applied
        self.handed: Index = restart.applied
        self.applied: Index = restart.applied
        self.stopping = False
        self.muted = False
        self._chance = (config.seed * 2654435761 + config.member_id) & 0xFFFFFFFF

        # The peer as we see it.
        self.link_up = False
        self.dead = False
        self.heard_ms = now_ms
        self.message_ms = now_ms
        self.peer_record_version = -1

        # Follower and candidate.
        self.election_ms = now_ms + config.follower_suspicion_ms + self.jitter()
        self.resend_ms = 0
        self.asked_ms = now_ms
        self.consult_jitter_ms = 0
        self.traced_hint = -1
        self.follower_reads = FollowerReads()

        # The witness.
        self.record: OwnerView | None = None
        self.record_doubted = False
        self.refused = False
        self.reason = ""
        self.outstanding: Claim | None = None
        self.claim_number = 0
        self.claim_until_ms = 0
        self.backoff = Backoff()

        # Leader.
        self.mode = Mode.PAIR
        self.subterm = Subterm(0)
        self.highest_subterm = 0
        self.term_start = 0
        self.pair_from = 0
        self.alone_through = 0
        self.round = 0
        self.progress = Progress(config.append_bytes_max)
        self.reads = LeaderReads()
        self.acknowledged_ms = now_ms
        self.commit_ms = now_ms
        self.healthy_ms: int | None = None
        self.solo_ms = 0
        self.hold_down = HoldDown(config.hold_down_ms, config.hold_down_max_ms)
        self.check_ms = 0
        self.sent_ms = 0
        self.transfer_ms = 0
        self.disk_index = self.log.persisted
        self.disk_ms = now_ms

    def jitter(self) -> int:
        """The next number in [0, jitter_ms): a small generator of our own."""
        self._chance = (self._chance * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._chance >> 8) % self.config.jitter_ms

    def forget_claim(self) -> None:
        """No answer to an earlier claim counts from now on."""
        self.outstanding = None

    def ask_witness(self, claim: Claim, out: Effects) -> None:
        """Hand a claim out; its number is the only one that is listened to."""
        self.outstanding = claim
        self.claim_until_ms = self.now_ms + CLAIM_LOST_MS
        out.claim = claim

    def next_number(self) -> int:
        """A number no claim of this boot has had."""
        self.claim_number += 1
        return self.claim_number

    def news(self) -> OwnerView | None:
        """The record, if the peer seems not to know it yet."""
        record = self.record
        if record is None or record.version <= self.peer_record_version:
            return None
        return record

    def hears_detector(self) -> bool:
        """Whether the detector's heartbeats prove a peer that we can use."""
        quiet_ms = self.now_ms - self.message_ms
        limit_ms = SILENT_FACTOR * self.config.follower_suspicion_ms
        return self.link_up and quiet_ms < limit_ms
