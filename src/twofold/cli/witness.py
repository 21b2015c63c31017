"""``twofold witness``: set up, show and test a witness."""

from __future__ import annotations

import json
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from twofold.base.cluster_ids import (
    cluster_id_of,
    member_id_of,
    parse_initial_cluster,
)
from twofold.base.errors import Refusal, TwofoldError
from twofold.base.ids import MemberId
from twofold.witness.backends.directory import mount_of, open_directory
from twofold.witness.errors import RecordExists, WitnessUnreachable
from twofold.witness.port import WitnessBackend
from twofold.witness.record import (
    NOBODY,
    NONCE_BYTES,
    Incarnation,
    WitnessRecord,
    decode,
    encode,
    initial_record,
    utc_text,
)
from twofold.witness.url import directory_of

app = typer.Typer(
    name="witness",
    help="Set up, show and test the witness.",
    no_args_is_help=True,
)


class Output(StrEnum):
    """How a command prints."""

    TEXT = "text"
    JSON = "json"


Url = Annotated[str, typer.Argument(help="file:///absolute/path of the witness.")]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="text or json.", show_default=True)
]


class OptionsContradict(Refusal):
    """The options leave open which cluster the witness is for."""


@app.command()
def init(
    url: Url,
    initial_cluster: Annotated[
        str, typer.Option(help="As the daemons get it: name=url,name=url.")
    ] = "",
    initial_cluster_token: Annotated[
        str, typer.Option(help="As the daemons get it.")
    ] = "etcd-cluster",  # noqa: S107 (no password: it tells clusters apart)
    cluster_id: Annotated[
        str, typer.Option(help="Instead: the cluster's id, in hex.")
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Create the first record, if there is none: it names no owner yet."""
    try:
        known_id, members = _cluster(initial_cluster, initial_cluster_token, cluster_id)
        directory = directory_of(url)
        record = create_record(directory, known_id, members)
    except TwofoldError as error:
        raise _fail(error) from error
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(record)))
        return
    mount = mount_of(directory)
    typer.echo(
        f"Witness {record.witness_id:016x} created at {url}"
        f" for cluster {record.cluster_id:016x}."
    )
    typer.echo(
        f"It is on {mount.kind} from {mount.source}, mounted at {mount.point}."
        " The cluster's first start needs both members."
    )


@app.command()
def show(url: Url, output: OutputOption = Output.TEXT) -> None:
    """Show the newest record; only reads."""
    try:
        backend = open_directory(directory_of(url), read_only=True)
        stored = backend.load()
        if stored is None:
            raise WitnessUnreachable(f"{url} holds no record (not mounted?)")
        record = decode(stored.data)
    except TwofoldError as error:
        raise _fail(error) from error
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(record)))
        return
    for name, value in _as_words(record):
        typer.echo(f"{name:<16}{value}")


@app.command()
def probe(url: Url, output: OutputOption = Output.TEXT) -> None:
    """Test whether a directory is fit to be a witness; takes some seconds."""
    from twofold.witness.probe import probe_directory

    try:
        report = probe_directory(directory_of(url))
    except TwofoldError as error:
        raise _fail(error) from error
    if output is Output.JSON:
        values = {
            "fit": report.fit,
            "method": report.method,
            "publish_p50_ms": round(report.publish_p50_ms, 3),
            "publish_p99_ms": round(report.publish_p99_ms, 3),
            "read_p50_ms": round(report.read_p50_ms, 3),
            "facts": report.facts,
            "warnings": report.warnings,
            "problems": report.problems,
        }
        typer.echo(json.dumps(values))
    else:
        for line in report.facts:
            typer.echo(line)
        for line in report.warnings:
            typer.echo(f"Note: {line}")
        for line in report.problems:
            typer.echo(f"Problem: {line}")
        typer.echo("Fit to be a witness." if report.fit else "NOT fit to be a witness.")
    if not report.fit:
        raise typer.Exit(1)


def create_record(
    directory: Path, cluster_id: int, members: tuple[Incarnation, Incarnation]
) -> WitnessRecord:
    """Create version 1, and the directory if only its last part is missing.

    Raises:
        RecordExists: somebody's record is there; it stays.
        WitnessUnreachable: the directory cannot be made or written.
    """
    try:
        # Not its parents: a mount that is away would be made up on local disk.
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise WitnessUnreachable(f"{directory}: {error.strerror or error}") from error
    backend: WitnessBackend = open_directory(directory)
    record = initial_record(
        cluster_id=cluster_id,
        witness_id=int.from_bytes(os.urandom(8), "big") or 1,
        members=members,
        nonce=os.urandom(NONCE_BYTES),
        wall_time_ms=time.time_ns() // 1_000_000,
    )
    # Versions that were pruned below a living record must not come back.
    if backend.load() is not None or not backend.publish(encode(record), 1):
        stored = backend.load()
        there = "" if stored is None else f" (version {stored.version})"
        raise RecordExists(
            f"{directory} already holds a witness record{there}; it was left as it is"
        )
    return record


def as_json(record: WitnessRecord) -> dict[str, Any]:
    """The record for programs; ids in hex, as everywhere for people."""
    return {
        "format": record.format,
        "cluster_id": f"{record.cluster_id:016x}",
        "witness_id": f"{record.witness_id:016x}",
        "version": record.version,
        "term": record.term,
        "subterm": record.subterm,
        "owner": f"{record.owner:016x}" if record.owner else None,
        "owner_incarnation": f"{record.owner_incarnation:016x}",
        "purpose": record.purpose.name.lower(),
        "members": [
            {"id": f"{member_id:016x}", "incarnation": f"{incarnation:016x}"}
            for member_id, incarnation in record.members
            if member_id
        ],
        "nonce": record.nonce.hex(),
        "last_term": record.last.term,
        "last_subterm": record.last.subterm,
        "last_index": record.last_index,
        "last_revision": record.last_revision,
        "wall_time_ms": record.wall_time_ms,
        "wall_time": utc_text(record.wall_time_ms),
    }


def _as_words(record: WitnessRecord) -> list[tuple[str, str]]:
    owner = f"member {record.owner:016x}" if record.owner else "nobody yet"
    incarnation = (
        f" (data directory {record.owner_incarnation:016x})" if record.owner else ""
    )
    lines = [
        ("cluster", f"{record.cluster_id:016x}"),
        ("witness", f"{record.witness_id:016x}"),
        ("version", str(record.version)),
        ("owner", owner + incarnation),
        ("since", utc_text(record.wall_time_ms)),
        ("claimed", f"term {record.term}, subterm {record.subterm}"),
        ("purpose", record.purpose.name.lower()),
        (
            "writer stood at",
            f"term {record.last.term}, subterm {record.last.subterm},"
            f" index {record.last_index}, revision {record.last_revision}",
        ),
    ]
    for member_id, known in record.members:
        if member_id:
            directory = f"data directory {known:016x}" if known else "not seen yet"
            lines.append(("member", f"{member_id:016x}, {directory}"))
    return lines


def _cluster(
    initial_cluster: str, token: str, cluster_id: str
) -> tuple[int, tuple[Incarnation, Incarnation]]:
    """Work out the cluster's id and members from the options."""
    if bool(initial_cluster) == bool(cluster_id):
        raise OptionsContradict("give either --initial-cluster or --cluster-id")
    if cluster_id:
        try:
            known_id = int(cluster_id, 16)
        except ValueError:
            known_id = 0
        if not 0 < known_id < 1 << 64:
            raise OptionsContradict(f"{cluster_id!r} is no cluster id: up to 16 hex")
        return known_id, (NOBODY, NOBODY)
    urls_by_name = parse_initial_cluster(initial_cluster)
    if len(urls_by_name) != 2:
        raise OptionsContradict(
            f"a witness serves two members, not {len(urls_by_name)}"
        )
    first, second = sorted(
        MemberId(member_id_of(urls, token)) for urls in urls_by_name.values()
    )
    return cluster_id_of(urls_by_name, token), (
        Incarnation(first, 0),
        Incarnation(second, 0),
    )


def _fail(error: TwofoldError) -> typer.Exit:
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(1)
