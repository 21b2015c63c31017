"""Runs benchmarks by name: ``python bench/run.py NAME [ARGUMENT ...]``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("failover", "put", "range", "watch", "list", "disk", "memory")


def main() -> int:
    """Run the named benchmark, or all of them one after the other."""
    names = sys.argv[1:2]
    if names == ["all"]:
        names = list(NAMES)
    if not names or names[0] not in NAMES:
        print(f"usage: run.py {'|'.join(NAMES)}|all [ARGUMENT ...]", file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parent.parent
    codes = [
        subprocess.run(
            [sys.executable, "-m", f"bench.{name}", *sys.argv[2:]],
            cwd=root,
            check=False,
        ).returncode
        for name in names
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
