"""A configuration is complete and fits together, or says what is right."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from twofold.daemon.config import ServeConfig, TlsConfig, asks_only, load_config
from twofold.daemon.errors import ConfigError
from twofold.daemon.flags import ALIASES, ALL, BY_NAME, usage

PAIR = ["--name=a", "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"]
# Only checked: the cluster and the state of the data directory say the same.
UNUSED = {"advertise_peer_urls", "initial_cluster_state"}
WITNESS = "--witness=file:///mnt/w"


def load(*arguments: str, **environment: str) -> ServeConfig:
    return load_config(arguments, environment)


def test_nothing_given_is_one_member_with_etcds_defaults() -> None:
    config = load()
    assert config.name == "default"
    assert config.data_dir == Path("default.twofold")
    assert config.initial_cluster == {"default": ("http://localhost:2380",)}
    assert config.listen_client_urls == ("http://localhost:2379",)
    assert config.advertise_client_urls == ("http://localhost:2379",)
    assert not config.two_members
    assert config.peer_name == ""
    assert config.peer_urls_of_peer == ()
    assert config.quota_bytes == 2 * 1024**3
    assert config.notes == ()


def test_a_pair_knows_its_peer_and_takes_its_own_urls_from_the_cluster() -> None:
    config = load(*PAIR, WITNESS)
    assert config.two_members
    assert config.peer_name == "b"
    assert config.peer_urls_of_peer == ("http://10.0.0.2:2380",)
    assert config.advertise_peer_urls == ("http://10.0.0.1:2380",)
    assert config.witness_url == "file:///mnt/w"


def test_etcds_timeouts_are_mapped() -> None:
    config = load("--heartbeat-interval=100", "--election-timeout=2000")
    assert (config.heartbeat_ms, config.suspicion_ms) == (50, 400)
    assert config.election_timeout_ms == 2000


def test_short_timeouts_have_a_floor() -> None:
    config = load("--heartbeat-interval=10", "--election-timeout=50")
    assert (config.heartbeat_ms, config.suspicion_ms) == (10, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (PAIR, "two members need --witness file:///directory"),
        ([*PAIR, "--bootstrap-alone", "--no-witness"], "--bootstrap-alone needs"),
        (
            [
                *PAIR,
                "--witness=file:///w",
                "--bootstrap-alone",
                "--initial-cluster-state=existing",
            ],
            "begins a new cluster",
        ),
        (["--max-request-bytes=33554433"], "at most 33554432"),
        ([*PAIR, WITNESS, "--no-witness"], "exclude each other"),
        ([*PAIR, "--witness=/mnt/w"], "write file:///absolute/path"),
        ([*PAIR, "--witness=nfs://h/p"], "only file://"),
        ([PAIR[1], WITNESS, "--name=c"], "--name is 'c', the names there are a, b"),
        (
            [*PAIR, WITNESS, "--initial-advertise-peer-urls=http://10.0.0.9:2380"],
            "must be equal",
        ),
        (
            ["--name=a", "--initial-cluster=a=http://h:1,b=http://h:2,c=http://h:3"],
            "names 3 members; twofold runs one or two",
        ),
        (["--initial-cluster=a"], "it takes name=peer-url pairs"),
        (["--initial-cluster=default=h:1"], "it takes name=peer-url pairs"),
        (["--initial-cluster=default=ftp://h:1"], "must begin with http"),
        (["--initial-cluster-state=old"], "one of new, existing"),
        (["--snapshot-count=many"], "'many' is wrong; it takes a whole number"),
        (["--snapshot-count=0"], "1 or more"),
        (["--client-cert-auth=maybe"], "it takes true or false"),
        (["--watch-progress-notify-interval=5"], "it takes a duration"),
        (["--watch-progress-notify-interval=1ms"], "100ms or more"),
        (["--listen-client-urls=:2379"], "--listen-client-urls: ':2379' must begin"),
        (["--listen-client-urls="], "must name a URL"),
        (["--listen-client-urls=http://0.0.0.0:2379"], "--advertise-client-urls"),
        (["--listen-client-urls=https://h:1"], "needs --cert-file and --key-file"),
        (["--listen-peer-urls=https://h:1"], "needs --peer-cert-file"),
        (["--listen-peer-urls=http://localhost:2379"], "has .*2379 already"),
        (["--cert-file=/etc/hostname"], "--cert-file needs --key-file"),
        (["--peer-key-file=/etc/hostname"], "--peer-key-file needs --peer-cert-file"),
        (["--trusted-ca-file=/no/such"], "cannot read /no/such"),
        (["--client-cert-auth"], "needs --trusted-ca-file"),
        (["--peer-client-cert-auth"], "needs --peer-trusted-ca-file"),
        (["--auto-tls"], "not supported: give --cert-file"),
        (["--force-new-cluster"], "when-it-refuses"),
        (["--discovery-srv=example.org"], "name both members"),
        (["--election-timeout=60000"], "at most 50000"),
        (["--election-timeout=0"], "1 ms or more"),
        (["--election-timeout=400"], "at least 5 times --heartbeat-interval"),
        (["--auto-compaction-mode=daily"], "periodic or revision"),
        (["--auto-compaction-retention=soon"], "hours or a duration"),
        (
            ["--auto-compaction-mode=revision", "--auto-compaction-retention=1h"],
            "in mode revision it takes a number",
        ),
        (["--feature-gates=LeaseCheckpoint"], "write LeaseCheckpoint=true"),
        (["--max-request-bytes=1"], "1024 or more"),
        (["--max-txn-ops=0"], "1 or more"),
        (["--peer-client-cert-file=x"], "not supported yet"),
        (["--cipher-suites=X"], "not supported yet, and is too important"),
        (["--tls-min-version=TLS1.3"], "not supported yet; only 'TLS1.2' is"),
        (["--peer-cert-allowed-cn=a"], "--peer-cert-allowed-cn=a is not supported"),
        (["--log-level=loud"], "one of debug, info"),
        (["--config-file=/no/such.yaml"], "--config-file: .*No such file"),
        ([*PAIR, WITNESS, "--listen-peer-urls="], "two members need --listen-peer"),
    ],
)
def test_a_refusal_says_what_is_right(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(*arguments)


def test_no_witness_is_a_choice() -> None:
    assert load(*PAIR, "--no-witness").witness_url == ""


@pytest.mark.parametrize(
    ("spelling", "value_ms"),
    [
        ("--watch-progress-notify-interval=5s", 5000),
        ("--experimental-watch-progress-notify-interval=5s", 5000),
        ("-experimental-watch-progress-notify-interval=5s", 5000),
    ],
)
def test_both_spellings_of_kubeadm(spelling: str, value_ms: int) -> None:
    assert load(spelling).watch_progress_interval_ms == value_ms


@pytest.mark.parametrize(
    ("spelling", "note"),
    [
        ("--feature-gates=InitialCorruptCheck=true", "feature gates without effect"),
        ("--experimental-initial-corrupt-check=true", "feature gates without effect"),
        ("--feature-gates=FlyToTheMoon=true", "unknown feature gates without effect"),
    ],
)
def test_gates_are_named_and_start_anyway(spelling: str, note: str) -> None:
    (found,) = load(spelling).notes
    assert found.startswith(f"{note}: ")


def test_flags_without_effect_are_named_in_one_line() -> None:
    config = load("--max-wals=5", "--pre-vote", "--experimental-memory-mlock")
    assert config.notes == (
        "accepted, without effect in twofold: --max-wals, --memory-mlock, --pre-vote",
    )


def test_a_flag_without_effect_is_still_checked() -> None:
    with pytest.raises(ConfigError, match="--max-wals"):
        load("--max-wals=many")


def test_a_flag_wins_over_a_variable() -> None:
    assert load("--name=a", ETCD_NAME="b").name == "a"
    assert load(ETCD_NAME="b").name == "b"
    assert load(ETCD_NAME="b", TWOFOLD_NAME="c").name == "c"


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="variable snapshot-count"):
        load(ETCD_SNAPSHOT_COUNT="x")


def test_the_advertised_client_url_follows_the_port() -> None:
    config = load("--listen-client-urls=http://127.0.0.1:9")
    assert config.advertise_client_urls == ("http://127.0.0.1:9",)


def test_quota_zero_is_etcds_default_and_below_is_none() -> None:
    assert load("--quota-backend-bytes=-1").quota_bytes == 0
    assert load("--quota-backend-bytes=1000").quota_bytes == 1000


@pytest.mark.parametrize(
    ("mode", "retention", "expected"),
    [
        ("periodic", "0", (0, 0)),
        ("periodic", "2", (7_200_000, 0)),
        ("periodic", "5m", (300_000, 0)),
        ("revision", "1000", (0, 1000)),
    ],
)
def test_auto_compaction(mode: str, retention: str, expected: tuple[int, int]) -> None:
    config = load(
        f"--auto-compaction-mode={mode}", f"--auto-compaction-retention={retention}"
    )
    found = config.auto_compaction_period_ms, config.auto_compaction_revisions
    assert found == expected


def test_tls_files_are_taken_for_both_ports(tmp_path: Path) -> None:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).touch()
    config = load(
        f"--cert-file={tmp_path}/cert",
        f"--key-file={tmp_path}/key",
        f"--trusted-ca-file={tmp_path}/ca",
        "--client-cert-auth=true",
        f"--peer-cert-file={tmp_path}/cert",
        f"--peer-key-file={tmp_path}/key",
        "--listen-client-urls=https://127.0.0.1:1,https://10.0.0.1:1",
        "--listen-metrics-urls=http://127.0.0.1:2",
    )
    assert config.client_tls.enabled
    assert config.client_tls.client_cert_auth
    assert config.peer_tls.enabled
    assert config.notes == (
        "http://localhost:2380 of --listen-peer-urls is plain:"
        " its certificate is unused",
    )


def test_a_config_file_counts_alone(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(
        """
        name: a
        witness: file:///mnt/w
        initial-cluster: a=http://10.0.0.1:2380,b=http://10.0.0.2:2380
        snapshot-count: 500
        auto-compaction-retention: 5m
        witness-probe-interval: 200000000
        watch-progress-notify-interval: 7s
        feature-gates: {LeaseCheckpoint: true}
        cors: [http://x.example, http://y.example]
        host-whitelist: {"*": {}}
        pre-vote: true
        client-transport-security: {client-cert-auth: false}
        peer-transport-security: {skip-client-san-verification: true}
        wal-dir:
        """
    )
    config = load(f"--config-file={path}", "--name=z", ETCD_NAME="y")
    assert config.name == "a"
    assert config.two_members
    assert config.snapshot_count == 500
    assert config.witness_probe_ms == 200
    assert config.watch_progress_interval_ms == 7000
    assert "feature gates without effect: LeaseCheckpoint" in config.notes
    assert config.peer_tls.skip_client_san_verification
    assert not config.client_tls.skip_client_san_verification
    assert any("without effect in twofold: --cors" in note for note in config.notes)
    assert config.wal_dir is None
    assert any("do not count: --name" in note for note in config.notes)


def test_the_config_file_may_come_by_variable(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text("name: a\n")
    assert load(ETCD_CONFIG_FILE=str(path)).name == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae: a", "unknown flag nmae; did you mean name?"),
        ("- a", "must hold `flag: value` lines"),
        ("a: b: c", "is not YAML"),
        ("client-transport-security: {cret-file: x}", "has no 'cret-file'; it knows"),
        ("client-transport-security: 5", "must hold `key: value` lines"),
        ("name: !!binary aGk=", "of no use here"),
        ("config-file: other.yaml", "unknown flag config-file"),
        ("snapshot-count: few", "snapshot-count: 'few' is wrong"),
    ],
)
def test_a_bad_config_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        load(f"--config-file={path}")


def test_an_empty_config_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text("")
    assert load(f"--config-file={path}").name == "default"


def test_help_and_version_are_asked_for() -> None:
    assert asks_only(["--help"]) == "help"
    assert asks_only(["-h"]) == "help"
    assert asks_only(["--version"]) == "version"
    assert asks_only(["--version=false", "--name=a"]) == ""


def test_the_help_text_names_every_flag() -> None:
    text = usage("twofold serve")
    for flag in ALL:
        assert flag.name in text or flag.group == "Refused", flag.name


def test_every_default_is_valid_and_every_alias_leads_somewhere() -> None:
    assert len(ALL) == len(BY_NAME)
    assert set(ALIASES.values()) <= set(BY_NAME)


def test_the_command_of_a_kubeadm_static_pod(tmp_path: Path) -> None:
    for name in ("server.crt", "server.key", "ca.crt", "peer.crt", "peer.key"):
        (tmp_path / name).touch()
    config = load(
        "--name=m1",
        f"--data-dir={tmp_path}",
        "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
        "--advertise-client-urls=https://10.0.0.1:2379",
        "--listen-peer-urls=https://10.0.0.1:2380",
        "--initial-advertise-peer-urls=https://10.0.0.1:2380",
        "--initial-cluster=m1=https://10.0.0.1:2380",
        f"--cert-file={tmp_path}/server.crt",
        f"--key-file={tmp_path}/server.key",
        f"--trusted-ca-file={tmp_path}/ca.crt",
        "--client-cert-auth=true",
        f"--peer-cert-file={tmp_path}/peer.crt",
        f"--peer-key-file={tmp_path}/peer.key",
        f"--peer-trusted-ca-file={tmp_path}/ca.crt",
        "--peer-client-cert-auth=true",
        "--snapshot-count=10000",
        "--listen-metrics-urls=http://127.0.0.1:2381",
        "--feature-gates=InitialCorruptCheck=true",
        "--watch-progress-notify-interval=5s",
    )
    assert config.notes == ("feature gates without effect: InitialCorruptCheck",)
    assert config.watch_progress_interval_ms == 5000


def test_the_import_brings_in_nothing_slow() -> None:
    code = (
        "import sys, twofold.daemon.config;"
        "slow = {'pydantic', 'yaml', 'typer', 'rich', 'asyncio', 'lmdb', 'google'};"
        "print(','.join(sorted(slow & set(sys.modules))))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == ""


def test_every_setting_is_used_by_whoever_builds_the_member() -> None:
    # A flag that is read and then dropped would be silently ignored.
    folder = Path(load_config.__code__.co_filename).parent
    text = "".join(
        (folder / name).read_text() for name in ("store.py", "peering.py", "config.py")
    )
    used = set(re.findall(r"\b(?:config|tls)\.([a-z_]+)", text))
    unused = {one.name for one in fields(ServeConfig)} - used - UNUSED
    unused |= {one.name for one in fields(TlsConfig)} - used - UNUSED
    assert not unused
