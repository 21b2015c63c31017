"""The demo's control plane: a program beside it that is told what to do.

The program is test code and not imported: the layers below `cli` must work
without it, and so must an install without development packages.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twofold.daemon.errors import StartFailed

_ANSWER_TIMEOUT_S = 90.0
_STARTING_NOTES = 2


class Plane:
    """kube-apiserver, its controllers and a kubectl that never rests."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._process: asyncio.subprocess.Process | None = None
        self.calls = 0
        self.slowest_s = 0.0
        self.problems: list[str] = []

    async def start(self, folder: Path, urls: Sequence[str]) -> None:
        """Start all and wait until a Deployment runs.

        Raises:
            StartFailed: packages or programs are missing, or it does not come up.
        """
        with (folder / "kubernetes.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "twofold.testing.demo_plane",
                str(folder / "kubernetes"),
                *urls,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        for _ in range(_STARTING_NOTES):
            await self._answer()

    async def scale(self, replicas: int) -> None:
        """Have the Deployment changed, and wait until its pods run."""
        self._tell(f"scale {replicas}")
        await self._answer()

    async def end(self) -> None:
        """End all; ``calls``, ``slowest_s`` and ``problems`` are final then."""
        self._tell("end")
        found = await self._answer()
        self.calls = int(found.get("calls", 0))
        self.slowest_s = float(found.get("slowest_s", 0.0))
        await self.close()

    async def close(self) -> None:
        """Make sure that nothing is left; it ends its programs by itself."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(15):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise StartFailed("the control plane was not started")
        self._process.stdin.write(line.encode() + b"\n")

    async def _answer(self) -> dict[str, Any]:
        """The next line it says; notes are passed on, problems are errors."""
        if self._process is None or self._process.stdout is None:
            raise StartFailed("the control plane was not started")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise StartFailed(
                f"the control plane said nothing for {_ANSWER_TIMEOUT_S:.0f} s"
            ) from None
        if not line:
            raise StartFailed(
                "the control plane ended; it needs a development install and the"
                " real programs: tools/bootstrap.sh dev, then tools/build_peers.py"
            )
        found: dict[str, Any] = json.loads(line)
        if "note" in found:
            self._note(str(found["note"]))
        self.problems += found.get("problems", [])
        if self.problems and "calls" not in found:
            raise StartFailed(self.problems.pop())
        return found
