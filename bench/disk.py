"""Bytes handed to the disk: per 1 kB put, idle, and under an idle control plane.

Counted by the kernel per process (``write_bytes`` of ``/proc/PID/io``).
"""

from __future__ import annotations

import time

from bench.figures import Figure
from bench.setting import Options, clusters, parse, report, say
from bench.tool import run_tool
from twofold.testing.control_plane import BINARIES, ControlPlane
from twofold.testing.processes import Cluster, peer_binary

_HOUR_S = 3600.0
_MEGABYTE = 1 << 20
# Long enough for lazy checkpoints to follow.
_CALM_S = 8.0


def _put(options: Options, cluster: Cluster, clients: int) -> float:
    """Bytes written a put, everything that follows lazily included."""
    total = (500 if clients == 1 else 20_000) // (10 if options.quick else 1)
    before = cluster.usage().written_bytes
    run_tool(
        cluster,
        *("put", "--total", str(total), "--key-size", "16"),
        *("--key-space-size", "10000", "--sequential-keys", "--val-size", "1000"),
        connections=clients,
        clients=clients,
    )
    time.sleep(_CALM_S)
    return (cluster.usage().written_bytes - before) / total


def _hourly(running: dict[str, Cluster], seconds: float) -> dict[str, float]:
    """Megabytes an hour at the rate of the next ``seconds``."""
    before = {system: one.usage().written_bytes for system, one in running.items()}
    time.sleep(seconds)
    factor = _HOUR_S / seconds / _MEGABYTE
    return {
        system: (one.usage().written_bytes - before[system]) * factor
        for system, one in running.items()
    }


def _control_planes(options: Options, figure: Figure, seconds: float) -> None:
    with clusters(options, "disk-plane", pair=False) as running:
        planes = []
        try:
            for system, cluster in running.items():
                urls = [member.client_url for member in cluster.members]
                plane = ControlPlane(options.folder / f"plane-{system}", urls)
                planes.append(plane)
                plane.start()
                plane.add_nodes(10)
            time.sleep(30)
            for system, written in _hourly(running, seconds).items():
                figure.add(system, written)
        finally:
            for plane in planes:
                plane.close()


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=1)
    alone = Figure("1 kB put, 1 client", "byte/put", ratio_max=0.4)
    many = Figure("1 kB put, 100 clients", "byte/put", ratio_max=0.4)
    idle = Figure("no client at all", "MB/h")
    plane = Figure("idle control plane, 10 nodes", "MB/h", ratio_max=0.4)
    seconds = 10.0 if options.quick else 120.0
    with clusters(options, "disk", pair=False) as running:
        for turn in range(options.rounds):
            for figure, clients in ((alone, 1), (many, 100)):
                for system, cluster in running.items():
                    figure.add(system, _put(options, cluster, clients))
            say(f"disk: round {turn + 1} of {options.rounds}")
        for system, written in _hourly(running, seconds).items():
            idle.add(system, written)
    figures = [alone, many, idle]
    if all(peer_binary(name) for name in BINARIES):
        _control_planes(options, plane, seconds)
        figures.append(plane)
    else:
        say("disk: the Kubernetes peers are not built; that row is left out")
    note = f"Hourly figures are extrapolated from {seconds:.0f} s."
    report(options, "disk", figures, note)


if __name__ == "__main__":
    main()
