"""Listen URLs."""

import pytest

from twofold.etcd.front.errors import BadListenUrl
from twofold.etcd.front.server import parse_listen_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://127.0.0.1:2379", ("http", "127.0.0.1", 2379)),
        ("https://[::1]:0/", ("https", "::1", 0)),
        ("http://store.example:80", ("http", "store.example", 80)),
    ],
)
def test_urls_are_taken_apart(url: str, parts: tuple[str, str, int]) -> None:
    assert parse_listen_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:2379",
        "http://127.0.0.1",
        "ftp://127.0.0.1:1",
        "http://:2379",
        "http://a:99999",
        "http://a:1/path",
        "http://user@a:1",
        "http://a:1?x",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BadListenUrl):
        parse_listen_url(url)
