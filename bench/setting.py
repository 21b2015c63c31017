"""What every benchmark shares: arguments, clusters side by side, certificates."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from bench.figures import BASE, OURS, Figure, as_json, markdown
from twofold.testing.processes import (
    Cluster,
    TlsFiles,
    etcd_cluster,
    twofold_cluster,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    systems: tuple[str, ...]
    rounds: int
    quick: bool
    json: Path | None
    folder: Path
    members: tuple[str, ...]


def parse(
    description: str | None, *, rounds: int, members: Sequence[str] = ()
) -> Options:
    """Read the arguments that all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", choices=(BASE, OURS), help="leave the other out")
    parser.add_argument("--rounds", type=int, default=rounds, help="runs of each")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument(
        "--folder", type=Path, help="where the data lies (default: a temporary one)"
    )
    if members:
        parser.add_argument(
            "--members", choices=members, help="only this size of cluster"
        )
    arguments = parser.parse_args()
    chosen = getattr(arguments, "members", None)
    return Options(
        systems=(arguments.only,) if arguments.only else (BASE, OURS),
        rounds=arguments.rounds,
        quick=arguments.quick,
        json=arguments.json,
        folder=arguments.folder or Path(tempfile.mkdtemp(prefix="twofold-bench-")),
        members=(chosen,) if chosen else tuple(members),
    )


@contextmanager
def clusters(
    options: Options,
    name: str,
    *,
    pair: bool,
    tls: TlsFiles | None = None,
    flags: Sequence[str] = (),
) -> Iterator[dict[str, Cluster]]:
    """Both systems running: one member each, or three of etcd beside our two."""
    with ExitStack() as stack:
        running = {}
        for system in options.systems:
            folder = options.folder / f"{name}-{system}"
            folder.mkdir(parents=True)
            if system == BASE:
                count = 3 if pair else 1
                cluster = etcd_cluster(folder, count, tls=tls, flags=flags)
            else:
                count = 2 if pair else 1
                cluster = twofold_cluster(folder, count, tls=tls, flags=flags)
            running[system] = stack.enter_context(cluster)
        yield running


def certificates(folder: Path) -> TlsFiles:
    """A CA and one certificate for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(files.ca)
    issued.private_key_pem.write_to_path(files.key)
    files.certificate.write_bytes(
        b"".join(part.bytes() for part in issued.cert_chain_pems)
    )
    return files


def say(words: str) -> None:
    """Progress, on standard error."""
    print(words, file=sys.stderr, flush=True)


def report(
    options: Options, title: str, figures: Sequence[Figure], note: str = ""
) -> None:
    """Print the table; write the samples if asked to."""
    print(markdown(title, figures, note), flush=True)
    if options.json is not None:
        options.json.write_text(as_json(title, figures) + "\n")
