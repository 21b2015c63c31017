"""The ``twofold`` command: finds the noun and imports only its file.

Called by the name ``etcd`` it is ``twofold serve``, so that whoever starts etcd
can start us by a link of that name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from twofold.base.errors import TwofoldError

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

Command = Callable[[Sequence[str]], int]


def _serve(arguments: Sequence[str]) -> int:
    from twofold.cli.serve import serve

    return serve(arguments, os.environ)


def _witness(arguments: Sequence[str]) -> int:
    from twofold.cli.witness import app

    app(args=list(arguments), prog_name="twofold witness")
    return EXIT_OK


def _demo(arguments: Sequence[str]) -> int:
    from twofold.cli.demo import app

    app(args=list(arguments), prog_name="twofold demo")
    return EXIT_OK


def _version(arguments: Sequence[str]) -> int:
    from twofold.cli.serve import version_text

    if arguments:
        return _usage_error("version takes no arguments")
    sys.stdout.write(version_text())
    return EXIT_OK


COMMANDS: dict[str, tuple[str, Command]] = {
    "serve": ("Run a member; takes etcd's flags.", _serve),
    "witness": ("Set up, show and test a witness.", _witness),
    "demo": ("Two members and a witness lose a leader.", _demo),
    "version": ("Print the versions.", _version),
}


def help_text() -> str:
    """What ``twofold`` alone prints."""
    lines = [f"  {name:<10}{text}" for name, (text, _) in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: twofold COMMAND [ARGUMENTS]",
            "",
            *lines,
            "",
            "twofold COMMAND --help tells more.",
            "",
        ]
    )


def run(program: str, arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit code."""
    if program == "etcd":
        return _serve(arguments)
    if not arguments or arguments[0] in {"--help", "-h", "help"}:
        sys.stdout.write(help_text())
        return EXIT_OK if arguments else EXIT_USAGE
    if arguments[0] == "--version":
        return _version(arguments[1:])
    name, *rest = arguments
    if name not in COMMANDS:
        return _usage_error(f"there is no command {name!r}")
    try:
        return COMMANDS[name][1](rest)
    except TwofoldError as error:
        sys.stderr.write(f"twofold {name}: {error}\n")
        return EXIT_FAILED


def _usage_error(text: str) -> int:
    sys.stderr.write(f"twofold: {text}\n\n{help_text()}")
    return EXIT_USAGE


def main() -> None:
    """The entry point of the installed command."""
    sys.exit(run(Path(sys.argv[0]).name, sys.argv[1:]))


if __name__ == "__main__":
    main()
