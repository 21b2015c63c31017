"""What the demo shows is what happened."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from twofold.cli.demo import LiveView, PlainView, describe, frame_table, summary
from twofold.daemon.demo import Frame, Kill, MemberLine, Result

FRAME = Frame(
    elapsed_s=3.0,
    phase="writing",
    writes_per_s=1234.4,
    acknowledged=99,
    witness_writes=1,
    members=(
        MemberLine("a", running=False, leads=False, mode=""),
        MemberLine("b", running=True, leads=True, mode="solo"),
    ),
)


def written(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def good() -> Result:
    return Result(
        acknowledged=1000,
        verified=True,
        same_hash=True,
        witness_writes=1,
        kills=[Kill("a", 81.4, 90.2, 3, 1, 85.0)],
        seconds=20.2,
    )


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (MemberLine("a", running=False, leads=True, mode="pair"), "dead"),
        (MemberLine("a", running=True, leads=True, mode="pair"), "leads, pair"),
        (MemberLine("a", running=True, leads=False, mode=""), "follows, starting"),
    ],
)
def test_a_member_in_a_few_words(member: MemberLine, words: str) -> None:
    assert describe(member) == words


def test_a_good_run_says_so() -> None:
    text = summary(good())
    assert "no write was answered for 81 ms" in text
    assert "1000 writes acknowledged, 0 lost" in text
    assert text.splitlines()[-1] == "nothing was lost, in 20 s"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lost", 1),
        ("verified", False),
        ("same_hash", False),
        ("problems", ["b never serves"]),
    ],
)
def test_a_bad_run_never_says_well(field: str, value: object) -> None:
    result = good()
    setattr(result, field, value)
    assert not result.ok
    assert "nothing was lost" not in summary(result)
    assert "NOT WELL" in summary(result)


def test_writes_in_flight_are_told_apart() -> None:
    assert "of 3 writes in flight 1 had gone to the dead member" in summary(good())
    quiet = good()
    quiet.kills = [Kill("a", 81.4, 90.2, 0, 0, 0.0)]
    assert "no write was in flight" in summary(quiet)


def test_kubectl_is_counted_if_there_was_any() -> None:
    result = good()
    assert "kubectl" not in summary(result)
    result.kubectl_calls, result.kubectl_slowest_s = 70, 0.44
    assert "70 kubectl calls meanwhile, the slowest took 0.4 s" in summary(result)


def test_keep_says_how_to_end_it() -> None:
    result = good()
    result.pids = (11, 12)
    result.endpoints = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert "kill 11 12" in summary(result)


def test_the_table_shows_both_members() -> None:
    console = Console(width=120, file=StringIO())
    console.print(frame_table(FRAME))
    text = written(console)
    assert "1234" in text
    assert "dead" in text
    assert "leads, solo" in text


def test_the_plain_view_is_one_line_a_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = PlainView()
    view.show(FRAME)
    view.show(FRAME)
    view.note("kill -9 a")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "1234 writes/s" in lines[0]
    assert lines[1] == "* kill -9 a"


def test_the_live_view_shows_notes_and_state() -> None:
    console = Console(width=120, file=StringIO(), force_terminal=True)
    with LiveView(console) as view:
        view.note("starting")
        view.show(FRAME)
        view.note("kill -9 a")
    text = written(console)
    assert "kill -9 a" in text
    assert "leads, solo" in text
