"""Ids that both members compute alike."""

import pytest

from twofold.base.cluster_ids import (
    InitialClusterInvalid,
    cluster_id_of,
    member_id_of,
    parse_initial_cluster,
)

A, B = "http://10.0.0.1:2380", "http://10.0.0.2:2380"


def test_ids_are_fixed_for_good() -> None:
    # Changing these breaks every existing data directory and witness.
    assert f"{member_id_of([A], 'etcd-cluster'):016x}" == "26ede6cf2bddbb91"
    assert f"{member_id_of([B], 'etcd-cluster'):016x}" == "47c51fea718ca6c5"
    ids = cluster_id_of({"a": [A], "b": [B]}, "etcd-cluster")
    assert f"{ids:016x}" == "fa6e40ce2290d861"


def test_names_and_order_do_not_matter() -> None:
    assert cluster_id_of({"a": [A], "b": [B]}, "t") == cluster_id_of(
        {"y": [B], "x": [A]}, "t"
    )
    assert member_id_of([A, B], "t") == member_id_of([B, A], "t")


def test_url_and_token_do_matter() -> None:
    ids = {
        member_id_of([A], "t"),
        member_id_of([B], "t"),
        member_id_of([A, B], "t"),
        member_id_of([A], "u"),
        cluster_id_of({"a": [A]}, "t"),
        cluster_id_of({"a": [A], "b": [B]}, "t"),
        cluster_id_of({"a": [A], "b": [B]}, "u"),
    }
    assert len(ids) == 7
    assert all(0 < one < 1 << 64 for one in ids)


def test_an_initial_cluster_is_read() -> None:
    assert parse_initial_cluster(f"a={A}, b={B},a=http://z:1,") == {
        "a": (A, "http://z:1"),
        "b": (B,),
    }


@pytest.mark.parametrize("text", ["", ",", "a", "a=", f"={A}", f"a={A},b={A}", "a=x"])
def test_a_broken_initial_cluster_is_refused(text: str) -> None:
    with pytest.raises(InitialClusterInvalid):
        parse_initial_cluster(text)
