"""One writer, 1000 watch streams: events a second, their CPU and their latency."""

from __future__ import annotations

from bench.figures import Figure
from bench.setting import clusters, parse, report, say
from bench.tool import run_tool

STREAMS = 1000
CONNECTIONS = 100
# 20 puts a second to 1000 streams: far from what either can bear.
CALM_RATE = 20


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, rounds=3)
    puts = 50 if options.quick else 500
    calm_puts = 40 if options.quick else 200
    rate = Figure("full speed: events", "event/s", ratio_min=1.4)
    cpu = Figure("full speed: server CPU", "µs/event")
    middle = Figure(f"{CALM_RATE} put/s: latency p50", "ms")
    high = Figure(f"{CALM_RATE} put/s: latency p99", "ms", ratio_max=1.0)
    with clusters(options, "watch", pair=False) as running:
        for turn in range(options.rounds):
            for system, cluster in running.items():
                run = run_tool(
                    cluster,
                    *("watch", "--streams", str(STREAMS), "--watch-per-stream", "1"),
                    *("--watched-key-total", "1", "--put-total", str(puts)),
                    connections=CONNECTIONS,
                    clients=CONNECTIONS,
                )
                rate.add(system, run.last.per_second)
                cpu.add(system, run.server_cpu_s / (puts * STREAMS) * 1e6)
                run = run_tool(
                    cluster,
                    *("watch-latency", "--streams", str(STREAMS)),
                    *("--watchers-per-stream", "1", "--put-rate", str(CALM_RATE)),
                    *("--put-total", str(calm_puts)),
                    connections=CONNECTIONS,
                    clients=CONNECTIONS,
                )
                # The tool leaves out a percentile that rounds to nothing.
                middle.add(system, run.last.latency_s.get(50.0, 0.0) * 1e3)
                high.add(system, run.last.latency_s[99.0] * 1e3)
            say(f"watch: round {turn + 1} of {options.rounds}")
    note = f"{STREAMS} streams of one watch each over {CONNECTIONS} connections."
    report(options, "watch", [rate, cpu, middle, high], note)


if __name__ == "__main__":
    main()
