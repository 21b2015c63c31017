"""The demo says what a control plane needs when it cannot have one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from twofold.daemon.demo_kubernetes import Plane
from twofold.daemon.errors import StartFailed


def test_without_the_real_programs_it_says_how_to_build_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "empty"))

    async def scene() -> None:
        plane = Plane(lambda text: None)
        with pytest.raises(StartFailed, match=r"not built; run .*build_peers"):
            await plane.start(tmp_path, ["http://127.0.0.1:1"])
        await plane.close()

    asyncio.run(scene())


def test_a_plane_that_never_started_can_be_closed() -> None:
    async def scene() -> None:
        plane = Plane(lambda text: None)
        with pytest.raises(StartFailed, match="was not started"):
            await plane.scale(2)
        await plane.close()

    asyncio.run(scene())
