"""Rules of a member's identity."""

import os
from pathlib import Path

import pytest

from twofold.member.identity import (
    ForeignData,
    IdentityFile,
    InUse,
    check_log,
    is_unused,
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


def test_a_first_start_that_was_cut_short_may_be_repeated(tmp_path: Path) -> None:
    os.close(lock_directory(tmp_path))
    (tmp_path / "identity.draft").write_text('{"clu')
    assert is_unused(tmp_path)
    (tmp_path / "something").touch()
    assert not is_unused(tmp_path)


def test_that_the_log_was_made_is_remembered(tmp_path: Path) -> None:
    file = IdentityFile(tmp_path, new_identity(3, 4))
    file.know_started()
    loaded = load_identity(tmp_path)
    assert loaded is not None
    assert loaded.started


def test_the_log_of_another_data_directory_is_refused() -> None:
    identity = new_identity(3, 4)
    check_log(identity, 4, identity.incarnation)
    for member_id, incarnation in ((5, identity.incarnation), (4, 6)):
        with pytest.raises(ForeignData, match="--wal-dir"):
            check_log(identity, member_id, incarnation)
