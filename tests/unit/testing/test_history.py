"""The history checks find what they are for."""

from __future__ import annotations

from pathlib import Path

from twofold.testing.history import (
    Operation,
    StoredEvent,
    check_events,
    check_revisions,
    write_history,
)


def _put(value: str, revision: int, call: int, end: int) -> Operation:
    return Operation(
        client=1,
        op="put",
        key="k",
        value=value,
        call_ns=call,
        return_ns=end,
        revision=revision,
    )


def _get(revision: int, call: int, end: int) -> Operation:
    return Operation(
        client=2, op="get", key="k", call_ns=call, return_ns=end, revision=revision
    )


def test_revisions_in_real_time_order_are_fine() -> None:
    assert check_revisions([_put("a", 2, 1, 2), _get(2, 3, 4)]) == []


def test_a_read_behind_an_ended_write_is_found() -> None:
    (fault,) = check_revisions([_put("a", 5, 1, 2), _get(4, 3, 4)])
    assert fault.startswith("revision 5 was known")


def test_a_write_that_reuses_a_known_revision_is_found() -> None:
    assert check_revisions([_get(5, 1, 2), _put("a", 5, 3, 4)])


def test_overlapping_operations_may_see_either_revision() -> None:
    assert check_revisions([_put("a", 5, 1, 10), _get(4, 3, 12)]) == []


def test_an_unknown_write_proves_nothing() -> None:
    lost = _put("a", 0, 1, 2)
    lost.unknown = True
    assert check_revisions([lost, _get(1, 3, 4)]) == []
    assert check_events([lost], []) == []


def test_a_lost_acknowledged_write_is_found() -> None:
    (fault,) = check_events([_put("a", 2, 1, 2)], [])
    assert fault.startswith("lost")


def test_a_write_applied_twice_is_found() -> None:
    events = [StoredEvent(2, "k", "a"), StoredEvent(3, "k", "a")]
    (fault,) = check_events([_put("a", 2, 1, 2)], events)
    assert fault.startswith("applied twice")


def test_a_write_that_nobody_sent_is_found() -> None:
    (fault,) = check_events([], [StoredEvent(2, "k", "a")])
    assert fault.startswith("nobody wrote")


def test_a_delete_is_acknowledged_only_if_it_found_the_key() -> None:
    delete = Operation(client=1, op="delete", key="k", revision=3)
    assert not delete.acknowledged_write
    delete.seen_found = True
    assert delete.acknowledged_write
    assert check_events([delete], [StoredEvent(3, "k", None)]) == []


def test_a_history_is_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write_history([_put("a", 2, 1, 2), _get(2, 3, 4)], path)
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert '"expect_mod": 0' in lines[0]
