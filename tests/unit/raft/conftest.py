"""A core with a disk that is done at once, and what it sent last."""

from collections.abc import Callable

import pytest

from twofold.base.ids import Index, MemberId, Subterm, Term
from twofold.raft.core import Core
from twofold.raft.types import (
    Append,
    AppendReply,
    Claim,
    ClaimAnswered,
    ClaimStatus,
    CoreConfig,
    Effects,
    Entry,
    EntryKind,
    Event,
    HardState,
    Message,
    OwnerView,
    Persisted,
    PreVoteReply,
    Received,
    Restart,
    Role,
    TimedOut,
    VoteReply,
)


class Bench:
    """Drives one core; the peer is played by the test."""

    def __init__(
        self, restart: Restart, *, member: int, peer: int, witness: bool
    ) -> None:
        config = CoreConfig(
            member_id=MemberId(member),
            incarnation=member * 100,
            peer=MemberId(peer),
            witness=witness,
            trace=True,
        )
        self.core = Core(config, restart, 0)
        self.now_ms = 0
        self.hard_state = restart.hard_state
        self.sent: list[Message] = []
        self.claims: list[Claim] = []
        self.committed: list[Entry] = []
        self.reads: list[tuple[int, int]] = []
        self.sync = True

    def step(self, event: Event) -> Effects:
        out = self.core.step(event)
        self.sent += out.appends + out.messages
        self.claims += [out.claim] if out.claim else []
        self.committed += out.committed
        self.reads += [(r.context, r.index) for r in out.reads]
        self.hard_state = out.hard_state or self.hard_state
        if out.entries and self.sync:
            self.persisted(out.entries[-1])
        return out

    def persisted(self, entry: Entry) -> Effects:
        event = Persisted(self.now_ms, entry.index, entry.term, self.hard_state)
        return self.step(event)

    def receive(self, message: Message) -> Effects:
        self.sent.clear()
        return self.step(Received(self.now_ms, message))

    def wait(self, duration_ms: int) -> None:
        """Let time pass, deadline by deadline."""
        self.sent.clear()
        end_ms = self.now_ms + duration_ms
        while self.core.deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.core.deadline_ms)
            self.step(TimedOut(self.now_ms))
        self.now_ms = end_ms

    def last(self, kind: type[Message]) -> Message:
        found = [m for m in self.sent if type(m) is kind]
        assert found, f"no {kind} in {self.sent}"
        return found[-1]

    def answer(self, status: ClaimStatus, record: OwnerView | None = None) -> Effects:
        number = self.claims[-1].number
        return self.step(ClaimAnswered(self.now_ms, number, status, record))

    def elect(self) -> "Bench":
        """Win a plain election with the peer's vote."""
        self.wait(260)
        status = self.core.status()
        self.receive(PreVoteReply(Term(status.term + 1), True))
        self.receive(VoteReply(Term(status.term + 1), True))
        assert self.core.status().role is Role.LEADER
        return self

    def reply(self, match: int, round_: int = 0, *, ok: bool = True) -> Effects:
        """An answer of the peer in the present term."""
        term = self.core.status().term
        return self.receive(AppendReply(term, ok, Index(match), round_, None))

    def append(self, term: int, prev: tuple[int, int], *entries: Entry) -> Effects:
        """An append of the peer, the leader of ``term``."""
        commit = Index(0)
        return self.receive(
            Append(
                Term(term),
                Index(prev[1]),
                Term(prev[0]),
                entries,
                commit,
                0,
                False,
                None,
            )
        )


def entry(term: int, subterm: int, index: int, data: bytes = b"x") -> Entry:
    kind = EntryKind.COMMANDS
    return Entry(Index(index), Term(term), Subterm(subterm), kind, data)


MakeBench = Callable[..., Bench]


@pytest.fixture
def make() -> MakeBench:
    def build(
        *entries: Entry,
        term: int = 0,
        vote: int = 0,
        member: int = 1,
        peer: int = 2,
        witness: bool = True,
    ) -> Bench:
        term = max(term, entries[-1].term if entries else 0)
        hard_state = HardState(Term(term), MemberId(vote))
        restart = Restart(hard_state=hard_state, entries=entries)
        return Bench(restart, member=member, peer=peer, witness=witness)

    return build


@pytest.fixture
def record() -> Callable[[int, int, int, int], OwnerView]:
    def build(version: int, term: int, subterm: int, owner: int) -> OwnerView:
        return OwnerView(
            version, Term(term), Subterm(subterm), MemberId(owner), owner * 100
        )

    return build


@pytest.fixture(name="entry")
def entry_fixture() -> Callable[..., Entry]:
    return entry
