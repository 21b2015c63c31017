"""One checked, frozen configuration out of flags, variables and a file.

Precedence is etcd's: a flag wins over a variable, and with a config file the
file alone counts. No pydantic here: importing it costs more than the whole
start of a member may (docs/decisions/0009).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twofold.daemon import configcheck
from twofold.daemon.configfile import read_file
from twofold.daemon.errors import ConfigError
from twofold.daemon.flagparse import (
    lookup,
    parse_duration_ms,
    parse_uint,
    read_value,
    split_arguments,
    split_environment,
)
from twofold.daemon.flags import ALIASES, BY_NAME, GATE_FLAGS, KNOWN_GATES

QUOTA_DEFAULT_BYTES = 2 * 1024**3
HEARTBEAT_MIN_MS = 10
SUSPICION_MIN_MS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """The files of one port; ``cert_file`` empty: no TLS there."""

    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    skip_client_san_verification: bool = False

    @property
    def enabled(self) -> bool:
        """Whether there is a certificate to serve with."""
        return bool(self.cert_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What ``twofold serve`` runs with; already checked as a whole.

    Shape: URLs have scheme, host and port, and no path; ``initial_cluster``
    has one or two names, ``name`` among them. ``quota_bytes`` 0: no limit.
    ``heartbeat_ms`` and ``suspicion_ms`` are twofold's own, mapped from etcd's
    flags; ``election_timeout_ms`` stays as given, for what clients see of it.
    """

    name: str
    data_dir: Path
    wal_dir: Path | None
    listen_client_urls: tuple[str, ...]
    listen_client_http_urls: tuple[str, ...]
    listen_peer_urls: tuple[str, ...]
    listen_metrics_urls: tuple[str, ...]
    advertise_client_urls: tuple[str, ...]
    advertise_peer_urls: tuple[str, ...]
    initial_cluster: Mapping[str, tuple[str, ...]]
    initial_cluster_state: str
    initial_cluster_token: str
    witness_url: str
    witness_probe_ms: int
    bootstrap_alone: bool
    client_tls: TlsConfig
    peer_tls: TlsConfig
    heartbeat_ms: int
    suspicion_ms: int
    election_timeout_ms: int
    snapshot_count: int
    quota_bytes: int
    max_txn_ops: int
    max_request_bytes: int
    max_concurrent_streams: int
    auto_compaction_period_ms: int
    auto_compaction_revisions: int
    watch_progress_interval_ms: int
    log_level: str
    notes: tuple[str, ...] = ()
    """Sentences for the log, once it exists."""

    @property
    def two_members(self) -> bool:
        """Whether there is a peer."""
        return len(self.initial_cluster) == 2

    @property
    def peer_name(self) -> str:
        """The other member's name; empty if there is none."""
        return next((n for n in self.initial_cluster if n != self.name), "")

    @property
    def peer_urls_of_peer(self) -> tuple[str, ...]:
        """Where the other member listens; empty if there is none."""
        return self.initial_cluster[self.peer_name] if self.peer_name else ()


@dataclass(slots=True)
class _Settings:
    """Texts by flag, with the place each came from; read on demand."""

    texts: dict[str, str]
    sources: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def given(self, name: str) -> bool:
        """Whether the user said anything."""
        return name in self.texts

    def __getitem__(self, name: str) -> Any:
        flag = BY_NAME[name]
        text = self.texts.get(name, flag.default)
        return read_value(flag, text, self.sources.get(name, f"--{name}"))


def asks_only(arguments: Sequence[str]) -> str:
    """``help`` or ``version`` if that is what is asked for, else empty."""
    texts = split_arguments(arguments)
    for name in ("help", "version"):
        for given, text in texts.items():
            if ALIASES.get(given, given) == name and text in {"true", "1", "t"}:
                return name
    return ""


def load_config(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> ServeConfig:
    """Read and check everything.

    Raises:
        ConfigError: with a sentence for the user; nothing has been touched.
    """
    settings = _collect(arguments, environment)
    _check_all_values(settings)
    _note_gates(settings)
    configcheck.refuse_unsupported(settings.texts)
    config = _build(settings)
    more = configcheck.check(
        config,
        heartbeat_interval_ms=settings["heartbeat-interval"],
        without_witness=settings["no-witness"],
    )
    return configcheck.with_notes(config, more)


def _build(settings: _Settings) -> ServeConfig:
    """Each field from its flags; whether they fit together is not asked yet."""
    name = settings["name"]
    advertise_peer = settings["initial-advertise-peer-urls"]
    cluster = configcheck.read_cluster(
        settings["initial-cluster"], name, advertise_peer
    )
    if not settings.given("initial-advertise-peer-urls") and name in cluster:
        advertise_peer = cluster[name]
    period_ms, revisions = _auto_compaction(settings)
    quota = settings["quota-backend-bytes"]
    return ServeConfig(
        name=name,
        data_dir=Path(settings["data-dir"] or f"{name}.twofold"),
        wal_dir=Path(settings["wal-dir"]) if settings["wal-dir"] else None,
        listen_client_urls=settings["listen-client-urls"],
        listen_client_http_urls=settings["listen-client-http-urls"],
        listen_peer_urls=settings["listen-peer-urls"],
        listen_metrics_urls=settings["listen-metrics-urls"],
        advertise_client_urls=_advertise_client(settings),
        advertise_peer_urls=advertise_peer,
        initial_cluster=cluster,
        initial_cluster_state=settings["initial-cluster-state"],
        initial_cluster_token=settings["initial-cluster-token"],
        witness_url=settings["witness"],
        witness_probe_ms=settings["witness-probe-interval"],
        bootstrap_alone=settings["bootstrap-alone"],
        client_tls=_tls(settings, ""),
        peer_tls=_tls(settings, "peer-"),
        heartbeat_ms=max(HEARTBEAT_MIN_MS, settings["heartbeat-interval"] // 2),
        suspicion_ms=max(SUSPICION_MIN_MS, settings["election-timeout"] // 5),
        election_timeout_ms=settings["election-timeout"],
        snapshot_count=settings["snapshot-count"],
        quota_bytes=max(0, quota or QUOTA_DEFAULT_BYTES),
        max_txn_ops=settings["max-txn-ops"],
        max_request_bytes=settings["max-request-bytes"],
        max_concurrent_streams=settings["max-concurrent-streams"],
        auto_compaction_period_ms=period_ms,
        auto_compaction_revisions=revisions,
        watch_progress_interval_ms=settings["watch-progress-notify-interval"],
        log_level=settings["log-level"],
        notes=tuple(settings.notes),
    )


def _collect(arguments: Sequence[str], environment: Mapping[str, str]) -> _Settings:
    flags = split_arguments(arguments)
    variables, strange = split_environment(environment)
    settings = _Settings({}, {})
    path = flags.get("config-file") or variables.get("config-file", "")
    if path:
        _merge(settings, read_file(path), f"{path}: ")
        others = sorted(set(flags) - {"config-file"})
        if others:
            names = ", ".join(f"--{name}" for name in others)
            settings.notes.append(
                f"with a config file the flags beside it do not count: {names}"
            )
        return settings
    _merge(settings, variables, "variable ")
    _merge(settings, flags, "--")
    if strange:
        settings.notes.append(f"unknown variables: {', '.join(strange)}")
    return settings


def _merge(settings: _Settings, texts: Mapping[str, str], place: str) -> None:
    """Add texts under today's names; later calls win."""
    for given, text in texts.items():
        name = ALIASES.get(given, given)
        settings.texts[name] = text
        settings.sources[name] = f"{place}{given}"


def _check_all_values(settings: _Settings) -> None:
    """Read every value once, so that the first error is about the user's text."""
    silent: list[str] = []
    for name, text in settings.texts.items():
        flag = lookup(name)
        if flag is None:
            raise ConfigError(f"{settings.sources[name]}: unknown")
        read_value(flag, text, settings.sources[name])
        if not flag.means:
            silent.append(name)
    if silent:
        names = ", ".join(f"--{name}" for name in sorted(silent))
        settings.notes.append(f"accepted, without effect in twofold: {names}")


def _advertise_client(settings: _Settings) -> tuple[str, ...]:
    if settings.given("advertise-client-urls") or not settings.given(
        "listen-client-urls"
    ):
        urls: tuple[str, ...] = settings["advertise-client-urls"]
        return urls
    listen: tuple[str, ...] = settings["listen-client-urls"]
    if any(configcheck.is_wildcard(url) for url in listen):
        raise ConfigError(
            "--listen-client-urls is for every address; say with"
            " --advertise-client-urls which one clients should use"
        )
    return listen


def _tls(settings: _Settings, prefix: str) -> TlsConfig:
    return TlsConfig(
        cert_file=settings[f"{prefix}cert-file"],
        key_file=settings[f"{prefix}key-file"],
        trusted_ca_file=settings[f"{prefix}trusted-ca-file"],
        client_cert_auth=settings[f"{prefix}client-cert-auth"],
        skip_client_san_verification=bool(prefix)
        and settings["peer-skip-client-san-verification"],
    )


def _auto_compaction(settings: _Settings) -> tuple[int, int]:
    """Period in ms and number of revisions; at most one is not 0."""
    mode, text = settings["auto-compaction-mode"], settings["auto-compaction-retention"]
    try:
        if mode == "revision":
            return 0, parse_uint(text)
        if mode == "periodic":
            # A bare number means hours, for the sake of etcd 3.2.
            return (
                int(text) * 3_600_000 if text.isdecimal() else parse_duration_ms(text)
            ), 0
    except ValueError:
        takes = "a number" if mode == "revision" else 'hours or a duration like "5m"'
        raise ConfigError(
            f"--auto-compaction-retention: {text!r} is wrong; in mode {mode} it"
            f" takes {takes}"
        ) from None
    raise ConfigError(
        f"--auto-compaction-mode: {mode!r} is wrong; it is periodic or revision"
    )


def _note_gates(settings: _Settings) -> None:
    """Check the feature gates, older versions' flags too; none has an effect."""
    gates = {GATE_FLAGS[flag] for flag in GATE_FLAGS if settings.given(flag)}
    for pair in filter(None, settings["feature-gates"].split(",")):
        name, _, text = pair.partition("=")
        if text.strip().lower() not in {"true", "false"}:
            raise ConfigError(
                f"--feature-gates: {pair!r} is wrong; write {name}=true or {name}=false"
            )
        gates.add(name.strip())
    for word, names in (("", gates & KNOWN_GATES), ("unknown ", gates - KNOWN_GATES)):
        if names:
            listed = ", ".join(sorted(names))
            settings.notes.append(f"{word}feature gates without effect: {listed}")
