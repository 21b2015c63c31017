"""Reads a command line and texts the way Go's flag package does.

etcd's users, kubeadm and etcd's own tests rely on that syntax: one dash or two,
``--flag=value`` or ``--flag value``, and a boolean that takes no separate value.
Source: the Go documentation of packages flag, strconv and time.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from twofold.daemon.errors import ConfigError
from twofold.daemon.flags import ALIASES, BY_NAME, GATE_FLAGS, Flag, Kind

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_MS = {
    "ns": 1e-6,
    "us": 1e-3,
    "µs": 1e-3,
    "μs": 1e-3,
    "ms": 1.0,
    "s": 1e3,
    "m": 60e3,
    "h": 3600e3,
}


def parse_bool(text: str) -> bool:
    """``strconv.ParseBool``."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)


def parse_int(text: str) -> int:
    """A whole number, decimal or with 0x, 0o, 0b and underscores."""
    try:
        return int(text, 0)
    except ValueError:
        # Python refuses a leading zero, where Go reads an octal number.
        if re.fullmatch(r"[+-]?0[0-7]+", text):
            return int(text, 8)
        raise


def parse_uint(text: str) -> int:
    """A whole number that is not negative."""
    number = parse_int(text)
    if number < 0 or text.startswith("-"):
        raise ValueError(text)
    return number


def parse_duration_ms(text: str) -> int:
    """``time.ParseDuration`` in ms; more than 0 never becomes 0."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    if not rest or not re.fullmatch(f"(?:{_DURATION_PART.pattern})+", rest):
        raise ValueError(text)
    total_ms = sum(
        float(amount) * _UNIT_MS[unit] for amount, unit in _DURATION_PART.findall(rest)
    )
    return sign * max(round(total_ms), 1 if total_ms > 0 else 0)


def parse_texts(text: str) -> tuple[str, ...]:
    """Texts with commas between them, empty ones left out, no doubles."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part))


def parse_urls(text: str) -> tuple[str, ...]:
    """URLs of the form http(s)://host:port, without a path."""
    return tuple(check_url(url) for url in parse_texts(text))


def check_url(url: str) -> str:
    """The URL itself, or ConfigError that says what it lacks."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{url!r} must begin with http:// or https://")
    if not host or port is None:
        raise ConfigError(
            f"{url!r} must be scheme://host:port, as in http://[::1]:2379"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigError(f"{url!r} must not have a path")
    return url.removesuffix("/")


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.TEXT: str,
    Kind.BOOL: parse_bool,
    Kind.UINT: parse_uint,
    Kind.INT: parse_int,
    Kind.DURATION: parse_duration_ms,
    Kind.URLS: parse_urls,
    Kind.TEXTS: parse_texts,
}


def read_value(flag: Flag, text: str, source: str) -> Any:
    """The flag's value; ``source`` names the place in messages."""
    try:
        return _READERS[flag.kind](text)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except ValueError:
        raise ConfigError(
            f"{source}: {text!r} is wrong; it takes {flag.kind.value}"
        ) from None


def lookup(name: str) -> Flag | None:
    """The flag of that name in any spelling; None if there is none."""
    if name in GATE_FLAGS:
        return Flag(name, Kind.BOOL, "false", "", "Gates")
    return BY_NAME.get(ALIASES.get(name, name))


def unknown(name: str, prefix: str = "--") -> ConfigError:
    """The error for a name that nobody knows, with the nearest that exists."""
    names = [*BY_NAME, *ALIASES, *GATE_FLAGS]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean {prefix}{near[0]}?" if near else ""
    return ConfigError(f"unknown flag {prefix}{name}{hint} (see twofold serve --help)")


def split_arguments(arguments: Iterable[str]) -> dict[str, str]:
    """Flags as written, name to text; the last of doubles wins.

    Raises:
        ConfigError: bad syntax, an unknown flag, or a word that is no flag.
    """
    found: dict[str, str] = {}
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if len(word) < 2 or not word.startswith("-"):
            raise ConfigError(f"{word!r} is not a flag; flags begin with --")
        body = word[2:] if word.startswith("--") else word[1:]
        if not body:
            if queue:
                raise ConfigError(f"{queue[0]!r} is not a flag; flags begin with --")
            break
        if body.startswith(("-", "=")):
            raise ConfigError(f"bad flag syntax: {word}")
        name, equals, value = body.partition("=")
        flag = lookup(name)
        if flag is None:
            raise unknown(name)
        if not equals:
            if flag.kind is Kind.BOOL:
                value = "true"
            elif queue:
                value = queue.pop(0)
            else:
                raise ConfigError(f"--{name} needs {flag.kind.value} after it")
        found[name] = value
    return found


def split_environment(
    environment: Mapping[str, str],
) -> tuple[dict[str, str], list[str]]:
    """Flags given by variables, and the ETCD_ variables that nobody knows.

    TWOFOLD_NAME wins over ETCD_NAME, so that one environment can serve both.
    """
    found: dict[str, str] = {}
    strange: list[str] = []
    for prefix in ("ETCD_", "TWOFOLD_"):
        for variable in sorted(environment):
            if not variable.startswith(prefix):
                continue
            name = variable.removeprefix(prefix).lower().replace("_", "-")
            if lookup(name) is not None and name not in {"version", "help", "h"}:
                if environment[variable]:
                    found[name] = environment[variable]
            elif prefix == "ETCD_" and variable != "ETCD_UNSUPPORTED_ARCH":
                strange.append(variable)
    return found, strange
