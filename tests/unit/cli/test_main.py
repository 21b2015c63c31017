"""The command finds its noun and says what there is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from twofold.cli.main import run


def test_without_a_command_the_help_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("twofold", []) == 2
    assert run("twofold", ["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("serve", "witness", "demo", "version"):
        assert f"  {name} " in out


def test_an_unknown_command_is_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("twofold", ["sevre"]) == 2
    assert "no command 'sevre'" in capsys.readouterr().err


def test_the_version_is_readable_by_etcds_tools(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for program, arguments in (
        ("etcd", ["--version"]),
        ("twofold", ["version"]),
        ("twofold", ["--version"]),
        ("twofold", ["serve", "--version"]),
    ):
        assert run(program, arguments) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert first.startswith("etcd Version: 3.6.")
    assert run("twofold", ["version", "x"]) == 2


def test_a_wrong_flag_is_exit_code_2_and_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("etcd", ["--nmae=a"]) == 2
    assert "did you mean --name?" in capsys.readouterr().err


def test_serve_help_lists_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("twofold", ["serve", "--help"]) == 0
    assert "--initial-cluster" in capsys.readouterr().out


@pytest.mark.parametrize("noun", ["witness", "demo"])
def test_the_other_nouns_have_help(
    noun: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("twofold", [noun, "--help"])
    assert ended.value.code == 0
    assert f"twofold {noun}" in capsys.readouterr().out


def test_it_also_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twofold.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("etcd Version: ")


def test_starting_a_member_imports_no_typer() -> None:
    code = (
        "import sys; from twofold.cli.main import run; run('etcd', ['--help']);"
        "print(sorted({'typer', 'rich', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
