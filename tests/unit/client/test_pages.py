"""Metrics pages are read by name and labels."""

from __future__ import annotations

import asyncio

import pytest

from twofold.client.errors import NotConnected
from twofold.client.pages import get_page, samples


def test_samples_by_name_and_labels() -> None:
    page = '# HELP a b\n# TYPE a gauge\na{mode="x y"} 1.0\nb_total 2e3\nbroken\n\n'
    assert samples(page) == {'a{mode="x y"}': 1.0, "b_total": 2000.0}


def test_nobody_there_is_not_connected() -> None:
    with pytest.raises(NotConnected, match="no answer"):
        asyncio.run(get_page("http://127.0.0.1:1", "/metrics"))
