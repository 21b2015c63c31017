"""Real processes under test: programs, and clusters of etcd or twofold members.

A cluster's members take etcd's flags whoever they are, so every test and
benchmark drives both kinds through the same words: start, kill, pause, resume,
restart. A signal goes to the member's whole process group, as the loss of a
machine would. Start with `etcd_cluster` or `twofold_cluster`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from twofold.base.errors import Failure
from twofold.testing.netns import Namespace

READY_TIMEOUT_S = 30.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessFailed(Failure):
    """A program ended or never became ready; the end of its log is in the text."""


def peer_binary(name: str) -> Path | None:
    """Where `tools/build_peers.py` put a program, or None if it did not."""
    cache = os.environ.get("TWOFOLD_CACHE")
    default = Path.home() / ".cache" / "twofold" / "peers"
    path = (Path(cache) if cache else default) / "bin" / name
    return path if path.exists() else None


def required_binary(name: str) -> str:
    """The path of a built peer.

    Raises:
        ProcessFailed: it is not built.
    """
    path = peer_binary(name)
    if path is None:
        raise ProcessFailed(f"{name} is not built; run python tools/build_peers.py")
    return str(path)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process group has used since it started, and holds now.

    ``pss_bytes`` counts a page that n processes share as 1/n of a page.
    """

    cpu_s: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int = 0
    written_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_s + other.cpu_s,
            self.rss_bytes + other.rss_bytes,
            self.pss_bytes + other.pss_bytes,
            self.written_bytes + other.written_bytes,
        )


@dataclass
class Program:
    """One program in its own process group, its output in one log file."""

    command: list[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its log is appended to."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - only tests name it
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """If the first process of the group lives."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; one that is gone is no error."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """End it at once, as kill -9 does, and wait for the end."""
        self.signal(signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        """Make it silent without ending it."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self.signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 10.0) -> int:
        """Ask it to end and return its exit code; kill it after ``timeout_s``."""
        if self.process is None:
            return 0
        self.signal(signal.SIGCONT)
        # Children end with their parent's own shutdown, so only it is asked.
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        code = self.process.wait()
        self.signal(signal.SIGKILL)
        return code

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait()

    def usage(self) -> Usage:
        """Sum over every living process of the group."""
        if self.process is None:
            return Usage()
        total = Usage()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                total += _usage_of(entry, self.process.pid)
        return total

    def children(self) -> list[int]:
        """Process ids of the group without its first."""
        if self.process is None:
            return []
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                fields = _stat_fields(entry)
                if fields and int(fields[3]) == self.process.pid:
                    found.append(int(entry.name))
        return found

    def log_tail(self, lines: int = 30) -> str:
        """The end of the log, for error texts."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _stat_fields(entry: Path) -> list[str]:
    """What follows the name in ``/proc/PID/stat``; nothing if it is gone."""
    try:
        # The name may hold spaces and brackets; what follows it may not.
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _usage_of(entry: Path, session: int) -> Usage:
    try:
        fields = _stat_fields(entry)
        if not fields or int(fields[3]) != session or fields[0] == "Z":
            return Usage()
        # Own time and that of children already waited for.
        cpu_s = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
        rss_bytes = int(fields[21]) * _PAGE
        rollup = _colon_table((entry / "smaps_rollup").read_text())
        written = _colon_table((entry / "io").read_text()).get("write_bytes", 0)
    except (OSError, IndexError):
        return Usage()
    return Usage(cpu_s, rss_bytes, rollup.get("Pss", 0) * 1024, written)


def _colon_table(text: str) -> dict[str, int]:
    table = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        words = rest.split()
        if colon and words and words[0].isdigit():
            table[name] = int(words[0])
    return table


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of a CA and of one certificate for server, peer and client use."""

    ca: Path
    certificate: Path
    key: Path


@dataclass
class Member:
    """One member of a cluster under test."""

    name: str
    host: str
    client_port: int
    peer_port: int
    folder: Path
    tls: TlsFiles | None = None
    program: Program | None = None

    @property
    def endpoint(self) -> str:
        """``host:port`` for gRPC."""
        return f"{self.host}:{self.client_port}"

    @property
    def client_url(self) -> str:
        """What clients dial."""
        return f"{'https' if self.tls else 'http'}://{self.endpoint}"

    @property
    def peer_url(self) -> str:
        """What the other members dial."""
        return f"http://{self.host}:{self.peer_port}"

    @property
    def data_dir(self) -> Path:
        """Its data."""
        return self.folder / f"{self.name}.data"

    def _program(self) -> Program:
        if self.program is None:
            raise ProcessFailed(f"{self.name} was never started")
        return self.program

    @property
    def process_id(self) -> int:
        """Of the first process of its group.

        Raises:
            ProcessFailed: it was never started.
        """
        process = self._program().process
        if process is None:
            raise ProcessFailed(f"{self.name} was never started")
        return process.pid

    def kill(self) -> None:
        """kill -9."""
        self._program().kill()

    def pause(self) -> None:
        """SIGSTOP."""
        self._program().pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._program().resume()

    def start(self) -> None:
        """Start it, again if need be; does not wait until it is ready."""
        self._program().start()

    def usage(self) -> Usage:
        """CPU, memory and bytes written."""
        return self._program().usage()

    def get(self, path: str, timeout_s: float = 2.0) -> str:
        """The body of an HTTP GET on the client port.

        Raises:
            OSError: no answer, or an error status.
        """
        context = None
        if self.tls is not None:
            context = ssl.create_default_context(cafile=str(self.tls.ca))
            context.load_cert_chain(self.tls.certificate, self.tls.key)
        return http_get(self.client_url + path, timeout_s, context)

    def metric(self, name: str) -> float | None:
        """The first sample of a metric, or None if it has none or does not answer."""
        try:
            body = self.get("/metrics")
        except OSError:
            return None
        for line in body.splitlines():
            if line.startswith((name + " ", name + "{")):
                return float(line.rpartition(" ")[2])
        return None

    def healthy(self) -> bool:
        """If ``/health`` says that this member serves linearizable reads."""
        try:
            answer = json.loads(self.get("/health"))
        except (OSError, ValueError):
            return False
        return str(answer.get("health")) == "true"

    def wait_healthy(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait for `healthy`.

        Raises:
            ProcessFailed: it ended, or took longer.
        """
        program = self._program()
        deadline_s = time.monotonic() + timeout_s
        while not self.healthy():
            if not program.running or time.monotonic() > deadline_s:
                state = "not healthy" if program.running else "ended"
                words = f"{self.name} {state}:\n{program.log_tail()}"
                raise ProcessFailed(words)
            time.sleep(0.02)


@dataclass
class Cluster:
    """Members that start and stop together; a context manager."""

    kind: str
    members: list[Member]
    preparation: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Prepare what they need, start all, wait until each is healthy.

        Raises:
            ProcessFailed: one ended or took too long; or the preparation failed.
        """
        if self.preparation:
            done = subprocess.run(  # noqa: S603 - only tests name it
                self.preparation, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise ProcessFailed(f"{self.preparation}: {done.stderr}")
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait_healthy()

    def close(self) -> None:
        """End all, without ceremony."""
        for member in self.members:
            if member.program is not None:
                member.program.kill()

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except ProcessFailed:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def endpoints(self) -> list[str]:
        """Every member's ``host:port``."""
        return [member.endpoint for member in self.members]

    def usage(self) -> Usage:
        """The sum over the members."""
        total = Usage()
        for member in self.members:
            total += member.usage()
        return total


def etcd_cluster(
    folder: Path,
    count: int,
    *,
    tls: TlsFiles | None = None,
    machines: Sequence[Namespace] = (),
    flags: Sequence[str] = (),
) -> Cluster:
    """Real etcd members, not started yet."""
    return _cluster(
        "etcd", [required_binary("etcd")], folder, count, tls, machines, flags
    )


def twofold_cluster(
    folder: Path,
    count: int = 2,
    *,
    tls: TlsFiles | None = None,
    machines: Sequence[Namespace] = (),
    flags: Sequence[str] = (),
) -> Cluster:
    """Members of twofold with a witness in ``folder/witness``, not started yet."""
    program = str(Path(sys.executable).parent / "twofold")
    witness = folder / "witness"
    extra = list(flags)
    if count > 1:
        witness.mkdir(parents=True, exist_ok=True)
        extra += ["--witness", f"file://{witness}"]
    command = [program, "serve"]
    cluster = _cluster("twofold", command, folder, count, tls, machines, extra)
    if count > 1:
        # An existing record is left alone, so this may run at every start.
        cluster.preparation = [program, "witness", "init", f"file://{witness}"]
        cluster.preparation += ["--initial-cluster", _initial(cluster.members)]
    return cluster


def _cluster(
    kind: str,
    command: list[str],
    folder: Path,
    count: int,
    tls: TlsFiles | None,
    machines: Sequence[Namespace],
    flags: Sequence[str],
) -> Cluster:
    members = []
    ports = [2379, 2380] * count if machines else free_ports(2 * count)
    for number in range(count):
        host = machines[number].address if machines else "127.0.0.1"
        client_port, peer_port = ports[2 * number : 2 * number + 2]
        name = f"{'abcdefgh'[number]}"
        members.append(Member(name, host, client_port, peer_port, folder, tls))
    initial = _initial(members)
    for number, member in enumerate(members):
        full = [*command, *_member_flags(member, initial), *flags]
        if machines:
            full = machines[number].command(full)
        log = folder / f"{member.name}.log"
        member.program = Program(full, log, {"PYTHONUNBUFFERED": "1"})
    return Cluster(kind, members)


def _initial(members: Sequence[Member]) -> str:
    return ",".join(f"{member.name}={member.peer_url}" for member in members)


def _member_flags(member: Member, initial: str) -> list[str]:
    flags = [
        *("--name", member.name),
        *("--data-dir", str(member.data_dir)),
        *("--listen-client-urls", member.client_url),
        *("--advertise-client-urls", member.client_url),
        *("--listen-peer-urls", member.peer_url),
        *("--initial-advertise-peer-urls", member.peer_url),
        *("--initial-cluster", initial),
        *("--initial-cluster-state", "new"),
        *("--log-level", "info"),
    ]
    if member.tls is not None:
        flags += [
            *("--cert-file", str(member.tls.certificate)),
            *("--key-file", str(member.tls.key)),
            *("--trusted-ca-file", str(member.tls.ca)),
        ]
    return flags


def clear_folder(folder: Path) -> Path:
    """An empty folder at that path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def wait_port(host: str, port: int, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until something accepts connections there.

    Raises:
        ProcessFailed: nothing does in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((host, port), 1.0).close()
        except OSError as error:
            if time.monotonic() > deadline_s:
                raise ProcessFailed(f"nothing listens on {host}:{port}") from error
            time.sleep(0.02)
        else:
            return


def http_get(
    url: str, timeout_s: float = 2.0, context: ssl.SSLContext | None = None
) -> str:
    """The body of a GET.

    Raises:
        OSError: no answer, or an error status.
    """
    opened = urllib.request.urlopen(  # noqa: S310 - only tests name it
        url, timeout=timeout_s, context=context
    )
    with opened as answer:
        body: bytes = answer.read()
    return body.decode()
