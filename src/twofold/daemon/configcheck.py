"""What must fit together in a configuration; each refusal says what is right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twofold.base.cluster_ids import InitialClusterInvalid, parse_initial_cluster
from twofold.daemon.errors import ConfigError
from twofold.daemon.flagparse import check_url
from twofold.witness.errors import WitnessUrlInvalid
from twofold.witness.url import directory_of

if TYPE_CHECKING:
    from twofold.daemon.config import ServeConfig, TlsConfig

ELECTION_TIMEOUT_MAX_MS = 50_000
# Compared with, not listened on.
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104

_UNSUPPORTED = {
    "force-new-cluster": "see docs/operations/when-it-refuses.md for what to do"
    " instead",
    "auto-tls": "give --cert-file and --key-file",
    "peer-auto-tls": "give --peer-cert-file and --peer-key-file",
    **dict.fromkeys(
        (
            "discovery",
            "discovery-endpoints",
            "discovery-srv",
            "discovery-srv-name",
            "discovery-token",
        ),
        "name both members in --initial-cluster",
    ),
}

# They keep somebody out: a member that ignored them would let him in.
_NOT_YET = {
    "cipher-suites": "",
    "client-cert-allowed-hostname": "",
    "client-crl-file": "",
    "host-whitelist": "*",
    "peer-cert-allowed-cn": "",
    "peer-cert-allowed-hostname": "",
    "peer-client-cert-file": "",
    "peer-client-key-file": "",
    "peer-crl-file": "",
    "tls-max-version": "",
    "tls-min-version": "TLS1.2",
}

REQUEST_BYTES_MAX = 32 << 20
_CHOICES = {
    "initial-cluster-state": ("new", "existing"),
    "log-level": ("debug", "info", "warn", "error", "panic", "fatal"),
}


def is_wildcard(url: str) -> bool:
    """Whether the URL listens on every address of the machine."""
    return urlsplit(url).hostname in _WILDCARDS


def refuse_unsupported(texts: Mapping[str, str]) -> None:
    """Refuse what twofold can neither do nor ignore."""
    for name, instead in _UNSUPPORTED.items():
        if texts.get(name, "") not in {"", "false", "0", "f"}:
            raise ConfigError(f"--{name} is not supported: {instead}")
    for name, harmless in _NOT_YET.items():
        text = texts.get(name, "")
        if text not in {"", harmless}:
            only = f"; only {harmless!r} is" if harmless else ""
            raise ConfigError(
                f"--{name}={text} is not supported yet{only}, and is too important"
                " to be ignored"
            )


def read_cluster(
    text: str, name: str, advertise_peer: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """``--initial-cluster``; without it this member is alone."""
    if not text.strip():
        return {name: advertise_peer}
    try:
        cluster = parse_initial_cluster(text)
    except InitialClusterInvalid as error:
        raise ConfigError(
            f"--initial-cluster: {error}; it takes name=peer-url pairs, as in"
            " a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"
        ) from error
    for urls in cluster.values():
        for url in urls:
            check_url(url)
    return cluster


def check(
    config: ServeConfig, *, heartbeat_interval_ms: int, without_witness: bool
) -> list[str]:
    """Raise ConfigError for what cannot work; return what should be known."""
    _check_choices(config)
    _check_cluster(config, without_witness)
    _check_timing(config, heartbeat_interval_ms)
    _check_limits(config)
    notes = _check_ports(config)
    _check_tls("", config.client_tls)
    _check_tls("peer-", config.peer_tls)
    return notes


def with_notes(config: ServeConfig, more: list[str]) -> ServeConfig:
    """The same configuration with more sentences for the log."""
    return replace(config, notes=(*config.notes, *more)) if more else config


def _check_choices(config: ServeConfig) -> None:
    for flag, choices in _CHOICES.items():
        value = getattr(config, flag.replace("-", "_"))
        if value not in choices:
            listed = ", ".join(filter(None, choices))
            raise ConfigError(f"--{flag}: {value!r} is wrong; it is one of {listed}")


def _check_cluster(config: ServeConfig, without_witness: bool) -> None:
    cluster = config.initial_cluster
    if len(cluster) > 2:
        raise ConfigError(
            f"--initial-cluster names {len(cluster)} members; twofold runs one or"
            " two, and the third vote is the witness (--witness)"
        )
    if config.name not in cluster:
        raise ConfigError(
            f"--initial-cluster does not name this member: --name is"
            f" {config.name!r}, the names there are {', '.join(sorted(cluster))}"
        )
    ours = tuple(sorted(config.advertise_peer_urls))
    if ours != tuple(sorted(cluster[config.name])):
        raise ConfigError(
            f"--initial-cluster gives {config.name} the peer URLs"
            f" {','.join(cluster[config.name])}, --initial-advertise-peer-urls"
            f" gives {','.join(ours)}; they must be equal"
        )
    if config.witness_url:
        if without_witness:
            raise ConfigError("--witness and --no-witness exclude each other")
        try:
            directory_of(config.witness_url)
        except WitnessUrlInvalid as error:
            raise ConfigError(f"--witness: {error}") from error
    elif config.two_members and not without_witness:
        raise ConfigError(
            "two members need --witness file:///directory so that one can go on"
            " alone; --no-witness says that both must always be up"
        )
    if config.bootstrap_alone and config.two_members and not config.witness_url:
        raise ConfigError("--bootstrap-alone needs --witness, which records it")
    if config.bootstrap_alone and config.initial_cluster_state == "existing":
        raise ConfigError(
            "--bootstrap-alone begins a new cluster; it does not go with"
            " --initial-cluster-state=existing"
        )


def _check_timing(config: ServeConfig, heartbeat_interval_ms: int) -> None:
    if config.election_timeout_ms > ELECTION_TIMEOUT_MAX_MS:
        raise ConfigError(
            f"--election-timeout is {config.election_timeout_ms} ms, at most"
            f" {ELECTION_TIMEOUT_MAX_MS}"
        )
    if config.election_timeout_ms < 1:
        raise ConfigError("--election-timeout must be 1 ms or more")
    if 5 * heartbeat_interval_ms > config.election_timeout_ms:
        raise ConfigError(
            f"--election-timeout ({config.election_timeout_ms} ms) must be at least"
            f" 5 times --heartbeat-interval ({heartbeat_interval_ms} ms)"
        )


def _check_limits(config: ServeConfig) -> None:
    if config.max_request_bytes < 1024:
        raise ConfigError("--max-request-bytes must be 1024 or more")
    if config.max_request_bytes > REQUEST_BYTES_MAX:
        raise ConfigError(
            f"--max-request-bytes is at most {REQUEST_BYTES_MAX}: a request travels"
            " to the other member in one frame"
        )
    if config.max_txn_ops < 1:
        raise ConfigError("--max-txn-ops must be 1 or more")
    if config.watch_progress_interval_ms < 100:
        raise ConfigError("--watch-progress-notify-interval must be 100ms or more")
    if config.snapshot_count < 1:
        raise ConfigError("--snapshot-count must be 1 or more")


def _check_ports(config: ServeConfig) -> list[str]:
    notes = []
    listeners = (
        ("listen-client-urls", config.listen_client_urls, config.client_tls),
        ("listen-client-http-urls", config.listen_client_http_urls, config.client_tls),
        ("listen-metrics-urls", config.listen_metrics_urls, config.client_tls),
        ("listen-peer-urls", config.listen_peer_urls, config.peer_tls),
    )
    taken: dict[str, str] = {}
    for flag, urls, tls in listeners:
        prefix = "peer-" if flag == "listen-peer-urls" else ""
        for url in urls:
            parts = urlsplit(url)
            if parts.netloc in taken and parts.port != 0:
                raise ConfigError(f"--{flag}: {taken[parts.netloc]} has {url} already")
            taken[parts.netloc] = f"--{flag}"
            if parts.scheme == "https" and not tls.enabled:
                raise ConfigError(
                    f"--{flag} has {url}, which needs --{prefix}cert-file and"
                    f" --{prefix}key-file"
                )
            if parts.scheme == "http" and tls.enabled and "metrics" not in flag:
                notes.append(f"{url} of --{flag} is plain: its certificate is unused")
    if not config.listen_client_urls:
        raise ConfigError("--listen-client-urls must name a URL")
    if config.two_members and not config.listen_peer_urls:
        raise ConfigError("two members need --listen-peer-urls")
    for flag, urls in (
        ("advertise-client-urls", config.advertise_client_urls),
        ("initial-advertise-peer-urls", config.advertise_peer_urls),
    ):
        if any(is_wildcard(url) for url in urls):
            notes.append(f"--{flag} is a wildcard that others cannot connect to")
    return notes


def _check_tls(prefix: str, tls: TlsConfig) -> None:
    cert_flag, key_flag = f"{prefix}cert-file", f"{prefix}key-file"
    if bool(tls.cert_file) != bool(tls.key_file):
        there, missing = (
            (cert_flag, key_flag) if tls.cert_file else (key_flag, cert_flag)
        )
        raise ConfigError(f"--{there} needs --{missing} beside it")
    _check_file(cert_flag, tls.cert_file)
    _check_file(key_flag, tls.key_file)
    _check_file(f"{prefix}trusted-ca-file", tls.trusted_ca_file)
    if tls.client_cert_auth and not tls.trusted_ca_file:
        raise ConfigError(
            f"--{prefix}client-cert-auth needs --{prefix}trusted-ca-file to check with"
        )


def _check_file(flag: str, path: str) -> None:
    if path and not os.access(path, os.R_OK):
        raise ConfigError(f"--{flag}: cannot read {path}")
