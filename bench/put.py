"""Durable puts a second and server CPU a put, by etcd's own benchmark tool.

One member beside one, plaintext and TLS; two members beside etcd's three.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.figures import Figure
from bench.setting import Options, certificates, clusters, parse, report, say
from bench.tool import run_tool
from twofold.testing.processes import Cluster, TlsFiles

VALUE_BYTES = 256
# Connections, clients, puts a run.
LOADS = ((1, 1, 2000), (16, 16, 20_000), (100, 1000, 50_000))


@dataclass
class Bounds:
    """What a row of the table must reach."""

    rate_min: float
    cpu_max: float | None


@dataclass
class Series:
    """Figures of one load on one kind of cluster."""

    name: str
    bounds: Bounds
    figures: list[Figure] = field(default_factory=list)

    def __post_init__(self) -> None:
        rate_min, cpu_max = self.bounds.rate_min, self.bounds.cpu_max
        self.figures = [
            Figure(f"{self.name}: rate", "put/s", ratio_min=rate_min),
            Figure(f"{self.name}: server CPU", "µs/put", ratio_max=cpu_max),
            Figure(f"{self.name}: p50", "ms"),
            Figure(f"{self.name}: p99", "ms"),
        ]

    def measure(
        self, system: str, cluster: Cluster, load: tuple[int, int, int]
    ) -> None:
        """One run."""
        connections, clients, total = load
        run = run_tool(
            cluster,
            "put",
            *("--total", str(total)),
            *("--key-size", "16"),
            *("--key-space-size", "10000"),
            "--sequential-keys",
            *("--val-size", str(VALUE_BYTES)),
            connections=connections,
            clients=clients,
        )
        rate, cpu, middle, high = self.figures
        rate.add(system, run.last.per_second)
        cpu.add(system, run.server_cpu_s / total * 1e6)
        middle.add(system, run.last.latency_s[50.0] * 1e3)
        high.add(system, run.last.latency_s[99.0] * 1e3)


def _setting(
    options: Options, label: str, *, pair: bool, tls: TlsFiles | None, bounds: Bounds
) -> list[Figure]:
    figures = []
    with clusters(options, label.replace(" ", "-"), pair=pair, tls=tls) as running:
        for connections, clients, total in LOADS:
            load = (connections, clients, total // 10 if options.quick else total)
            series = Series(f"{label}, {connections}/{clients}", bounds)
            for turn in range(options.rounds):
                for system, cluster in running.items():
                    series.measure(system, cluster, load)
                say(f"{series.name}: round {turn + 1} of {options.rounds}")
            figures += series.figures
    return figures


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=3, members=("one", "one-tls", "pair"))
    figures: list[Figure] = []
    if "one" in options.members:
        bounds = Bounds(1.3, 0.6)
        figures += _setting(options, "one member", pair=False, tls=None, bounds=bounds)
    if "one-tls" in options.members:
        tls = certificates(options.folder / "tls")
        bounds = Bounds(2.0, None)
        label = "one member TLS"
        figures += _setting(options, label, pair=False, tls=tls, bounds=bounds)
    if "pair" in options.members:
        bounds = Bounds(1.2, 0.5)
        label = "two members (etcd three)"
        figures += _setting(options, label, pair=True, tls=None, bounds=bounds)
    note = f"Connections/clients as named; values of {VALUE_BYTES} bytes."
    report(options, "put", figures, note)


if __name__ == "__main__":
    main()
