"""etcdctl, unmodified, on any of the servers; output in comparable form."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from twofold.testing.processes import Member, required_binary

_TIMEOUT_S = 30.0
_BLANKS = [
    (re.compile(r'"(cluster_id|member_id|raft_term|ID)":\d+'), r'"\1":0'),
    (re.compile(r'("(?:ClusterID|MemberID|RaftTerm)" : )\d+'), r"\g<1>0"),
    (re.compile(r"\b[0-9a-f]{15,16}\b"), "ID"),
    (re.compile(r"\b[\d.]+(µs|ms|s)\b"), "TIME"),
    # What its client library logs, with addresses of memory and sockets.
    (re.compile(r'^\{"level":.*\n', re.MULTILINE), ""),
]


class Output(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    error: str


def command(endpoints: Sequence[str], *arguments: str) -> list[str]:
    """The command line."""
    program = required_binary("etcdctl")
    return [program, f"--endpoints={','.join(endpoints)}", *arguments]


def etcdctl(
    endpoints: Sequence[str], *arguments: str, stdin: str | None = None
) -> Output:
    """Run one command to its end.

    Raises:
        ProcessFailed: etcdctl is not built.
        subprocess.TimeoutExpired: it did not end.
    """
    done = subprocess.run(  # noqa: S603 - only tests name it
        command(endpoints, *arguments),
        input=stdin or "",
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def comparable(text: str, member: Member) -> str:
    """Without addresses, identities and times."""
    text = text.replace(member.endpoint, "ENDPOINT")
    text = text.replace(member.peer_url, "PEER")
    for pattern, blank in _BLANKS:
        text = pattern.sub(blank, text)
    return text
