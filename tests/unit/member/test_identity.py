"""Rules of a member's identity."""

from pathlib import Path

import pytest
from twofold.member.identity import (
    ForeignData,
    load_identity,
    new_identity,
    save_identity,
    with_peer,
)


def test_an_identity_survives_a_restart(tmp_path: Path) -> None:
    assert load_identity(tmp_path) is None
    identity = with_peer(new_identity(3, 4), 5)
    save_identity(tmp_path, identity)
    assert load_identity(tmp_path) == identity


def test_two_data_directories_never_share_an_incarnation() -> None:
    assert new_identity(3, 4).incarnation != new_identity(3, 4).incarnation


def test_a_damaged_identity_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    path.write_text('{"cluster_id": 1')
    with pytest.raises(ForeignData, match="not an identity file"):
        load_identity(tmp_path)
    assert path.read_text() == '{"cluster_id": 1'
