"""Runs etcd's own `benchmark` and reads its summary."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.testing.processes import Cluster, ProcessFailed, required_binary

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_PERCENTILE = re.compile(r"([\d.]+)% in ([\d.]+) secs")
_ERRORS = re.compile(r"Error distribution:\s*\n(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Summary:
    """One block of the tool's output; ``latency_s`` maps percentile to seconds."""

    per_second: float
    latency_s: dict[float, float]


@dataclass(frozen=True, slots=True)
class Run:
    """One call of the tool and what the servers spent on it."""

    summaries: list[Summary]
    server_cpu_s: float
    written_bytes: int

    @property
    def last(self) -> Summary:
        """The block that the table is about."""
        return self.summaries[-1]


def run_tool(
    cluster: Cluster,
    *arguments: str,
    connections: int = 1,
    clients: int = 1,
    endpoints: Sequence[str] | None = None,
) -> Run:
    """Run ``benchmark ARGUMENTS`` against a cluster, server CPU measured around it.

    Raises:
        ProcessFailed: the tool failed, or a request of its did.
    """
    member = cluster.members[0]
    command = [required_binary("benchmark"), *arguments]
    chosen = cluster.endpoints if endpoints is None else list(endpoints)
    command += ["--endpoints", ",".join(chosen), "--precise"]
    command += ["--conns", str(connections), "--clients", str(clients)]
    if member.tls is not None:
        command += ["--cacert", str(member.tls.ca)]
        command += ["--cert", str(member.tls.certificate)]
        command += ["--key", str(member.tls.key)]
    before = cluster.usage()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = cluster.usage()
    errors = _ERRORS.search(done.stdout)
    if done.returncode != 0 or errors:
        words = errors[1] if errors else done.stderr[-2000:]
        raise ProcessFailed(f"benchmark {' '.join(arguments)}: {words}")
    summaries = [_summary(block) for block in done.stdout.split("Summary:")[1:]]
    return Run(
        summaries,
        after.cpu_s - before.cpu_s,
        after.written_bytes - before.written_bytes,
    )


def _summary(block: str) -> Summary:
    rate = _RATE.search(block)
    if rate is None:
        raise ProcessFailed(f"benchmark printed no rate:\n{block}")
    latency_s = {
        float(percent): float(seconds)
        for percent, seconds in _PERCENTILE.findall(block)
    }
    return Summary(float(rate[1]), latency_s)
