"""What is served besides gRPC: version, health checks, metrics.

Source: etcd ``server/etcdserver/api/etcdhttp``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qs

from twofold.base.errors import TwofoldError
from twofold.etcd.context import Context
from twofold.etcd.errors import status_of
from twofold.etcd.front.port import HttpRequest
from twofold.proto import rpc_pb2
from twofold.telemetry.exposition import CONTENT_TYPE

_TEXT = {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
}
_JSON = {"content-type": "application/json"}

Query = Mapping[str, list[str]]
CheckDone = Callable[[str], None]
"""Called with the reason of a failed check, or an empty text."""
Check = Callable[[CheckDone], None]


class HealthPages:
    """Answers everything that is no gRPC request.

    ``metrics`` gives the page for Prometheus.
    """

    def __init__(self, context: Context, metrics: Callable[[], bytes]) -> None:
        self._context = context
        self._metrics = metrics
        live = {"serializable_read": self._check_local_read}
        ready = {
            "data_corruption": self._check_corruption,
            "serializable_read": self._check_local_read,
            "linearizable_read": self._check_fresh_read,
            "non_learner": self._check_member,
        }
        self._pages: dict[str, Callable[[HttpRequest], None]] = {
            "/version": self._version,
            "/health": self._health,
            "/metrics": self._metrics_page,
        }
        self._add_checks("/livez", live)
        self._add_checks("/readyz", ready)

    def __call__(self, request: HttpRequest) -> None:
        """Serve one request; only GET is known."""
        page = self._pages.get(request.path)
        if page is None:
            request.respond(404, _TEXT, b"404 page not found\n")
        elif request.method != "GET":
            request.respond(405, {**_TEXT, "allow": "GET"}, b"Method Not Allowed\n")
        else:
            page(request)

    def _version(self, request: HttpRequest) -> None:
        options = self._context.options
        body = {
            "etcdserver": options.version,
            "etcdcluster": options.cluster_version,
            "storage": options.storage_version,
        }
        request.respond(200, _JSON, json.dumps(body, separators=(",", ":")).encode())

    def _metrics_page(self, request: HttpRequest) -> None:
        request.respond(200, {"content-type": CONTENT_TYPE}, self._metrics())

    # ---- /health

    def _health(self, request: HttpRequest) -> None:
        query = parse_qs(request.query, keep_blank_values=True)
        serializable = query.get("serializable", [""])[0] == "true"
        reason = self._alarm_reason(query)
        if not reason and not serializable and not self._context.facade.has_leader():
            reason = "RAFT NO LEADER"
        if reason or serializable:
            self._answer_health(request, reason)
            return
        self._context.facade.confirm_read(
            partial(self._health_read, request),
            self._context.options.request_timeout_ms,
        )

    def _health_read(self, request: HttpRequest, error: TwofoldError | None) -> None:
        reason = "" if error is None else f"RANGE ERROR:{status_of(error).text}"
        self._answer_health(request, reason)

    def _answer_health(self, request: HttpRequest, reason: str) -> None:
        healthy = not reason
        page = {"health": "true" if healthy else "false", "reason": reason}
        body = json.dumps(page, separators=(",", ":")).encode()
        meter = self._context.meter
        if healthy:
            meter.health_successes += 1
            request.respond(200, _TEXT, body)
        else:
            meter.health_failures += 1
            request.respond(503, _TEXT, body + b"\n")

    def _alarm_reason(self, query: Query) -> str:
        excluded = set(query.get("exclude", []))
        for _, alarm in self._context.facade.alarms():
            name = alarm_name(alarm)
            if name not in excluded:
                return f"ALARM {name}"
        return ""

    # ---- /livez and /readyz

    def _add_checks(self, root: str, checks: Mapping[str, Check]) -> None:
        self._pages[root] = partial(self._run_most, checks)
        for name, check in checks.items():
            self._pages[f"{root}/{name}"] = partial(self._run_checks, {name: check})

    def _run_most(self, checks: Mapping[str, Check], request: HttpRequest) -> None:
        query = parse_qs(request.query, keep_blank_values=True)
        excluded = query.get("exclude", [])
        left = {name: one for name, one in checks.items() if name not in excluded}
        self._run_checks(left, request)

    def _run_checks(self, checks: Mapping[str, Check], request: HttpRequest) -> None:
        query = parse_qs(request.query, keep_blank_values=True)
        names = list(checks)
        if not names:
            self._answer_checks(request, "verbose" in query, [])
            return
        run = _Run(names, partial(self._answer_checks, request, "verbose" in query))
        for name in names:
            checks[name](partial(run.done, name))

    def _answer_checks(
        self, request: HttpRequest, verbose: bool, results: list[_Result]
    ) -> None:
        lines = "".join(
            f"[-]{name} failed: {reason}\n" if reason else f"[+]{name} ok\n"
            for name, reason in results
        )
        if any(reason for _, reason in results):
            request.respond(503, _TEXT, f"{lines}\n".encode())
        else:
            request.respond(200, _TEXT, f"{lines if verbose else ''}ok\n".encode())

    def _check_corruption(self, done: CheckDone) -> None:
        alarms = {alarm for _, alarm in self._context.facade.alarms()}
        done("alarm activated: CORRUPT" if rpc_pb2.CORRUPT in alarms else "")

    def _check_local_read(self, done: CheckDone) -> None:
        # That this runs shows that the loop turns; the store is in memory.
        done("")

    def _check_fresh_read(self, done: CheckDone) -> None:
        def confirmed(error: TwofoldError | None) -> None:
            if error is None:
                done("")
                return
            # Why there is no service is what a person at night wants to read.
            why = self._context.facade.status().core.reason
            text = status_of(error).text
            done(f"range error: {text}" + (f" ({why})" if why else ""))

        self._context.facade.confirm_read(
            confirmed, self._context.options.request_timeout_ms
        )

    def _check_member(self, done: CheckDone) -> None:
        # Members are never learners in etcd's sense; kept for probes that ask.
        done("")


class _Result(NamedTuple):
    name: str
    reason: str


class _Run:
    """Gathers the results of checks that may end later, in any order."""

    def __init__(
        self, names: list[str], finish: Callable[[list[_Result]], None]
    ) -> None:
        self._names = names
        self._finish = finish
        self._reasons: dict[str, str] = {}

    def done(self, name: str, reason: str) -> None:
        """Take one result; the last one finishes the run."""
        self._reasons[name] = reason
        if len(self._reasons) == len(self._names):
            self._finish([_Result(one, self._reasons[one]) for one in self._names])


_ALARM_NAMES = {int(value): name for name, value in rpc_pb2.AlarmType.items()}


def alarm_name(alarm: int) -> str:
    """etcd's name of an alarm type."""
    return _ALARM_NAMES.get(alarm, "UNKNOWN")
