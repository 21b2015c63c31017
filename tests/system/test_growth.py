"""One member becomes two and one again, by the steps of docs/operations.

Needs nothing but this package: processes on loopback.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twofold.client.errors import NotConnected
from twofold.client.kv import EtcdClient
from twofold.client.pages import get_page, samples
from twofold.testing.processes import Program, free_ports

COMMAND = [sys.executable, "-m", "twofold.cli.main"]


class Pair:
    """Two members that can be started with any flags."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(4)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.folder = folder
        self.client_urls = dict(zip("ab", urls[:2], strict=True))
        self.peer_urls = dict(zip("ab", urls[2:], strict=True))
        self.programs: dict[str, Program] = {}
        self.witness = f"file://{folder / 'witness'}"

    def cluster(self, names: str) -> str:
        return ",".join(f"{name}={self.peer_urls[name]}" for name in names)

    def start(self, name: str, names: str) -> None:
        flags = [
            f"--name={name}",
            f"--data-dir={self.folder / name}",
            f"--listen-client-urls={self.client_urls[name]}",
            f"--listen-peer-urls={self.peer_urls[name]}",
            f"--initial-cluster={self.cluster(names)}",
        ]
        if len(names) > 1:
            flags.append(f"--witness={self.witness}")
        command = [*COMMAND, "serve", *flags]
        program = Program(command, self.folder / f"{name}.log")
        program.start()
        self.programs[name] = program

    def stop(self, name: str) -> None:
        process = self.programs[name].process
        assert process is not None
        process.terminate()
        assert process.wait(20) == 0

    def make_witness(self) -> None:
        cluster = f"--initial-cluster={self.cluster('ab')}"
        command = [*COMMAND, "witness", "init", self.witness, cluster]
        subprocess.run(command, check=True, capture_output=True)

    async def mode(self, name: str) -> str:
        try:
            _, page = await get_page(self.client_urls[name], "/metrics")
        except NotConnected:
            return ""
        found = [one for one in samples(page) if one.startswith("twofold_mode{")]
        return found[0].split('"')[1] if found else ""

    async def wait_mode(self, name: str, mode: str) -> None:
        deadline_s = time.monotonic() + 20
        while (found := await self.mode(name)) != mode:
            assert time.monotonic() < deadline_s, f"{name} is {found}, not {mode}"
            await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
def test_one_member_becomes_two_and_one_again(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    try:
        asyncio.run(_there_and_back(pair))
    finally:
        for program in pair.programs.values():
            program.kill()


async def _there_and_back(pair: Pair) -> None:
    keys = [b"k%03d" % number for number in range(100)]
    first = EtcdClient(pair.client_urls["a"])
    second = EtcdClient(pair.client_urls["b"])

    pair.start("a", "a")
    await pair.wait_mode("a", "single")
    for key in keys:
        await first.put(key, key)
    first.close()
    pair.stop("a")

    pair.make_witness()
    pair.start("a", "ab")
    pair.start("b", "ab")
    for name in "ab":
        await pair.wait_mode(name, "pair")
    assert [one.key for one in await second.range(b"k", b"l")] == keys
    assert (await first.hash_kv()).hash == (await second.hash_kv()).hash

    second.close()
    pair.stop("b")
    await pair.wait_mode("a", "solo")
    await first.put(b"kz", b"")
    first.close()
    pair.stop("a")

    pair.start("a", "a")
    await pair.wait_mode("a", "single")
    assert [one.key for one in await first.range(b"k", b"l")] == [*keys, b"kz"]
    first.close()
    pair.stop("a")
