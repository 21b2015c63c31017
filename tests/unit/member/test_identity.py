"""Rules of a member's identity."""

import os
from pathlib import Path

import pytest

from twofold.member.identity import (
    ForeignData,
    IdentityFile,
    InUse,
    load_identity,
    lock_directory,
    new_identity,
    save_identity,
)


def test_an_identity_survives_a_restart(tmp_path: Path) -> None:
    assert load_identity(tmp_path) is None
    identity = new_identity(3, 4)
    save_identity(tmp_path, identity)
    assert load_identity(tmp_path) == identity


def test_what_is_learnt_is_durable_and_the_witness_never_goes_back(
    tmp_path: Path,
) -> None:
    file = IdentityFile(tmp_path, new_identity(3, 4))
    file.know_peer(5)
    file.know_witness(6, 7)
    file.know_witness(6, 2)
    assert load_identity(tmp_path) == file.now
    assert (file.now.peer_incarnation, file.now.witness_version) == (5, 7)


def test_a_directory_serves_one_process_at_a_time(tmp_path: Path) -> None:
    descriptor = lock_directory(tmp_path)
    with pytest.raises(InUse, match="another process"):
        lock_directory(tmp_path)
    os.close(descriptor)
    os.close(lock_directory(tmp_path))


def test_two_data_directories_never_share_an_incarnation() -> None:
    assert new_identity(3, 4).incarnation != new_identity(3, 4).incarnation


def test_a_damaged_identity_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    path.write_text('{"cluster_id": 1')
    with pytest.raises(ForeignData, match="not an identity file"):
        load_identity(tmp_path)
    assert path.read_text() == '{"cluster_id": 1'
