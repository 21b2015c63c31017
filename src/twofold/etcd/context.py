"""What all services share, and how a method counts and refuses calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from twofold.base.errors import Failure, TwofoldError
from twofold.etcd.codec import Headers
from twofold.etcd.errors import Status, status_of
from twofold.etcd.front.port import Call
from twofold.etcd.timers import Later, loop_later
from twofold.etcd.validate import REQUEST_BYTES_MAX, TXN_OPS_MAX
from twofold.member.facade import Facade
from twofold.telemetry.metrics import Meter, MethodCounts


@dataclass(frozen=True, slots=True)
class WireOptions:
    """What the configuration says of the client side.

    ``version``: kube-apiserver turns consistent reads from its cache off for
    versions that are no semver, older than 3.4.31 or in 3.5.0 to 3.5.12.
    """

    version: str = "3.6.14"
    cluster_version: str = "3.6.0"
    storage_version: str = "3.6.0"
    request_timeout_ms: int = 7_000
    request_bytes_max: int = REQUEST_BYTES_MAX
    response_overhead_bytes: int = 512 * 1024
    txn_ops_max: int = TXN_OPS_MAX
    watch_progress_interval_ms: int = 600_000
    watch_progress_jitter: float = 0.1
    """Share of the interval by which streams differ, so as not to tick at once."""


@dataclass(slots=True)
class Context:
    """One member's wire: the facade and what replies are made with."""

    facade: Facade
    options: WireOptions = field(default_factory=WireOptions)
    meter: Meter = field(default_factory=Meter)
    later: Later = loop_later
    headers: Headers = field(init=False)

    def __post_init__(self) -> None:
        """Headers carry the facade's ids."""
        self.headers = Headers(self.facade.cluster_id, self.facade.member_id)

    def header(self, revision: int) -> bytes:
        """Field 1 of a reply at ``revision``."""
        return self.headers.field(revision, self.facade.term())

    def current_header(self) -> bytes:
        """Field 1 of a reply at the store's revision."""
        facade = self.facade
        return self.headers.field(facade.store.current_revision, facade.term())

    def timeout_ms(self, call: Call) -> int:
        """The client's patience, but never more than ours."""
        limit_ms = self.options.request_timeout_ms
        timeout_ms = call.timeout_ms
        if timeout_ms is None or timeout_ms > limit_ms:
            return limit_ms
        return timeout_ms

    def refuse_write(
        self, call: Call, counts: MethodCounts, error: TwofoldError
    ) -> None:
        """Answer a write that consensus or the state machine did not take."""
        if isinstance(error, Failure):
            self.meter.proposals_failed += 1
        refuse(call, counts, error)

    def refuse_read(
        self, call: Call, counts: MethodCounts, error: TwofoldError
    ) -> None:
        """Answer a read that could not be confirmed."""
        self.meter.reads_failed += 1
        refuse(call, counts, error)

    def unary(self, path: str) -> MethodCounts:
        """Counts of a method with one request and one reply."""
        return self.meter.method(path, "unary")


def refuse(call: Call, counts: MethodCounts, error: TwofoldError) -> None:
    """Answer a call with what ``error`` means on the wire."""
    fail(call, counts, status_of(error))


def fail(call: Call, counts: MethodCounts, status: Status) -> None:
    """Answer a call with a status."""
    counts.fail(status.code)
    call.fail(status.code, status.text)


def succeed(call: Call, counts: MethodCounts, message: bytes | list[bytes]) -> None:
    """Answer a call."""
    counts.succeeded += 1
    call.reply(message)
