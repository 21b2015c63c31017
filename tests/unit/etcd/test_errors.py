"""The table's texts are part of the protocol."""

import pytest

from twofold.base.errors import Failure, OutcomeUnknown, TwofoldError
from twofold.etcd.errors import TABLE, Code, RequestRefused, status_of
from twofold.member.facade import (
    ReadTimedOut,
    RequestTimedOut,
    Stopping,
    TooManyRequests,
)
from twofold.member.member import LeaderUnknown
from twofold.store.apply.outcomes import ApplyRefused


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("EMPTY_KEY", 3, "etcdserver: key is not provided"),
        ("COMPACTED", 11, "etcdserver: mvcc: required revision has been compacted"),
        (
            "FUTURE_REVISION",
            11,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        ("NO_SPACE", 8, "etcdserver: mvcc: database space exceeded"),
        ("LEASE_NOT_FOUND", 5, "etcdserver: requested lease not found"),
        ("LEASE_EXIST", 9, "etcdserver: lease already exists"),
        ("LEASE_TTL_TOO_LARGE", 11, "etcdserver: too large lease TTL"),
        ("NO_LEADER", 14, "etcdserver: no leader"),
        ("NOT_LEADER", 9, "etcdserver: not leader"),
        ("REQUEST_TOO_LARGE", 3, "etcdserver: request is too large"),
    ],
)
def test_table(name: str, code: int, text: str) -> None:
    assert TABLE[name] == (code, text)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ApplyRefused("COMPACTED"), TABLE["COMPACTED"].text),
        (RequestRefused("EMPTY_KEY"), TABLE["EMPTY_KEY"].text),
        (RequestTimedOut("late"), "etcdserver: request timed out"),
        (OutcomeUnknown("who knows"), "etcdserver: request timed out"),
        (ReadTimedOut("late"), "etcdserver: request timed out"),
        (TooManyRequests("full"), "etcdserver: too many requests"),
        (Stopping("bye"), "etcdserver: server stopped"),
        (LeaderUnknown("it has moved"), "etcdserver: no leader"),
    ],
)
def test_failures_have_etcds_text(error: TwofoldError, text: str) -> None:
    assert status_of(error).text == text


class Burnt(Failure):
    retry = False


def test_an_unmapped_failure_keeps_its_own_text() -> None:
    assert status_of(Burnt("disk on fire")) == (Code.UNKNOWN, "disk on fire")


def test_what_may_pass_lets_clients_go_on() -> None:
    status = status_of(Failure("no leader"))
    assert status == (Code.UNAVAILABLE, "etcdserver: no leader")
