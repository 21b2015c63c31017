"""Rules of the facade that need a member with a peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.base.errors import TwofoldError
from twofold.base.ids import Index, MemberId, Term
from twofold.member.driver import Driver
from twofold.member.member import KEEP_ALIVE, Member, MemberOptions
from twofold.member.ports import Ticket
from twofold.raft.core import Core
from twofold.raft.types import (
    NO_INDEX,
    Append,
    CoreConfig,
    Entry,
    HardState,
    Position,
    Restart,
)
from twofold.store.apply.applier import Applier
from twofold.store.backend.memory import MemoryBackend

ME, PEER = MemberId(1), MemberId(2)


class StillClock:
    def now_ms(self) -> int:
        return 0

    def soon(self, callback: Callable[[], None]) -> None:
        """Nothing here waits for the next turn."""


class EmptyLog:
    busy = False

    def submit(
        self, entries: Sequence[Entry], hard_state: HardState | None, ticket: Ticket
    ) -> None:
        """What becomes durable does not matter here."""

    def mark(
        self, index: Index, position: Position, token: object, *, reset: bool = False
    ) -> None:
        """No checkpoints here."""

    def release(self, index: Index) -> None:
        """No checkpoints here."""


class Peer:
    """The leader as the member asks it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Callable[[bytes | TwofoldError], None]]] = []

    def ask(
        self, method: int, _body: bytes, done: Callable[[bytes | TwofoldError], None]
    ) -> None:
        self.asked.append((method, done))


def follower(peer: Peer) -> Member:
    config = CoreConfig(ME, 11, PEER, witness=False)
    applier = Applier(MemoryBackend())
    core = Core(config, Restart(), 0)
    driver = Driver(core, applier, EmptyLog(), None, None, StillClock(), origin=7)
    return Member(driver, 1, ME, MemberOptions("m", (), ()), 0, peer.ask)


def heartbeat(member: Member, term: int) -> None:
    append = Append(Term(term), NO_INDEX, Term(0), (), NO_INDEX, 0, False, None)
    member.driver.receive([append])


def test_a_renewal_is_asked_again_of_the_next_leader() -> None:
    peer, answers = Peer(), list[int | TwofoldError]()
    member = follower(peer)
    heartbeat(member, 1)
    member.keep_alive(5, answers.append)
    heartbeat(member, 2)
    assert [method for method, _ in peer.asked] == [KEEP_ALIVE, KEEP_ALIVE]
    (_, of_the_former), (_, of_the_next) = peer.asked
    of_the_former((9).to_bytes(8, "big"))
    assert answers == []
    of_the_next((3).to_bytes(8, "big"))
    assert answers == [3]
