"""The peers' cache is keyed by content, and links follow builds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/build_peers.py as a module."""
    path = ROOT / "tools" / "build_peers.py"
    spec = importlib.util.spec_from_file_location("build_peers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_peers"] = module
    spec.loader.exec_module(module)
    return module


def _write_peer(folder: Path, source: str = "package main\n") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peer.toml").write_text('ldflags = ["-X a=b"]\n[binaries]\ntool = "x"\n')
    (folder / "main.go").write_text(source)


def test_every_peer_of_the_repo_names_its_binaries(tool: ModuleType) -> None:
    peers = tool.load_peers()
    assert {"etcd", "benchmark", "kubernetes", "kwok", "porcupine"} <= set(peers)
    assert all(peer.binaries for peer in peers.values())
    assert all((peer.folder / "go.mod").exists() for peer in peers.values())


def test_no_peer_names_a_registry(tool: ModuleType) -> None:
    for peer in tool.load_peers().values():
        assert "://" not in (peer.folder / "go.mod").read_text()


def test_the_key_follows_sources_and_compiler(tool: ModuleType, tmp_path: Path) -> None:
    _write_peer(tmp_path / "one")
    peer = tool.load_peers(tmp_path)["one"]
    assert peer.ldflags == ("-X a=b",)
    key = tool.content_key(peer, "go1")
    assert tool.content_key(peer, "go1") == key
    assert tool.content_key(peer, "go2") != key
    (tmp_path / "one" / "notes.md").write_text("not part of the build")
    assert tool.content_key(peer, "go1") == key
    _write_peer(tmp_path / "one", "package main // changed\n")
    assert tool.content_key(peer, "go1") != key


def test_links_move_to_the_newest_build(tool: ModuleType, tmp_path: Path) -> None:
    _write_peer(tmp_path / "one")
    peer = tool.load_peers(tmp_path)["one"]
    farm = tmp_path / "bin"
    for build in ("old", "new"):
        home = tmp_path / build
        home.mkdir()
        (home / "tool").write_text(build)
        tool.link_binaries(peer, home, farm)
    assert (farm / "tool").read_text() == "new"
    assert [path.name for path in farm.iterdir()] == ["tool"]
