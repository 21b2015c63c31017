"""``twofold serve``: from a command line to a running member.

Not a typer command: etcd's flags have a syntax of their own, read by
`daemon.flagparse`, and a member should not wait for imports it does not need.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence

from twofold import __version__
from twofold.base.errors import TwofoldError
from twofold.daemon.config import ServeConfig, asks_only, load_config
from twofold.daemon.errors import ConfigError
from twofold.daemon.flags import usage


def serve(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a member until it is told to stop; gives the exit code."""
    try:
        asked = asks_only(arguments)
        if asked == "help":
            sys.stdout.write(usage("twofold serve") + "\n")
            return 0
        if asked == "version":
            sys.stdout.write(version_text())
            return 0
        config = load_config(arguments, environment)
    except ConfigError as error:
        sys.stderr.write(f"twofold serve: {error}\n")
        return 2
    try:
        return _run(config)
    except TwofoldError as error:
        sys.stderr.write(f"twofold serve: {error}\n")
        return 1


def _run(config: ServeConfig) -> int:
    # structlog imports rich, where there is one, for coloured output that a member
    # never prints; None keeps it out, and a tenth of the member's memory with it.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from twofold.daemon.store import run

    return run(config)


def version_text() -> str:
    """What ``--version`` prints; the first line is read by etcd's own tools."""
    from twofold.etcd.context import WireOptions

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(
        platform.machine(), platform.machine()
    )
    return (
        f"etcd Version: {WireOptions().version}\n"
        f"twofold Version: {__version__}\n"
        f"Python Version: {platform.python_version()}\n"
        f"OS/Arch: {platform.system().lower()}/{machine}\n"
    )
