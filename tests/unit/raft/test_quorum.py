import pytest

from twofold.raft.quorum import ALL, commit_index


@pytest.mark.parametrize(
    ("persisted", "match", "alone_through", "commit"),
    [
        (9, 7, 0, 7),  # a pair: both disks
        (7, 9, 0, 7),  # a pair: ours is the slow one
        (9, 0, ALL, 9),  # solo: our disk
        (9, 0, 5, 5),  # reopened: what came before the marker needs only ours
        (3, 9, 5, 3),
        (9, 8, 5, 8),
        (0, 0, 0, 0),
    ],
)
def test_commit_index(
    persisted: int, match: int, alone_through: int, commit: int
) -> None:
    assert commit_index(persisted, match, alone_through) == commit
