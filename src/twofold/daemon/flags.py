"""The table of flags: every one that etcd 3.7 knows, and our own.

A flag with ``means=False`` is read, checked for its type and named once in the
log, since starting with a flag that is silently dropped would be worse than
either. Source: etcd 3.7 `--help`; older spellings from 3.4 to 3.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a flag's text is read; the value names it in messages."""

    TEXT = "a text"
    BOOL = "true or false"
    UINT = "a whole number, 0 or more"
    INT = "a whole number"
    DURATION = 'a duration such as "300ms", "5s" or "1h30m"'
    URLS = "URLs with commas between them"
    TEXTS = "texts with commas between them"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; ``default`` is text, as a user would write it."""

    name: str
    kind: Kind
    default: str
    help: str
    group: str
    means: bool = True


def _group(
    group: str, *rows: tuple[str, Kind, str, str], means: bool = True
) -> tuple[Flag, ...]:
    return tuple(Flag(*row, group, means) for row in rows)


_T, _B, _U, _I = Kind.TEXT, Kind.BOOL, Kind.UINT, Kind.INT
_D, _URL, _TS = Kind.DURATION, Kind.URLS, Kind.TEXTS

MEMBER = _group(
    "Member",
    ("name", _T, "default", "Name of this member."),
    ("data-dir", _T, "", "Data directory; ${name}.twofold if not given."),
    ("wal-dir", _T, "", "Directory of the log, if apart from the data."),
    ("listen-client-urls", _URL, "http://localhost:2379", "Where clients connect."),
    ("listen-client-http-urls", _URL, "", "Where HTTP-only clients connect."),
    ("listen-peer-urls", _URL, "http://localhost:2380", "Where the peer connects."),
    ("listen-metrics-urls", _URL, "", "Where only metrics and health are served."),
    ("snapshot-count", _U, "10000", "Entries between two checkpoints."),
    ("heartbeat-interval", _U, "100", "ms; half of it is what twofold uses."),
    ("election-timeout", _U, "1000", "ms; a fifth of it is what twofold uses."),
    ("quota-backend-bytes", _I, "0", "Size limit; 0 is 2 GiB, below 0 is none."),
    ("max-txn-ops", _U, "128", "Operations in one transaction, at most."),
    ("max-request-bytes", _U, "1572864", "Size of a request, at most."),
    ("max-concurrent-streams", _U, "4294967295", "Streams a connection, at most."),
    ("feature-gates", _T, "", "name=true|false pairs; unknown ones only warn."),
    ("config-file", _T, "", "YAML file; other flags and variables are ignored."),
)

CLUSTER = _group(
    "Cluster",
    ("initial-advertise-peer-urls", _URL, "http://localhost:2380", "Our peer URLs."),
    ("initial-cluster", _T, "", "name=peer-url pairs: one member or two."),
    ("initial-cluster-state", _T, "new", "new or existing."),
    ("initial-cluster-token", _T, "etcd-cluster", "Keeps clusters apart."),
    ("advertise-client-urls", _URL, "http://localhost:2379", "Our client URLs."),
    ("auto-compaction-mode", _T, "periodic", "periodic or revision."),
    ("auto-compaction-retention", _T, "0", "Kept history; 0 is no compaction."),
)

TWOFOLD = _group(
    "Two members",
    ("witness", _T, "", "Where the witness record is: file:///directory."),
    ("witness-probe-interval", _D, "30s", "How often to look at it; 0s is never."),
    ("no-witness", _B, "false", "Two members without a witness: both must live."),
    ("bootstrap-alone", _B, "false", "A new cluster may start with this member."),
)

SECURITY = _group(
    "Security",
    ("cert-file", _T, "", "Certificate for clients."),
    ("key-file", _T, "", "Its key."),
    ("client-cert-auth", _B, "false", "Clients must show a certificate."),
    ("trusted-ca-file", _T, "", "Who signs the clients' certificates."),
    ("auto-tls", _B, "false", "Not supported: give files."),
    ("peer-cert-file", _T, "", "Certificate for the peer."),
    ("peer-key-file", _T, "", "Its key."),
    ("peer-client-cert-auth", _B, "false", "The peer must show a certificate."),
    ("peer-trusted-ca-file", _T, "", "Who signs the peer's certificate."),
    ("peer-auto-tls", _B, "false", "Not supported: give files."),
    ("peer-skip-client-san-verification", _B, "false", "Do not check its address."),
)

WATCHING = _group(
    "Monitoring",
    ("log-level", _T, "info", "debug, info, warn, error, panic or fatal."),
    ("watch-progress-notify-interval", _D, "10m", "Time between progress notes."),
    ("version", _B, "false", "Print the version and exit."),
    ("help", _B, "false", "Print this and exit."),
)

# Cannot be obeyed, and must not be ignored: config.py refuses each by name.
REFUSED = _group(
    "Refused",
    ("discovery", _T, "", ""),
    ("discovery-endpoints", _T, "", ""),
    ("discovery-srv", _T, "", ""),
    ("discovery-srv-name", _T, "", ""),
    ("discovery-token", _T, "", ""),
    ("force-new-cluster", _B, "false", ""),
    ("cipher-suites", _TS, "", ""),
    ("client-cert-allowed-hostname", _TS, "", ""),
    ("client-crl-file", _T, "", ""),
    ("host-whitelist", _TS, "*", ""),
    ("peer-cert-allowed-cn", _TS, "", ""),
    ("peer-cert-allowed-hostname", _TS, "", ""),
    ("peer-client-cert-file", _T, "", ""),
    ("peer-client-key-file", _T, "", ""),
    ("peer-crl-file", _T, "", ""),
    ("tls-max-version", _T, "", ""),
    ("tls-min-version", _T, "TLS1.2", ""),
)

NO_MEANING = _group(
    "Accepted without effect",
    ("auth-token", _T, "simple", ""),
    ("auth-token-ttl", _U, "300", ""),
    ("auto-compaction-check-time", _D, "0s", ""),
    ("backend-batch-interval", _D, "0s", ""),
    ("backend-batch-limit", _I, "0", ""),
    ("backend-bbolt-freelist-type", _T, "map", ""),
    ("bcrypt-cost", _U, "10", ""),
    ("bootstrap-defrag-threshold-megabytes", _U, "0", ""),
    ("client-cert-file", _T, "", ""),
    ("client-key-file", _T, "", ""),
    ("compact-hash-check-time", _D, "1m", ""),
    ("compaction-batch-limit", _I, "1000", ""),
    ("compaction-sleep-interval", _D, "10ms", ""),
    ("corrupt-check-time", _D, "0s", ""),
    ("cors", _TS, "*", ""),
    ("discovery-cacert", _T, "", ""),
    ("discovery-cert", _T, "", ""),
    ("discovery-dial-timeout", _D, "2s", ""),
    ("discovery-fallback", _T, "exit", ""),
    ("discovery-insecure-skip-tls-verify", _B, "false", ""),
    ("discovery-insecure-transport", _B, "true", ""),
    ("discovery-keepalive-time", _D, "2s", ""),
    ("discovery-keepalive-timeout", _D, "6s", ""),
    ("discovery-key", _T, "", ""),
    ("discovery-password", _T, "", ""),
    ("discovery-proxy", _T, "", ""),
    ("discovery-request-timeout", _D, "5s", ""),
    ("discovery-user", _T, "", ""),
    ("distributed-tracing-address", _T, "localhost:4317", ""),
    ("distributed-tracing-instance-id", _T, "", ""),
    ("distributed-tracing-sampling-rate", _I, "0", ""),
    ("distributed-tracing-service-name", _T, "etcd", ""),
    ("downgrade-check-time", _D, "5s", ""),
    ("enable-distributed-tracing", _B, "false", ""),
    ("enable-grpc-gateway", _B, "true", ""),
    ("enable-log-rotation", _B, "false", ""),
    ("enable-pprof", _B, "false", ""),
    ("enable-v2", _B, "false", ""),
    ("experimental-enable-grpc-logging", _B, "false", ""),
    ("experimental-enable-lease-checkpoint", _B, "false", ""),
    ("experimental-enable-lease-checkpoint-persist", _B, "false", ""),
    ("experimental-enable-v2v3", _T, "", ""),
    ("experimental-local-address", _T, "", ""),
    ("grpc-keepalive-interval", _D, "2h", ""),
    ("grpc-keepalive-min-time", _D, "5s", ""),
    ("grpc-keepalive-timeout", _D, "20s", ""),
    ("initial-election-tick-advance", _B, "true", ""),
    ("log-format", _T, "json", ""),
    ("log-outputs", _TS, "default", ""),
    ("log-rotation-config-json", _T, "", ""),
    ("logger", _T, "zap", ""),
    ("max-learners", _U, "1", ""),
    ("max-snapshots", _U, "5", ""),
    ("max-wals", _U, "5", ""),
    ("memory-mlock", _B, "false", ""),
    ("metrics", _T, "basic", ""),
    ("pre-vote", _B, "true", ""),
    ("raft-read-timeout", _D, "5s", ""),
    ("raft-write-timeout", _D, "5s", ""),
    ("self-signed-cert-validity", _U, "1", ""),
    ("snapshot-catchup-entries", _U, "5000", ""),
    ("socket-reuse-address", _B, "false", ""),
    ("socket-reuse-port", _B, "false", ""),
    ("strict-reconfig-check", _B, "true", ""),
    ("unsafe-no-fsync", _B, "false", ""),
    ("v2-deprecation", _T, "", ""),
    ("warning-apply-duration", _D, "100ms", ""),
    ("warning-unary-request-duration", _D, "300ms", ""),
    means=False,
)

ALL = (*MEMBER, *CLUSTER, *TWOFOLD, *SECURITY, *WATCHING, *REFUSED, *NO_MEANING)
BY_NAME = {flag.name: flag for flag in ALL}

# Spellings of other etcd versions, each with the name used here.
ALIASES = {
    f"experimental-{name}": name
    for name in (
        "backend-bbolt-freelist-type",
        "bootstrap-defrag-threshold-megabytes",
        "compact-hash-check-time",
        "compaction-batch-limit",
        "compaction-sleep-interval",
        "corrupt-check-time",
        "distributed-tracing-address",
        "distributed-tracing-instance-id",
        "distributed-tracing-sampling-rate",
        "distributed-tracing-service-name",
        "downgrade-check-time",
        "enable-distributed-tracing",
        "max-learners",
        "memory-mlock",
        "peer-skip-client-san-verification",
        "snapshot-catchup-entries",
        "warning-apply-duration",
        "warning-unary-request-duration",
        "watch-progress-notify-interval",
    )
} | {
    "experimental-snapshot-catch-up-entries": "snapshot-catchup-entries",
    "ca-file": "trusted-ca-file",
    "peer-ca-file": "peer-trusted-ca-file",
    "h": "help",
}

# Flags of older versions that have become feature gates.
GATE_FLAGS = {
    "experimental-initial-corrupt-check": "InitialCorruptCheck",
    "experimental-compact-hash-check-enabled": "CompactHashCheck",
    "experimental-stop-grpc-service-on-defrag": "StopGRPCServiceOnDefrag",
    "experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}

KNOWN_GATES = frozenset(
    {
        "AllAlpha",
        "AllBeta",
        "CompactHashCheck",
        "FastLeaseKeepAlive",
        "InitialCorruptCheck",
        "LeaseCheckpoint",
        "LeaseCheckpointPersist",
        "PriorityRequest",
        "SetMemberLocalAddr",
        "StopGRPCServiceOnDefrag",
        "TxnModeWriteWithSharedBuffer",
    }
)


def usage(program: str) -> str:
    """The text of ``--help``."""
    lines = [f"Usage: {program} [flags]", ""]
    lines.append("Every flag may also be a variable: TWOFOLD_NAME or ETCD_NAME.")
    for flags in (MEMBER, CLUSTER, TWOFOLD, SECURITY, WATCHING):
        lines += ["", f"{flags[0].group}:"]
        for flag in flags:
            default = f" [{flag.default}]" if flag.default else ""
            lines.append(f"  --{flag.name}{default}")
            lines.append(f"        {flag.help}")
    names = ", ".join(flag.name for flag in NO_MEANING)
    lines += ["", "Accepted without effect:", f"  {names}"]
    return "\n".join(lines)
