"""Network namespaces on one bridge: each member a machine of its own.

Needs root, `ip` and `nft`. The process that makes a network first moves into a
private namespace, which holds the bridge: nothing it or its children send can
leave this machine, not even when a test ends in the middle of a retry.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from twofold.base.errors import Failure

_TABLE = "twofold"
_CLONE_NEWNET = 0x40000000
_ENTERED: list[int] = []


class NetworkCommandFailed(Failure):
    """`ip` or `nft` refused; its own words are in the text."""


def missing_tools() -> list[str]:
    """What this machine lacks for namespaces, as words for a skip reason."""
    lacking = [f"`{tool}`" for tool in ("ip", "nft") if shutil.which(tool) is None]
    if os.geteuid() != 0:
        lacking.append("root")
    return lacking


def enter_private_network() -> None:
    """Move this process for good into a network namespace with loopback only.

    Call it from the main thread before other threads open sockets: those that
    exist keep the namespace they have. A second call does nothing.
    """
    if _ENTERED:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise NetworkCommandFailed(f"unshare: {os.strerror(number)}")
    _run("ip", "link", "set", "lo", "up")
    _ENTERED.append(os.getpid())


def _run(*command: str, stdin: str | None = None) -> str:
    # The words come from this file and its callers in the tests.
    done = subprocess.run(  # noqa: S603
        command, input=stdin, capture_output=True, text=True
    )
    if done.returncode != 0:
        words = f"{' '.join(command)}: {done.stderr.strip()}"
        raise NetworkCommandFailed(words)
    return done.stdout


def _try(*command: str) -> None:
    with suppress(NetworkCommandFailed):
        _run(*command)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One machine of the network."""

    name: str
    address: str

    def command(self, command: Sequence[str]) -> list[str]:
        """Wrap a command so that it runs inside."""
        return ["ip", "netns", "exec", self.name, *command]


@dataclass
class Network:
    """``count`` namespaces on a bridge, made on enter and gone on exit.

    Shape: names carry ``tag`` (at most 6 characters), so that two networks of
    one machine do not meet; this process is ``subnet``.1, the machines
    ``subnet``.11 and on.
    """

    tag: str
    count: int
    subnet: str = "10.254.77"
    machines: list[Namespace] = field(default_factory=list)

    @property
    def bridge(self) -> str:
        """The bridge's name."""
        return f"tf{self.tag}"

    @property
    def gateway(self) -> str:
        """This process's address on the bridge."""
        return f"{self.subnet}.1"

    def __enter__(self) -> Network:
        enter_private_network()
        try:
            self._create()
        except NetworkCommandFailed:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def _create(self) -> None:
        self.remove()
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{self.gateway}/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")
        for number in range(self.count):
            machine = Namespace(f"tf{self.tag}{number}", f"{self.subnet}.{11 + number}")
            self.machines.append(machine)
            outer, inner = f"tf{self.tag}{number}o", f"tf{self.tag}{number}i"
            _run("ip", "netns", "add", machine.name)
            _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
            _run("ip", "link", "set", inner, "netns", machine.name)
            _run("ip", "link", "set", outer, "master", self.bridge, "up")
            inside = ("ip", "-n", machine.name)
            _run(*inside, "addr", "add", f"{machine.address}/24", "dev", inner)
            _run(*inside, "link", "set", inner, "up")
            _run(*inside, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Take the network down; what is not there is no error."""
        for number in range(self.count):
            _try("ip", "netns", "del", f"tf{self.tag}{number}")
            _try("ip", "link", "del", f"tf{self.tag}{number}o")
        _try("ip", "link", "del", self.bridge)
        self.machines.clear()

    def cut(self, a: int, b: int) -> None:
        """Drop everything between two machines, both ways."""
        self.cut_one_way(a, b)
        self.cut_one_way(b, a)

    def cut_one_way(self, source: int, target: int) -> None:
        """Drop what ``target`` would receive from ``source``."""
        self._drop(target, f"ip saddr {self.machines[source].address}")

    def isolate(self, number: int) -> None:
        """Pull the machine's cable: nothing in, nothing out."""
        self._drop(number, "iifname != lo")
        self._drop(number, "oifname != lo", chain="output")

    def heal(self) -> None:
        """End every cut."""
        for machine in self.machines:
            script = f"add table inet {_TABLE}\ndelete table inet {_TABLE}\n"
            _run(*machine.command(["nft", "-f", "-"]), stdin=script)

    def hide(self, process: int, path: Path) -> None:
        """Let one process and its children see an empty folder there instead.

        Works on what runs in a machine of this network: each has mounts of its own.
        """
        inside = ("nsenter", "-t", str(process), "-m")
        own = Path("/proc/self/ns/mnt").readlink()
        if Path(f"/proc/{process}/ns/mnt").readlink() == own:
            raise NetworkCommandFailed(f"process {process} has our own mounts")
        _run(*inside, "mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", str(path))

    def reveal(self, process: int, path: Path) -> None:
        """End `hide`."""
        _run("nsenter", "-t", str(process), "-m", "umount", "-l", str(path))

    def _drop(self, number: int, match: str, chain: str = "input") -> None:
        hook = f"type filter hook {chain} priority 0; policy accept;"
        script = (
            f"add table inet {_TABLE}\n"
            f"add chain inet {_TABLE} {chain} {{ {hook} }}\n"
            f"add rule inet {_TABLE} {chain} {match} drop\n"
        )
        _run(*self.machines[number].command(["nft", "-f", "-"]), stdin=script)
