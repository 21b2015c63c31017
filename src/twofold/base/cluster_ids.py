"""Ids of members and clusters, computed alike by daemon and tools.

Two members that start from the same ``initial_cluster`` and token agree on
every id without having talked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from twofold.base.errors import Refusal
from twofold.base.ids import MemberId


class InitialClusterInvalid(Refusal):
    """The text is not ``name=url,name=url``."""


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """Read ``a=http://10.0.0.1:2380,b=http://10.0.0.2:2380``.

    A name that occurs twice has two peer URLs. URLs come out sorted.

    Raises:
        InitialClusterInvalid: no pairs, an empty side, or a URL used twice.
    """
    urls_by_name: dict[str, list[str]] = {}
    seen: set[str] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, url = part.partition("=")
        if not equals or not name or "://" not in url:
            raise InitialClusterInvalid(f"{part!r} is not name=url")
        if url in seen:
            raise InitialClusterInvalid(f"peer URL {url} is there twice")
        seen.add(url)
        urls_by_name.setdefault(name, []).append(url)
    if not urls_by_name:
        raise InitialClusterInvalid("the initial cluster has no members")
    return {name: tuple(sorted(urls)) for name, urls in urls_by_name.items()}


def member_id_of(peer_urls: Iterable[str], token: str) -> MemberId:
    """Give a member's id, which its peer URLs and the cluster token fix."""
    return MemberId(_digest(b"member", token, sorted(peer_urls)))


def cluster_id_of(initial_cluster: Mapping[str, Iterable[str]], token: str) -> int:
    """Give the cluster's id; names and their order do not matter."""
    ids = sorted(member_id_of(urls, token) for urls in initial_cluster.values())
    return _digest(b"cluster", token, [f"{member_id:016x}" for member_id in ids])


def _digest(kind: bytes, token: str, parts: list[str]) -> int:
    """Hash to 64 bits, never 0, because 0 means "none" everywhere."""
    digest = hashlib.sha256(kind)
    for part in (token, *parts):
        encoded = part.encode()
        # With lengths, ("ab", "c") and ("a", "bc") differ.
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return int.from_bytes(digest.digest()[:8], "big") or 1
