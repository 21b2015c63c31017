"""Witness URLs."""

from pathlib import Path

import pytest

from twofold.witness.errors import WitnessUrlInvalid
from twofold.witness.url import directory_of


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///mnt/share", "/mnt/share"),
        ("FILE:///mnt/share/", "/mnt/share"),
        ("file://localhost/mnt/a%20b", "/mnt/a b"),
        ("file:///mnt/%3Fx%23", "/mnt/?x#"),
    ],
)
def test_a_file_url_names_a_directory(url: str, path: str) -> None:
    assert directory_of(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/mnt/share",
        "http://host/x",
        "file://host/share",
        "file://",
        "file:///",
        "file://relative",
        "file:///a?b",
        "file:///a#b",
        "file:///a%00b",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(WitnessUrlInvalid):
        directory_of(url)
