"""Reads etcd's YAML configuration file into flags.

Keys are flag names. The TLS files stand in two sections of their own, as etcd
writes them, and durations may be whole numbers of nanoseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twofold.daemon.errors import ConfigError
from twofold.daemon.flagparse import lookup, unknown
from twofold.daemon.flags import Kind

# section -> key in it -> flag
_CLIENT_TLS = {
    "cert-file": "cert-file",
    "key-file": "key-file",
    "client-cert-file": "client-cert-file",
    "client-key-file": "client-key-file",
    "client-cert-auth": "client-cert-auth",
    "client-crl-file": "client-crl-file",
    "trusted-ca-file": "trusted-ca-file",
    "auto-tls": "auto-tls",
    "allowed-hostname": "client-cert-allowed-hostname",
    "allowed-hostnames": "client-cert-allowed-hostname",
}
_PEER_TLS = {
    "cert-file": "peer-cert-file",
    "key-file": "peer-key-file",
    "client-cert-file": "peer-client-cert-file",
    "client-key-file": "peer-client-key-file",
    "client-cert-auth": "peer-client-cert-auth",
    "client-crl-file": "peer-crl-file",
    "trusted-ca-file": "peer-trusted-ca-file",
    "auto-tls": "peer-auto-tls",
    "allowed-cn": "peer-cert-allowed-cn",
    "allowed-cns": "peer-cert-allowed-cn",
    "allowed-hostname": "peer-cert-allowed-hostname",
    "allowed-hostnames": "peer-cert-allowed-hostname",
    "skip-client-san-verification": "peer-skip-client-san-verification",
}
_SECTIONS = {
    "client-transport-security": _CLIENT_TLS,
    "peer-transport-security": _PEER_TLS,
    "socket-options": {
        "reuse-port": "socket-reuse-port",
        "reuse-address": "socket-reuse-address",
    },
    "discovery-config": {
        "discovery-token": "discovery-token",
        "discovery-endpoints": "discovery-endpoints",
    },
}


def read_file(path: str) -> dict[str, str]:
    """The flags that the file sets, name to text.

    Raises:
        ConfigError: no such file, no YAML, or a key that nobody knows.
    """
    # Not at the top: most members start without a file, and it takes 30 ms.
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config-file: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"--config-file {path} is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"--config-file {path} must hold `flag: value` lines")
    found: dict[str, str] = {}
    for key, value in content.items():
        if key in _SECTIONS:
            found.update(_read_section(path, key, value))
        else:
            found[key] = _text(path, key, str(key), value)
    return {name: text for name, text in found.items() if text}


def _read_section(path: str, section: str, value: Any) -> dict[str, str]:
    keys = _SECTIONS[section]
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {section} must hold `key: value` lines")
    found: dict[str, str] = {}
    for key, inner in value.items():
        if key not in keys:
            known = ", ".join(keys)
            raise ConfigError(f"{path}: {section} has no {key!r}; it knows {known}")
        found[keys[key]] = _text(path, f"{section}.{key}", keys[key], inner)
    return found


def _text(path: str, where: str, name: str, value: Any) -> str:
    """The value as it would stand on the command line."""
    flag = lookup(name)
    if flag is None or name in {"config-file", "version", "help"}:
        raise ConfigError(f"{path}: {unknown(name, prefix='')}")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and flag.kind is Kind.DURATION:
        return f"{value}ns"
    if isinstance(value, (int, float, str)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        # feature-gates is a map of booleans, host-whitelist a map of nothings.
        return ",".join(
            key if inner is None or inner == {} else f"{key}={str(inner).lower()}"
            for key, inner in value.items()
        )
    raise ConfigError(f"{path}: {where} has a value of no use here: {value!r}")
