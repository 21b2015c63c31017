"""Latency of listing 10 000 keys of 1 kB in one reply."""

from __future__ import annotations

from bench.figures import Figure
from bench.fill import END, PREFIX, fill
from bench.setting import clusters, parse, report, say
from bench.tool import run_tool

KEYS = 10_000


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=5)
    total = 10 if options.quick else 40
    middle = Figure("one client: p50", "ms", ratio_max=1.0)
    high = Figure("one client: p90", "ms")
    cpu = Figure("one client: server CPU", "ms/list")
    with clusters(options, "list", pair=False) as running:
        for cluster in running.values():
            fill(cluster, KEYS, 1000)
        for turn in range(options.rounds):
            for system, cluster in running.items():
                command = ("range", PREFIX, END, "--total", str(total))
                run = run_tool(cluster, *command)
                middle.add(system, run.last.latency_s[50.0] * 1e3)
                high.add(system, run.last.latency_s[90.0] * 1e3)
                cpu.add(system, run.server_cpu_s / total * 1e3)
            say(f"list: round {turn + 1} of {options.rounds}")
    report(options, "list", [middle, high, cpu], f"{KEYS} keys of 1000 bytes.")


if __name__ == "__main__":
    main()
