"""A real Kubernetes control plane on a cluster under test.

kube-apiserver, kube-controller-manager, kube-scheduler and kwok as processes of
this machine, with certificates and tokens made for the occasion. Everything
listens on this process's own network namespace only.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from twofold.testing.processes import (
    ProcessFailed,
    Program,
    Usage,
    free_ports,
    http_get,
    required_binary,
)

BINARIES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
)
_TOKEN = "token-of-the-test"  # noqa: S105 - the server lives for one test
_READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Called:
    """One kubectl call and how it ended; ``interrupted``: what a first try said."""

    arguments: tuple[str, ...]
    code: int
    output: str
    error: str
    took_s: float
    interrupted: str = ""

    @property
    def ok(self) -> bool:
        """If it ended well."""
        return self.code == 0


class ControlPlane:
    """The four programs; a context manager that ends with all of them dead."""

    def __init__(self, folder: Path, etcd_urls: Sequence[str]) -> None:
        self.folder = folder
        self._etcd_urls = list(etcd_urls)
        self._port = free_ports(1)[0]
        self.url = f"https://127.0.0.1:{self._port}"
        self.kubeconfig = folder / "kubeconfig"
        self.programs: dict[str, Program] = {}

    def __enter__(self) -> ControlPlane:
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

    def start(self) -> None:
        """Start all and wait until the apiserver is ready.

        Raises:
            ProcessFailed: it is not ready in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_credentials()
        self._write_kubeconfig()
        self._run("kube-apiserver", self._apiserver_flags())
        self._wait_ready()
        account = f"--service-account-private-key-file={self.folder / 'account.key'}"
        config = f"--kubeconfig={self.kubeconfig}"
        ca = f"--root-ca-file={self.folder / 'ca.pem'}"
        quiet = "--secure-port=0"
        self._run("kube-controller-manager", [config, quiet, account, ca])
        self._run("kube-scheduler", [config, quiet])
        stages = f"--config={Path(__file__).with_name('kwok.yaml')}"
        beats = "--node-lease-duration-seconds=40"
        self._run("kwok", [config, stages, beats, "--manage-all-nodes=true"])

    def close(self) -> None:
        """Kill all."""
        for program in self.programs.values():
            program.kill()

    def usage(self) -> dict[str, Usage]:
        """What each program uses."""
        return {name: program.usage() for name, program in self.programs.items()}

    def dead(self) -> list[str]:
        """Which programs ended by themselves, with the end of their logs."""
        return [
            f"{name} ended:\n{program.log_tail()}"
            for name, program in self.programs.items()
            if not program.running
        ]

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout_s: float = 120.0
    ) -> Called:
        """Run kubectl to its end; a time-out is an ending with code -1."""
        started_s = time.monotonic()
        try:
            done = subprocess.run(  # noqa: S603 - our own build
                self.kubectl_command(*arguments),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env=self._environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Called(arguments, -1, "", f"no end in {timeout_s} s", timeout_s)
        took_s = time.monotonic() - started_s
        return Called(arguments, done.returncode, done.stdout, done.stderr, took_s)

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The command line of a kubectl call."""
        config = f"--kubeconfig={self.kubeconfig}"
        return [required_binary("kubectl"), config, *arguments]

    def watch(self, *arguments: str) -> Program:
        """A kubectl that goes on, its output in ``folder/watch.log``."""
        log = self.folder / "watch.log"
        program = Program(self.kubectl_command(*arguments), log, self._environment())
        program.start()
        self.programs["watch"] = program
        return program

    def add_nodes(self, count: int) -> None:
        """Create nodes that kwok plays."""
        nodes = [_node(f"node-{number}") for number in range(count)]
        listing = {"apiVersion": "v1", "kind": "List", "items": nodes}
        called = self.kubectl("apply", "-f", "-", stdin=json.dumps(listing))
        if not called.ok:
            raise ProcessFailed(f"nodes: {called.error}")

    def _environment(self) -> dict[str, str]:
        # kubectl keeps what it discovered below HOME.
        return {**os.environ, "HOME": str(self.folder)}

    def _run(self, name: str, flags: list[str]) -> None:
        command = [required_binary(name), *flags]
        program = Program(command, self.folder / f"{name}.log", self._environment())
        program.start()
        self.programs[name] = program

    def _wait_ready(self) -> None:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        program = self.programs["kube-apiserver"]
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while True:
            try:
                http_get(f"{self.url}/readyz", 2.0, context)
            except OSError:
                if not program.running or time.monotonic() > deadline_s:
                    words = f"kube-apiserver is not ready:\n{program.log_tail()}"
                    raise ProcessFailed(words) from None
                time.sleep(0.1)
            else:
                return

    def _apiserver_flags(self) -> list[str]:
        folder = self.folder
        return [
            f"--etcd-servers={','.join(self._etcd_urls)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            # Without a default route it finds no address to tell; nobody asks.
            "--advertise-address=10.254.77.1",
            # Loopback may not be an endpoint of the `kubernetes` service.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            f"--cert-dir={folder}",
            f"--tls-cert-file={folder / 'server.pem'}",
            f"--tls-private-key-file={folder / 'server.key'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'account.key'}",
            f"--service-account-signing-key-file={folder / 'account.key'}",
        ]

    def _write_credentials(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        issued = authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(self.folder / "server.key")
        with (self.folder / "server.pem").open("wb") as file:
            for part in issued.cert_chain_pems:
                file.write(part.bytes())
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (self.folder / "account.key").write_bytes(text)
        line = f"{_TOKEN},admin,admin,system:masters\n"
        (self.folder / "tokens.csv").write_text(line)

    def _write_kubeconfig(self) -> None:
        cluster = {
            "server": self.url,
            "certificate-authority": str(self.folder / "ca.pem"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig.write_text(json.dumps(config))


def _node(name: str) -> dict[str, object]:
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "type": "kwok"},
        },
        "status": {"allocatable": capacity, "capacity": capacity},
    }
