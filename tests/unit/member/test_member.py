"""Rules of the facade that need a member with a peer."""

from __future__ import annotations

from collections.abc import Callable

from twofold.base.errors import TwofoldError
from twofold.base.ids import Term
from twofold.member.member import KEEP_ALIVE, Member, MemberOptions
from twofold.raft.types import NO_INDEX, Append
from twofold.testing.fakes_member import ME, HeldLog, StillClock, paired_driver


class Peer:
    """The leader as the member asks it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Callable[[bytes | TwofoldError], None]]] = []

    def ask(
        self, method: int, _body: bytes, done: Callable[[bytes | TwofoldError], None]
    ) -> None:
        self.asked.append((method, done))


def heartbeat(member: Member, term: int) -> None:
    append = Append(Term(term), NO_INDEX, Term(0), (), NO_INDEX, 0, False, None)
    member.driver.receive([append])


def test_a_renewal_is_asked_again_of_the_next_leader() -> None:
    peer, answers = Peer(), list[int | TwofoldError]()
    driver = paired_driver(HeldLog(), StillClock())
    member = Member(driver, 1, ME, MemberOptions("m", (), ()), 0, peer.ask)
    heartbeat(member, 1)
    member.keep_alive(5, answers.append)
    heartbeat(member, 2)
    assert [method for method, _ in peer.asked] == [KEEP_ALIVE, KEEP_ALIVE]
    (_, of_the_former), (_, of_the_next) = peer.asked
    of_the_former((9).to_bytes(8, "big"))
    assert answers == []
    of_the_next((3).to_bytes(8, "big"))
    assert answers == [3]
