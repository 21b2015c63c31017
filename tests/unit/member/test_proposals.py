"""Rules of the unanswered writes."""

from twofold.base.errors import TwofoldError
from twofold.member.facade import RequestTimedOut, Stopping, TooManyRequests
from twofold.member.proposals import PENDING_BYTES_MAX, Proposals
from twofold.store.apply.commands import Command, CommandKind, pack, unpack
from twofold.store.apply.outcomes import Outcome, PutOutcome

Answers = list[Outcome | TwofoldError]


def taken(
    count: int, bytes_max: int = PENDING_BYTES_MAX
) -> tuple[Proposals, list[Answers]]:
    proposals = Proposals(origin=7, bytes_max=bytes_max)
    answers: list[Answers] = [[] for _ in range(count)]
    for number, answer in enumerate(answers):
        body = b"body %d" % number
        proposals.add(CommandKind.PUT, body, answer.append, deadline_ms=100)
    return proposals, answers


def result(sequence: int, origin: int = 7) -> tuple[Command, Outcome]:
    return Command(origin, sequence, CommandKind.PUT, b""), PutOutcome(9, None)


def test_all_that_waits_becomes_one_batch_with_the_floor() -> None:
    proposals, _ = taken(3)
    payload = proposals.take_batch()
    assert payload is not None
    batch = unpack(payload)
    assert [c.sequence for c in batch.commands] == [1, 2, 3]
    assert batch.floors == ((7, 1),)
    assert not proposals.waiting


def test_a_result_answers_its_own_request_once() -> None:
    proposals, answers = taken(2)
    proposals.answer([result(1), result(1), result(2, origin=8)])
    assert answers == [[PutOutcome(9, None)], []]
    assert proposals.floor == 2


def test_resend_keeps_ids_and_order_and_leaves_out_what_is_answered() -> None:
    proposals, _ = taken(3)
    proposals.take_batch()
    proposals.answer([result(2)])
    proposals.resend()
    payload = proposals.take_own()
    assert payload is not None
    assert [c.sequence for c in unpack(payload).commands] == [1, 3]


def test_a_late_request_is_answered_with_unknown_and_not_sent_again() -> None:
    proposals, answers = taken(1)
    assert proposals.expire(99) == 0
    assert proposals.expire(100) == 1
    assert isinstance(answers[0][0], RequestTimedOut)
    assert not proposals.waiting
    proposals.answer([result(1)])
    assert len(answers[0]) == 1


def test_forwarded_commands_carry_the_floor_of_their_origin() -> None:
    proposals, _ = taken(1)
    command = Command(8, 5, CommandKind.PUT, b"theirs")
    proposals.receive_forwarded(unpack(pack([(8, 4)], [command])))
    payload = proposals.take_batch()
    assert payload is not None
    batch = unpack(payload)
    assert batch.floors == ((7, 1), (8, 4))
    assert batch.commands[-1] == command


def test_stopping_answers_everything() -> None:
    proposals, answers = taken(2)
    proposals.fail_all(Stopping("bye"))
    assert [type(a[0]) for a in answers] == [Stopping, Stopping]
    assert proposals.floor == 3


def test_what_only_the_leader_may_decide_goes_to_no_other_leader() -> None:
    proposals, answers = taken(1)
    lost: Answers = []
    proposals.add(CommandKind.LEASE_REVOKE, b"", lost.append, 100, leading=True)
    proposals.resign()
    proposals.resend()
    payload = proposals.take_own()
    assert payload is not None
    assert [c.sequence for c in unpack(payload).commands] == [1]
    assert [type(answer) for answer in lost] == [RequestTimedOut]
    assert answers == [[]]


def test_unanswered_writes_are_bounded_in_bytes() -> None:
    proposals, answers = taken(3, bytes_max=12)
    assert [type(a[0]) for a in answers if a] == [TooManyRequests]
    proposals.answer([(Command(7, 1, CommandKind.PUT, b"body 0"), PutOutcome(9, None))])
    more: Answers = []
    proposals.add(CommandKind.PUT, b"body 3", more.append, deadline_ms=100)
    assert more == []
    proposals.expire(100)
    proposals.add(CommandKind.PUT, b"body 4", more.append, deadline_ms=200)
    assert len(more) == 1
