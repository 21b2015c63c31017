"""Witness URLs: where the record is kept."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from twofold.witness.errors import WitnessUrlInvalid


def directory_of(url: str) -> Path:
    """Give the directory that a ``file:///absolute/path`` URL names.

    Raises:
        WitnessUrlInvalid: another scheme, a host, or a relative path.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise WitnessUrlInvalid(f"{url!r} is no URL: write file:///absolute/path")
    if scheme.lower() != "file":
        raise WitnessUrlInvalid(f"{scheme}:// witnesses are not known, only file://")
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise WitnessUrlInvalid(
            f"{url!r} names a host: mount the share and write file:///mount/point"
        )
    if "?" in path or "#" in path:
        raise WitnessUrlInvalid(f"{url!r}: write ? as %3F and # as %23")
    decoded = unquote(path)
    if not decoded.strip("/") or "\0" in decoded:
        raise WitnessUrlInvalid(f"{url!r} names no directory")
    return Path("/" + decoded)
