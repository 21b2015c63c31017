"""The one table from our errors to gRPC codes and etcd's exact texts.

Clients match on the text: it is part of the protocol.

Source: etcd ``api/v3rpc/rpctypes/error.go``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from twofold.base.errors import Failure, OutcomeUnknown, Refusal, TwofoldError
from twofold.member.facade import ReadTimedOut, Stopping, TooManyRequests
from twofold.member.member import LeaderUnknown
from twofold.store.apply.outcomes import ApplyRefused


class Code(IntEnum):
    """The gRPC status codes that are used here."""

    CANCELED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Status(NamedTuple):
    """How a call fails: ``Call.fail(*status)``."""

    code: int
    text: str


class RequestRefused(Refusal):
    """The wire refuses the request; ``error`` is a key of ``TABLE``."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


_TEXTS: dict[Code, dict[str, str]] = {
    Code.INVALID_ARGUMENT: {
        "EMPTY_KEY": "key is not provided",
        "KEY_NOT_FOUND": "key not found",
        "VALUE_PROVIDED": "value is provided",
        "LEASE_PROVIDED": "lease is provided",
        "TOO_MANY_OPS": "too many operations in txn request",
        "DUPLICATE_KEY": "duplicate key given in txn request",
        "INVALID_CLIENT_API_VERSION": "invalid client api version",
        "INVALID_SORT_OPTION": "invalid sort option",
        "MEMBER_BAD_URLS": "given member URLs are invalid",
        "REQUEST_TOO_LARGE": "request is too large",
        "USER_EMPTY": "user name is empty",
        "ROLE_EMPTY": "role name is empty",
        "AUTH_FAILED": "authentication failed, invalid user ID or password",
        "PERMISSION_NOT_GIVEN": "permission not given",
        "INVALID_AUTH_MANAGEMENT": "invalid auth management",
        "AUTH_OLD_REVISION": "revision of auth store is old",
    },
    Code.OUT_OF_RANGE: {
        "COMPACTED": "mvcc: required revision has been compacted",
        "FUTURE_REVISION": "mvcc: required revision is a future revision",
        "LEASE_TTL_TOO_LARGE": "too large lease TTL",
    },
    Code.RESOURCE_EXHAUSTED: {
        "NO_SPACE": "mvcc: database space exceeded",
        "TOO_MANY_REQUESTS": "too many requests",
    },
    Code.NOT_FOUND: {
        "LEASE_NOT_FOUND": "requested lease not found",
        "MEMBER_NOT_FOUND": "member not found",
    },
    Code.FAILED_PRECONDITION: {
        "LEASE_EXIST": "lease already exists",
        "MEMBER_EXIST": "member ID already exist",
        "PEER_URL_EXIST": "Peer URLs already exists",
        "MEMBER_NOT_ENOUGH_STARTED": (
            "re-configuration failed due to not enough started members"
        ),
        "AUTH_NOT_ENABLED": "authentication is not enabled",
        "NOT_LEADER": "not leader",
        "NOT_CAPABLE": "not capable",
        "NOT_SUPPORTED_FOR_LEARNER": "rpc not supported for learner",
        "BAD_LEADER_TRANSFEREE": "bad leader transferee",
    },
    Code.PERMISSION_DENIED: {"PERMISSION_DENIED": "permission denied"},
    Code.UNAUTHENTICATED: {"INVALID_AUTH_TOKEN": "invalid auth token"},
    Code.CANCELED: {
        "WATCH_CANCELED": "watch canceled",
        "REQUEST_CANCELED": "request canceled",
    },
    Code.UNAVAILABLE: {
        "NO_LEADER": "no leader",
        "LEADER_CHANGED": "leader changed",
        "STOPPED": "server stopped",
        "TIMEOUT": "request timed out",
        "TIMEOUT_LEADER_FAILURE": (
            "request timed out, possibly due to previous leader failure"
        ),
        "TIMEOUT_CONNECTION_LOST": (
            "request timed out, possibly due to connection lost"
        ),
        "TIMEOUT_WAIT_APPLIED": (
            "request timed out, waiting for the applied index took too long"
        ),
        "UNHEALTHY": "unhealthy cluster",
    },
    Code.DATA_LOSS: {"CORRUPT": "corrupt cluster"},
}

TABLE: dict[str, Status] = {
    name: Status(int(code), f"etcdserver: {text}")
    for code, texts in _TEXTS.items()
    for name, text in texts.items()
}
"""Error name, as in ``ApplyRefused.error``, to its status."""

WATCHER_RANGE_EMPTY = "mvcc: watcher range is empty"
WATCHER_DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"
COMPACTED_TEXT = "mvcc: required revision has been compacted"
"""Cancel reasons of a watch: texts of etcd's store, without the prefix."""

BAD_REQUEST = Status(Code.INTERNAL, "grpc: error unmarshalling request")
"""The body is not the method's message."""


def status_of(error: TwofoldError) -> Status:
    """What a client is told about ``error``.

    An outcome that is unknown must read as a time-out, never as a refusal.
    """
    if isinstance(error, ApplyRefused | RequestRefused):
        known = TABLE.get(error.error)
        return known or Status(Code.UNKNOWN, f"etcdserver: {error.error}")
    if isinstance(error, OutcomeUnknown | ReadTimedOut):
        return TABLE["TIMEOUT"]
    if isinstance(error, TooManyRequests):
        return TABLE["TOO_MANY_REQUESTS"]
    if isinstance(error, Stopping):
        return TABLE["STOPPED"]
    if isinstance(error, LeaderUnknown):
        return TABLE["NO_LEADER"]
    text = str(error) or type(error).__name__
    if isinstance(error, Failure) and error.retry:
        # Clients go on with leases and watches after this code only.
        return Status(Code.UNAVAILABLE, f"etcdserver: {text}")
    return Status(Code.UNKNOWN, text)
