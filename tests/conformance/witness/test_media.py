"""Media that are full, read-only, in memory, or of an odd kind."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.cli.witness import app
from twofold.raft.types import Claim, ClaimStatus
from twofold.witness.backends.directory import mount_of, open_directory
from twofold.witness.backends.exclusive import CreateBackend, RenameBackend
from twofold.witness.backends.files import Files
from twofold.witness.backends.share import ShareBackend
from twofold.witness.errors import (
    PublishUnknown,
    RecordExists,
    WitnessUnreachable,
)
from twofold.witness.port import Stored
from twofold.witness.probe import BACKENDS, probe_directory
from twofold.witness.record import WitnessRecord, decode, encode
from twofold.witness.session import Identity, Session, Trouble, Writer

Make = Callable[[int], bytes]


@contextmanager
def mounted(point: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs, or skip where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(point)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"needs mount: {error}")
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(point)], check=True)


def claim_alone(
    directory: Path, identity: Identity, claim: Claim
) -> tuple[ClaimStatus, str]:
    answer = Session(open_directory(directory), identity).answer(claim, Writer())
    return answer.status, answer.reason


# ---- full and read-only -----------------------------------------------------------


@pytest.mark.parametrize("method", list(BACKENDS))
def test_a_full_medium_refuses_and_recovers(
    method: str, tmp_path: Path, make: Make
) -> None:
    with mounted(tmp_path, "size=16k"):
        backend = BACKENDS[method](Files(tmp_path))
        first, second = make(1), make(2)
        assert backend.publish(first, 1)
        ballast = tmp_path / "ballast"
        with ballast.open("wb", 0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        with pytest.raises((WitnessUnreachable, PublishUnknown)):
            backend.publish(second, 2)
        assert backend.load() == Stored(first, 1)
        assert {path.name for path in tmp_path.iterdir()} == {
            "ballast",
            f"{1:020}.st",
        }
        ballast.unlink()
        assert backend.publish(second, 2)


@pytest.mark.parametrize("method", list(BACKENDS))
@pytest.mark.parametrize("limit_bytes", [0, 1, 155])
def test_a_write_cut_short_publishes_nothing(
    method: str, limit_bytes: int, tmp_path: Path, make: Make
) -> None:
    backend = BACKENDS[method](Files(tmp_path))
    first, second = make(1), make(2)
    assert backend.publish(first, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises((WitnessUnreachable, PublishUnknown)):
            backend.publish(second, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert backend.load() == Stored(first, 1)
    assert backend.publish(second, 2)


def test_a_read_only_medium_can_be_shown_but_not_claimed(
    tmp_path: Path,
    first_record: WitnessRecord,
    identities: tuple[Identity, Identity],
    candidate: Callable[..., Claim],
) -> None:
    with mounted(tmp_path, "size=64k"):
        backend = open_directory(tmp_path)
        assert backend.publish(encode(first_record), 1)
        remount = ["mount", "-o", "remount,ro", str(tmp_path)]
        subprocess.run(remount, check=True)
        assert mount_of(tmp_path).read_only
        reader = open_directory(tmp_path, read_only=True)
        assert reader.load() == Stored(encode(first_record), 1)
        answer = Session(backend, identities[0]).answer(candidate(2), Writer())
        assert answer.status is ClaimStatus.UNREACHABLE
        assert "Read-only" in answer.reason
        with pytest.raises(WitnessUnreachable, match="Read-only"):
            open_directory(tmp_path)
        subprocess.run(["mount", "-o", "remount,rw", str(tmp_path)], check=True)
        status, _ = claim_alone(tmp_path, identities[0], candidate(2))
        assert status is ClaimStatus.OK


def test_an_unmounted_medium_is_absent_and_comes_back(
    tmp_path: Path,
    first_record: WitnessRecord,
    identities: tuple[Identity, Identity],
    candidate: Callable[..., Claim],
) -> None:
    medium = tmp_path / "mount"
    medium.mkdir()
    (tmp_path / "kept").mkdir()
    backend = open_directory(medium)
    session = Session(backend, identities[0])
    bind = ["mount", "--bind", str(tmp_path / "kept"), str(medium)]
    with mounted(medium, "size=64k"):
        pass
    subprocess.run(bind, check=True)
    try:
        assert backend.publish(encode(first_record), 1)
        assert session.answer(candidate(2), Writer()).status is ClaimStatus.OK
    finally:
        subprocess.run(["umount", str(medium)], check=True)
    # We remember version 2; the bare mount point would take version 3 gladly.
    answer = session.answer(candidate(3, last=2), Writer())
    assert answer.status is ClaimStatus.UNREACHABLE
    assert answer.trouble is Trouble.ABSENT
    assert list(medium.iterdir()) == []
    subprocess.run(bind, check=True)
    try:
        assert session.answer(candidate(4, last=2), Writer()).status is ClaimStatus.OK
    finally:
        subprocess.run(["umount", str(medium)], check=True)


# ---- choosing ----------------------------------------------------------------------


class Without(Files):
    """A file system that lacks some calls."""

    lacking: frozenset[str] = frozenset()

    def link(self, source: str, target: str) -> None:
        if "link" in self.lacking:
            raise OSError(errno.EPERM, "no links")
        super().link(source, target)

    def rename_exclusive(self, source: str, target: str) -> None:
        if "rename" in self.lacking:
            raise OSError(errno.EINVAL, "no such flag")
        super().rename_exclusive(source, target)


class ReplacingLink(Files):
    """A file system whose link quietly replaces."""

    def link(self, source: str, target: str) -> None:
        self.unlink(target)
        super().link(source, target)


def test_links_are_preferred(tmp_path: Path) -> None:
    assert type(open_directory(tmp_path)) is ShareBackend
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lacking", "kind"),
    [({"link"}, RenameBackend), ({"link", "rename"}, CreateBackend)],
)
def test_what_the_file_system_lacks_decides(
    tmp_path: Path, lacking: set[str], kind: type
) -> None:
    files = Without(tmp_path)
    files.lacking = frozenset(lacking)
    assert type(open_directory(tmp_path, files=files)) is kind
    assert list(tmp_path.iterdir()) == []


def test_a_rename_that_another_machine_cannot_see_is_not_used(tmp_path: Path) -> None:
    files = Without(tmp_path)
    files.lacking = frozenset({"link"})
    backend = open_directory(tmp_path, files=files, kind="cifs")
    assert type(backend) is CreateBackend


def test_a_link_that_replaces_is_not_used(tmp_path: Path) -> None:
    backend = open_directory(tmp_path, files=ReplacingLink(tmp_path))
    assert type(backend) is RenameBackend


def test_a_missing_directory_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(WitnessUnreachable, match="not mounted"):
        open_directory(tmp_path / "nowhere")


# ---- the command line ------------------------------------------------------

CLUSTER = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_init_show_and_init_again(tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'new'}"
    code, text = run("init", url, "--initial-cluster", CLUSTER)
    assert code == 0
    assert "fa6e40ce2290d861" in text
    code, text = run("show", url)
    assert code == 0
    assert "nobody yet" in text
    code, text = run("show", url, "-o", "json")
    shown = json.loads(text)
    assert shown["cluster_id"] == "fa6e40ce2290d861"
    assert shown["version"] == 1
    assert shown["owner"] is None
    assert {member["id"] for member in shown["members"]} == {
        "26ede6cf2bddbb91",
        "47c51fea718ca6c5",
    }
    code, text = run("init", url, "--initial-cluster", CLUSTER)
    assert code == 1
    assert "already holds a witness record (version 1)" in text
    assert json.loads(run("show", url, "-o", "json")[1]) == shown


def test_init_by_cluster_id(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    code, text = run("init", url, "--cluster-id", "7", "-o", "json")
    assert code == 0
    assert json.loads(text)["cluster_id"] == f"{7:016x}"


def test_init_never_revives_a_pruned_version_1(tmp_path: Path, make: Make) -> None:
    (tmp_path / f"{40:020}.st").write_bytes(make(40))
    code, text = run("init", f"file://{tmp_path}", "--cluster-id", "7")
    assert code == 1
    assert "version 40" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "http://x/y", "--cluster-id", "7"),
        ("init", "file:///tmp/x"),
        ("init", "file:///tmp/x", "--cluster-id", "0"),
        ("init", "file:///tmp/x", "--cluster-id", "zz"),
        ("init", "file:///tmp/x", "--cluster-id", "7", "--initial-cluster", CLUSTER),
        ("init", "file:///tmp/x", "--initial-cluster", "a=http://x:1"),
        ("init", "file:///nowhere/at/all", "--cluster-id", "7"),
        ("show", "file:///nowhere/at/all"),
        ("probe", "file:///nowhere/at/all"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...]) -> None:
    code, text = run(*arguments)
    assert code == 1
    assert "Traceback" not in text
    assert text.strip()


def test_show_tells_an_empty_directory_from_a_record(tmp_path: Path) -> None:
    code, text = run("show", f"file://{tmp_path}")
    assert code == 1
    assert "no record" in text


def test_a_record_is_not_overwritten_by_a_racing_init(
    tmp_path: Path, first_record: WitnessRecord
) -> None:
    from twofold.cli.witness import create_record

    record = create_record(tmp_path, 7, first_record.members)
    with pytest.raises(RecordExists):
        create_record(tmp_path, 8, first_record.members)
    stored = open_directory(tmp_path).load()
    assert stored is not None
    assert decode(stored.data) == replace(record)


def test_probe_finds_a_good_directory_fit_and_leaves_nothing(tmp_path: Path) -> None:
    report = probe_directory(tmp_path, processes=2, swaps=20)
    if mount_of(tmp_path).kind == "tmpfs":
        pytest.skip("the temporary directory is in memory")
    assert report.fit, report.problems
    assert report.method == "link"
    assert report.publish_p99_ms >= report.publish_p50_ms > 0
    assert list(tmp_path.iterdir()) == []


def test_probe_warns_of_memory(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=1m"):
        report = probe_directory(tmp_path, processes=2, swaps=10)
        assert not report.fit
        assert "in memory" in report.problems[0]


def test_the_command_works_as_a_process(tmp_path: Path) -> None:
    environment = os.environ | {"NO_COLOR": "1"}
    code = "from twofold.cli.witness import app; app()"
    command = [sys.executable, "-c", code, "show", f"file://{tmp_path}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert "no record" in done.stderr
