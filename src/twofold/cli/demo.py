"""``twofold demo``: the main job, to be seen in under a minute."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from twofold.daemon.demo import (
    Frame,
    Kill,
    MemberLine,
    Options,
    Result,
    run_demo,
)

app = typer.Typer(add_completion=False)

_NOTES_MAX = 8


class PlainView:
    """Lines of text, for logs and pipes: a note as it comes, a state a second."""

    def __init__(self) -> None:
        self._shown_s = -1.0

    def note(self, text: str) -> None:
        """See View.note."""
        typer.echo(f"* {text}")

    def show(self, frame: Frame) -> None:
        """See View.show."""
        if frame.elapsed_s - self._shown_s < 1.0:
            return
        self._shown_s = frame.elapsed_s
        members = "  ".join(f"{one.name}: {describe(one)}" for one in frame.members)
        typer.echo(
            f"{frame.elapsed_s:5.1f} s  {frame.writes_per_s:6.0f} writes/s"
            f"  {frame.acknowledged:7} acknowledged"
            f"  {frame.witness_writes} witness writes  {members}"
        )


class LiveView:
    """A table that is redrawn, with the last notes below it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=5, transient=False)
        self._notes: list[str] = []
        self._frame: Frame | None = None

    def __enter__(self) -> LiveView:
        """Take the screen's lines."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture standing."""
        self._live.stop()

    def note(self, text: str) -> None:
        """See View.note."""
        elapsed_s = self._frame.elapsed_s if self._frame else 0.0
        self._notes.append(f"{elapsed_s:5.1f} s  {text}")
        self._draw()

    def show(self, frame: Frame) -> None:
        """See View.show."""
        self._frame = frame
        self._draw()

    def _draw(self) -> None:
        notes = Text("\n".join(self._notes[-_NOTES_MAX:]))
        parts: list[RenderableType] = [notes]
        if self._frame is not None:
            parts.insert(0, frame_table(self._frame))
        self._live.update(Panel(Group(*parts), title="twofold demo"))


def describe(member: MemberLine) -> str:
    """A member in a few words."""
    if not member.running:
        return "dead"
    role = "leads" if member.leads else "follows"
    return f"{role}, {member.mode or 'starting'}"


def frame_table(frame: Frame) -> Table:
    """The present state as a table."""
    table = Table(box=None, padding=(0, 2))
    for title in ("writes/s", "acknowledged", "witness writes"):
        table.add_column(title, justify="right")
    for member in frame.members:
        table.add_column(f"member {member.name}")
    colours = {"pair": "green", "solo": "yellow", "single": "green"}
    cells = [
        Text(
            describe(one),
            style="bold red" if not one.running else colours.get(one.mode, "cyan"),
        )
        for one in frame.members
    ]
    table.add_row(
        f"{frame.writes_per_s:.0f}",
        str(frame.acknowledged),
        str(frame.witness_writes),
        *cells,
    )
    return table


def describe_kill(kill: Kill) -> str:
    """One loss of a leader, as its clients saw it."""
    flying = "no write was in flight"
    if kill.in_flight:
        flying = (
            f"of {kill.in_flight} writes in flight {kill.in_flight_repeated} had gone"
            " to the dead member and were repeated by their client; all were answered"
            f" within {kill.in_flight_longest_ms:.0f} ms"
        )
    return (
        f"killed leader {kill.name}: no write was answered for {kill.gap_ms:.0f} ms;"
        f" the first new write was answered after {kill.first_new_ms:.0f} ms; {flying}"
    )


def summary(result: Result) -> str:
    """What happened, in lines."""
    lines = [describe_kill(kill) for kill in result.kills]
    lines.append(
        f"{result.acknowledged} writes acknowledged, {result.lost} lost,"
        f" {result.repeats} repeated, {result.witness_writes} witness writes"
    )
    if result.verified and result.same_hash:
        lines.append("both members hold the same data (HashKV)")
    if result.kubectl_calls:
        lines.append(
            f"{result.kubectl_calls} kubectl calls meanwhile, the slowest took"
            f" {result.kubectl_slowest_s:.1f} s"
        )
    lines += [f"PROBLEM: {problem}" for problem in result.problems]
    ending = "nothing was lost" if result.ok else "NOT WELL"
    lines.append(f"{ending}, in {result.seconds:.0f} s")
    if result.folder:
        lines.append(f"data and logs: {result.folder}")
    if result.pids:
        pids = " ".join(map(str, result.pids))
        lines.append(f"still running at {','.join(result.endpoints)}")
        lines.append(f"to end it: kill {pids}")
    return "\n".join(lines)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the members running at the end.")
    ] = False,
    kills: Annotated[
        int, typer.Option(min=1, max=20, help="How often the leader is killed.")
    ] = 1,
    kubernetes: Annotated[
        bool,
        typer.Option("--kubernetes", help="With a real control plane on the members."),
    ] = False,
    pause_ms: Annotated[
        int, typer.Option(min=0, help="Each of 8 clients waits so after a write.")
    ] = 4,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines of text, also in a terminal.")
    ] = False,
) -> None:
    """Two members and a witness lose their leader, and nothing else."""
    options = Options(kills=kills, keep=keep, pause_ms=pause_ms, kubernetes=kubernetes)
    console = Console()
    if plain or not console.is_terminal:
        result = run_demo(options, PlainView())
    else:
        with LiveView(console) as view:
            result = run_demo(options, view)
    typer.echo("")
    typer.echo(summary(result))
    if not result.ok:
        sys.exit(1)
