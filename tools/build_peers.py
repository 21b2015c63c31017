"""Builds the real programs that tests and benchmarks run beside twofold.

Each folder of ``tests/peers`` with a ``peer.toml`` is an ordinary Go module; its
binaries go into a folder of the cache that is named by a hash of everything
that decides their content, and ``bin/`` of the cache links to the newest build.
Run ``python tools/build_peers.py [NAME ...]``; it prints the path of ``bin/``.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent / "tests" / "peers"
_HASHED_SUFFIXES = (".go", ".mod", ".sum", ".toml")


@dataclass(frozen=True, slots=True)
class Peer:
    """One Go module: ``binaries`` maps a program's name to its package."""

    name: str
    folder: Path
    binaries: dict[str, str]
    ldflags: tuple[str, ...] = ()


def load_peers(folder: Path = PEERS) -> dict[str, Peer]:
    """Read every ``peer.toml`` below ``folder``."""
    peers = {}
    for path in sorted(folder.glob("*/peer.toml")):
        table = tomllib.loads(path.read_text())
        peers[path.parent.name] = Peer(
            name=path.parent.name,
            folder=path.parent,
            binaries=dict(table["binaries"]),
            ldflags=tuple(table.get("ldflags", ())),
        )
    return peers


def cache_folder() -> Path:
    """Where builds are kept: ``$TWOFOLD_CACHE`` or ``~/.cache/twofold/peers``."""
    chosen = os.environ.get("TWOFOLD_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "twofold" / "peers"


def content_key(peer: Peer, go_version: str) -> str:
    """Hash of sources, pins, flags and compiler: equal keys, equal binaries."""
    digest = hashlib.sha256(go_version.encode())
    for path in sorted(peer.folder.rglob("*")):
        if path.suffix in _HASHED_SUFFIXES and path.is_file():
            for part in (
                str(path.relative_to(peer.folder)).encode(),
                path.read_bytes(),
            ):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
    return digest.hexdigest()[:16]


def build(peer: Peer, cache: Path, *, go_version: str) -> Path:
    """Build one peer unless its key is cached; return the folder of its binaries."""
    home = cache / f"{peer.name}-{content_key(peer, go_version)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{peer.name}.lock"):
        if not home.is_dir():
            started_s = time.monotonic()
            print(f"building {peer.name} ...", file=sys.stderr, flush=True)
            _compile(peer, home)
            took_s = time.monotonic() - started_s
            print(f"built {peer.name} in {took_s:.0f} s", file=sys.stderr, flush=True)
        link_binaries(peer, home, cache / "bin")
    return home


def link_binaries(peer: Peer, home: Path, farm: Path) -> None:
    """Point ``farm/NAME`` at this build; readers never see a missing link."""
    farm.mkdir(parents=True, exist_ok=True)
    for name in peer.binaries:
        draft = farm / f".{name}.{os.getpid()}"
        draft.symlink_to(home / name)
        draft.replace(farm / name)


def _compile(peer: Peer, home: Path) -> None:
    # The folder appears only when complete, so an interrupted build is not a hit.
    draft = Path(tempfile.mkdtemp(prefix=f".{peer.name}-", dir=home.parent))
    environment = {**os.environ, "CGO_ENABLED": "0"}
    try:
        for name, package in peer.binaries.items():
            flags = " ".join(("-s -w", *peer.ldflags))
            command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags]
            command += ["-o", str(draft / name), package]
            subprocess.run(command, cwd=peer.folder, env=environment, check=True)
        draft.chmod(0o755)
        draft.rename(home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _go_version() -> str:
    command = ["go", "env", "GOVERSION", "GOOS", "GOARCH"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def main() -> int:
    """Build the named peers, or all, and print where their binaries are."""
    peers = load_peers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(peers))
    names = parser.parse_args().names or list(peers)
    unknown = sorted(set(names) - set(peers))
    if unknown:
        parser.error(
            f"no such peer: {', '.join(unknown)}; there are {', '.join(peers)}"
        )
    if shutil.which("go") is None:
        parser.error("the Go toolchain is not on PATH; it builds the peers")
    go_version = _go_version()
    for name in names:
        try:
            build(peers[name], cache_folder(), go_version=go_version)
        except subprocess.CalledProcessError as error:
            print(f"{name}: go build failed ({error.returncode})", file=sys.stderr)
            return 1
    print(cache_folder() / "bin")
    return 0


if __name__ == "__main__":
    sys.exit(main())
