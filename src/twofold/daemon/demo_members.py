"""The demo's processes: two members and a witness directory in one folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from twofold.client.errors import NotConnected
from twofold.client.pages import get_page, samples
from twofold.daemon.errors import StartFailed

COMMAND = (sys.executable, "-m", "twofold.cli.main")
NAMES = ("a", "b")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a member says of itself on its metrics page."""

    leads: bool = False
    mode: str = ""
    witness_operations: int = 0


@dataclass(slots=True)
class DemoMember:
    """One member as a process; ``facts`` are those of the last poll."""

    name: str
    client_url: str
    peer_url: str
    folder: Path
    flags: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    facts: Facts = field(default_factory=Facts)

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_path(self) -> Path:
        """Where its log goes, over all its starts."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it, again if it was there before."""
        with self.log_path.open("ab") as log:
            # Its own session: Ctrl-C in the terminal is for the demo alone.
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [*COMMAND, "serve", *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9, for it and what it started, as a loss of power would."""
        self._signal(signal.SIGKILL)
        self.facts = Facts()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ask it to end; kill it if it does not."""
        self._signal(signal.SIGTERM)
        if self.process is None:
            return
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()

    async def poll(self) -> None:
        """Refresh ``facts``; keeps the old ones if it does not answer now."""
        if not self.running:
            return
        try:
            _, page = await get_page(self.client_url, "/metrics", timeout_ms=500)
        except NotConnected:
            return
        found = samples(page)
        mode = next(
            (
                name.partition('mode="')[2].partition('"')[0]
                for name, value in found.items()
                if name.startswith("twofold_mode{") and value
            ),
            "",
        )
        self.facts = Facts(
            leads=bool(found.get("etcd_server_is_leader", 0)),
            mode=mode,
            witness_operations=int(found.get("twofold_witness_operations_total", 0)),
        )

    async def healthy(self) -> bool:
        """Whether it serves linearizable reads now."""
        try:
            status, _ = await get_page(self.client_url, "/health", timeout_ms=500)
        except NotConnected:
            return False
        return status == 200

    def log_tail(self, lines: int = 8) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log_path.read_text().splitlines()[-lines:])
        except OSError:
            return ""


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def make_members(folder: Path, ports: list[int]) -> list[DemoMember]:
    """Two members and their flags; nothing is started."""
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    cluster = f"a={urls[2]},b={urls[3]}"
    return [
        DemoMember(
            name,
            client_url=urls[number],
            peer_url=urls[2 + number],
            folder=folder,
            flags=(
                f"--name={name}",
                f"--data-dir={folder / name}",
                f"--listen-client-urls={urls[number]}",
                f"--advertise-client-urls={urls[number]}",
                f"--listen-peer-urls={urls[2 + number]}",
                f"--initial-advertise-peer-urls={urls[2 + number]}",
                f"--initial-cluster={cluster}",
                f"--witness={witness_url(folder)}",
            ),
        )
        for number, name in enumerate(NAMES)
    ]


def witness_url(folder: Path) -> str:
    """Where the demo's witness is."""
    return f"file://{folder / 'witness'}"


def make_witness(folder: Path, members: list[DemoMember]) -> None:
    """``twofold witness init``, as an operator would.

    Raises:
        StartFailed: it could not be made; its own words are in the text.
    """
    cluster = ",".join(f"{member.name}={member.peer_url}" for member in members)
    done = subprocess.run(  # noqa: S603 - our own command
        [
            *COMMAND,
            "witness",
            "init",
            witness_url(folder),
            f"--initial-cluster={cluster}",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        raise StartFailed(f"witness init: {done.stderr.strip()}")
