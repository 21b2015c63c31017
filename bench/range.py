"""Linearizable reads of one key: rate and server CPU, 1 to 1000 clients."""

from __future__ import annotations

from bench.figures import Figure
from bench.fill import PREFIX, fill
from bench.setting import clusters, parse, report, say
from bench.tool import run_tool

# Connections, clients, reads a run.
LOADS = ((1, 1, 5000), (16, 16, 40_000), (100, 1000, 100_000))


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=3, members=("one", "pair"))
    figures = []
    for size in options.members:
        pair = size == "pair"
        label = "two members (etcd three)" if pair else "one member"
        with clusters(options, f"range-{size}", pair=pair) as running:
            for cluster in running.values():
                fill(cluster, 1000, 256)
            for connections, clients, full in LOADS:
                total = full // 10 if options.quick else full
                name = f"{label}, {connections}/{clients}"
                bound = (1.4, 0.5) if clients == 1000 and not pair else (None, None)
                rate = Figure(f"{name}: rate", "range/s", ratio_min=bound[0])
                cpu = Figure(f"{name}: server CPU", "µs/range", ratio_max=bound[1])
                high = Figure(f"{name}: p99", "ms")
                for _ in range(options.rounds):
                    for system, cluster in running.items():
                        run = run_tool(
                            cluster,
                            *("range", f"{PREFIX}{500:09}", "--total", str(total)),
                            connections=connections,
                            clients=clients,
                        )
                        rate.add(system, run.last.per_second)
                        cpu.add(system, run.server_cpu_s / total * 1e6)
                        high.add(system, run.last.latency_s[99.0] * 1e3)
                say(name)
                figures += [rate, cpu, high]
    report(options, "range", figures, "Connections/clients as named.")


if __name__ == "__main__":
    main()
