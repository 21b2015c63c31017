"""etcdctl, unmodified: every command of the services that exist here."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.testing.differential import Pair, pair
from twofold.testing.etcdctl import Output, command, comparable, etcdctl
from twofold.testing.processes import Cluster, Member, twofold_cluster

# In this order, on both servers; exit code and output must be the same.
SAME = r"""
put a 1
put a 2 --prev-kv
put b/1 x
put b/2 y
put c z -w json
put a --ignore-value
put a 4 --lease=123
put n --ignore-value
put n 1 --ignore-lease
get a
get a --print-value-only
get a -w fields
get a -w json
get a --hex
get b/ --prefix
get b --from-key
get a c
get b/ --prefix --limit=1 -w json
get a --rev=2
get a --rev=99
get b/ --prefix --order=DESCEND --sort-by=MODIFY
get b/ --prefix --order=ASCEND --sort-by=VALUE
get b/ --prefix --keys-only
get b/ --prefix --count-only -w fields
get b --prefix --min-mod-rev=4 --max-mod-rev=5
get b --prefix --min-create-rev=4 --max-create-rev=4
get a --consistency=s
get none
lease grant 100 -w json
lease timetolive 77
lease revoke 77
lease keep-alive 77 --once
del b/1 --prev-kv
del b --prefix
del x --from-key
del a c --range
del none
compaction 3
compaction 3
compaction 6 --physical
compaction 99
get a --rev=2
endpoint health
endpoint health -w json
endpoint health --cluster
endpoint hashkv
endpoint hashkv -w json
endpoint hashkv --rev 7
endpoint hashkv --cluster
member list
member list -w json
alarm list
alarm disarm
defrag
defrag --cluster
version
"""


@pytest.fixture(scope="module")
def servers(peers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both servers, empty at first: the table counts revisions."""
    with pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


@pytest.fixture
def duo(peers: None, tmp_path: Path) -> Iterator[Cluster]:
    """Two members of twofold."""
    with twofold_cluster(tmp_path, 2) as cluster:
        yield cluster


def _run(member: Member, line: str, stdin: str | None = None) -> Output:
    done = etcdctl([member.endpoint], *line.split(), stdin=stdin)
    out, error = comparable(done.out, member), comparable(done.error, member)
    return Output(done.code, out, error)


def _both(servers: Pair, line: str, stdin: str | None = None) -> tuple[Output, Output]:
    ours, theirs = (
        _run(side.cluster.members[0], line, stdin) for side in reversed(servers)
    )
    return theirs, ours


def test_the_table_gives_the_same_output(servers: Pair) -> None:
    for line in SAME.strip().splitlines():
        ours, theirs = _both(servers, line)
        assert ours == theirs, line


@pytest.mark.parametrize(
    "text",
    [
        'value("t1") = "old"\n\nput t1 new\nget t1\n\nput t2 no\nput t1 old\n\n',
        'value("t1") = "old"\n\nput t1 new\nget t1\n\nput t2 no\n\n',
        'mod("t1") > "0"\n\ndel t1\n\n\n\n',
        "\nput t1 a\nput t1 b\n\n\n\n",
    ],
)
def test_txn_gives_the_same_output(servers: Pair, text: str) -> None:
    ours, theirs = _both(servers, "txn -i", text)
    assert ours == theirs


def _raw_line(member: Member, arguments: str) -> str:
    return _raw_lines(member, arguments, 1)[0]


def _lines(member: Member, arguments: str, count: int) -> list[str]:
    return [comparable(line, member) for line in _raw_lines(member, arguments, count)]


def _raw_lines(member: Member, arguments: str, count: int) -> list[str]:
    """The first lines of a command that goes on for ever."""
    running = subprocess.Popen(
        command([member.endpoint], *arguments.split()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(count)]
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()
    return lines


def test_watch_gives_the_same_output(servers: Pair) -> None:
    put, _ = _both(servers, "put w/1 x -w json")
    first = json.loads(put.out)["header"]["revision"]
    for line in ("put w/1 y", "del w/1", "put w/2 z"):
        _both(servers, line)
    for options, count in (("", 11), ("--prev-kv", 15), ("-w json", 1)):
        line = f"watch w/ --prefix --rev={first} {options}"
        ours, theirs = (_lines(one.cluster.members[0], line, count) for one in servers)
        assert ours == theirs, line


def test_leases_are_listed_kept_and_revoked(servers: Pair) -> None:
    told = []
    for side in servers:
        member = side.cluster.members[0]
        before = _lease_count(member)
        granted = etcdctl([member.endpoint], "lease", "grant", "300")
        match = re.match(r"lease (\S+) granted with TTL\(300s\)", granted.out)
        assert match is not None, granted
        lease = match[1]
        assert _lease_count(member) == before + 1
        outputs = [
            _run(member, f"put leased x --lease={lease}"),
            _run(member, f"lease timetolive {lease} --keys"),
            _run(member, f"lease keep-alive {lease} --once"),
            _run(member, f"lease revoke {lease}"),
            _run(member, "get leased"),
        ]
        assert _lease_count(member) == before
        told.append(outputs)
    assert told[0] == told[1]


def _lease_count(member: Member) -> int:
    listed = etcdctl([member.endpoint], "lease", "list")
    match = re.match(r"found (\d+) leases", listed.out)
    assert match is not None, listed
    return int(match[1])


def test_a_lock_of_the_dead_passes_on(servers: Pair) -> None:
    # The first holder is killed: the second waits until its lease has expired.
    for side in servers:
        member = side.cluster.members[0]
        keys = [_raw_line(member, "lock m --ttl=2") for _ in range(2)]
        assert all(key.startswith("m/") for key in keys)
        assert keys[0] != keys[1]


def test_a_candidate_alone_is_elected(servers: Pair) -> None:
    for side in servers:
        member = side.cluster.members[0]
        assert _raw_line(member, "elect e me").startswith("e/")
        assert _lines(member, "elect e --listen", 2)[1] == "me\n"


def test_status_has_all_its_columns(servers: Pair) -> None:
    status = ["endpoint", "status", "-w", "json"]
    ours, theirs = (
        json.loads(etcdctl(one.cluster.endpoints, *status).out) for one in servers
    )
    assert ours[0]["Status"].keys() == theirs[0]["Status"].keys()
    for options in ("", "-w table", "--cluster -w table", "-w fields"):
        for output in _both(servers, f"endpoint status {options}"):
            assert output.code == 0, output


def test_a_pair_answers_for_both_members(duo: Cluster) -> None:
    assert etcdctl(duo.endpoints, "put", "a", "1").code == 0
    # Each publishes its URLs once it is ready.
    deadline_s = time.monotonic() + 10
    while "unstarted" in etcdctl(duo.endpoints[:1], "member", "list").out:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    for line, each in (
        ("endpoint health --cluster", "is healthy"),
        ("endpoint status --cluster", ", 3."),
        ("endpoint hashkv --cluster", ", "),
        ("defrag --cluster", "Finished"),
        ("member list", ", started, "),
    ):
        done = etcdctl(duo.endpoints[:1], *line.split())
        assert (done.code, done.out.count("\n")) == (0, 2), (line, done)
        assert all(each in one for one in done.out.splitlines()), (line, done)
    hashes = etcdctl(duo.endpoints[:1], "endpoint", "hashkv", "--cluster").out
    assert len({line.split(", ", 1)[1] for line in hashes.splitlines()}) == 1


def _await_leader(cluster: Cluster, wanted: str = "") -> tuple[str, str]:
    """Hexadecimal ids of who leads, by everybody's word, and who does not."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        done = etcdctl(cluster.endpoints, "endpoint", "status", "-w", "json")
        status = [one["Status"] for one in json.loads(done.out or "[]")]
        members = {one["header"]["member_id"] for one in status}
        leaders = {one.get("leader", 0) for one in status}
        others = members - leaders
        if len(leaders) == len(others) == 1:
            leads, other = f"{leaders.pop():x}", f"{others.pop():x}"
            if wanted in ("", leads):
                return leads, other
        time.sleep(0.1)
    raise AssertionError(f"{wanted or 'somebody'} does not lead: {done}")


def test_the_leader_moves(duo: Cluster) -> None:
    before, target = _await_leader(duo)
    done = etcdctl(duo.endpoints, "move-leader", target)
    expected = f"Leadership transferred from {before} to {target}\n"
    assert (done.code, done.out) == (0, expected), done
    assert _await_leader(duo, target) == (target, before)
    assert etcdctl(duo.endpoints, "put", "a", "2").code == 0


def test_keys_move_from_etcd_and_back(servers: Pair) -> None:
    for source, target in (servers, reversed(servers)):
        key = f"mirror/{source.name}/k"
        etcdctl(source.cluster.endpoints, "put", key, "before")
        arguments = ["make-mirror", "--prefix=mirror/", target.cluster.endpoints[0]]
        running = subprocess.Popen(
            command(source.cluster.endpoints, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for value in ("before", "after"):
                etcdctl(source.cluster.endpoints, "put", key, value)
                _await_value(target.cluster.members[0], key, value)
        finally:
            running.kill()
            running.wait()


def _await_value(member: Member, key: str, value: str) -> None:
    deadline_s = time.monotonic() + 10
    while etcdctl([member.endpoint], "get", key).out != f"{key}\n{value}\n":
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
