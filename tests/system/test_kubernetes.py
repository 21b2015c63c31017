"""A real control plane keeps working while a member is killed, stopped or cut."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from twofold.testing.control_plane import BINARIES, ControlPlane
from twofold.testing.faults import (
    Fault,
    Scene,
    cut_members,
    isolate_leader,
    kill_follower,
    kill_leader,
    lose_witness,
    pause_follower,
    pause_leader,
    wait_settled,
)
from twofold.testing.history import equal_hashes
from twofold.testing.kube_caller import KubeCaller, call_again
from twofold.testing.netns import Network
from twofold.testing.processes import Cluster, etcd_cluster, twofold_cluster

DOWN_S = 4.0
NODES = 3

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "pairs.test.twofold.dev"},
    "spec": {
        "group": "test.twofold.dev",
        "scope": "Namespaced",
        "names": {"plural": "pairs", "singular": "pair", "kind": "Pair"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object"}},
                    }
                },
            }
        ],
    },
}


def _must(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    called = call_again(plane, *arguments, stdin=stdin)
    words = f"kubectl {' '.join(arguments)} after {called.took_s:.1f} s: {called.error}"
    assert called.ok, words
    return called.output


def _prepare(plane: ControlPlane) -> None:
    plane.add_nodes(NODES)
    _must(plane, "create", "deployment", "web", "--image=x", "--replicas=2")
    _must(plane, "rollout", "status", "deployment/web", "--timeout=60s")
    plane.watch("get", "pods", "--watch")


def _scale(plane: ControlPlane, replicas: int) -> None:
    _must(plane, "scale", "deployment/web", f"--replicas={replicas}")
    _must(plane, "rollout", "status", "deployment/web", "--timeout=60s")


def _wait_until_established(plane: ControlPlane, crd: str) -> None:
    """As ``kubectl wait``, which fails on a CRD that has no conditions yet."""
    condition = '{.status.conditions[?(@.type=="Established")].status}'
    deadline_s = time.monotonic() + 60
    while _must(plane, "get", crd, "-o", f"jsonpath={condition}") != "True":
        assert time.monotonic() < deadline_s, f"{crd} is not established"
        time.sleep(0.1)


def _define_and_use(plane: ControlPlane) -> None:
    _must(plane, "apply", "-f", "-", stdin=json.dumps(CRD))
    crd = f"crd/{CRD['metadata']['name']}"  # type: ignore[index]
    _wait_until_established(plane, crd)
    pair = {
        "apiVersion": "test.twofold.dev/v1",
        "kind": "Pair",
        "metadata": {"name": "one"},
        "spec": {},
    }
    _must(plane, "apply", "-f", "-", stdin=json.dumps(pair))
    assert "pair" in _must(plane, "get", "pairs", "-o", "name")
    _must(plane, "delete", crd)


async def _under_faults(scene: Scene, plane: ControlPlane, faults: list[Fault]) -> None:
    for number, fault in enumerate(faults):
        print(fault.__name__, flush=True)  # noqa: T201 - shown on failure
        breaking = asyncio.create_task(fault(scene, DOWN_S))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(_scale, plane, 4 if number % 2 == 0 else 2)
        await asyncio.to_thread(_define_and_use, plane)
        await breaking
        await wait_settled(scene.cluster)


def _scenario(scene: Scene, faults: list[Fault], folder: Path) -> None:
    cluster = scene.cluster
    urls = [member.client_url for member in cluster.members]
    asyncio.run(wait_settled(cluster))
    with ControlPlane(folder / "kubernetes", urls) as plane:
        _prepare(plane)
        caller = KubeCaller(plane)
        caller.start()
        try:
            asyncio.run(_under_faults(scene, plane, faults))
        finally:
            caller.stop()
            print(  # noqa: T201 - shown with -s and on failure
                f"{len(caller.calls)} calls, slowest {caller.slowest_s:.2f} s",
                *caller.failed(),
                *caller.interrupted,
                sep="\n",
            )
        assert caller.failed() == []
        # At most what one client had under way, for each member that died.
        assert len(caller.interrupted) <= len(faults)
        assert plane.dead() == []
        names = _must(plane, "get", "configmaps", "-o", "name").split()
        missing = {f"configmap/{name}" for name in caller.created} - set(names)
        assert not missing, "acknowledged by kubectl, and gone"
        watched = (plane.folder / "watch.log").read_text()
        assert "Running" in watched
    _same_content(cluster)


def _same_content(cluster: Cluster) -> None:
    equal, words = asyncio.run(equal_hashes(cluster.members))
    assert equal, words


@pytest.mark.timeout(300)
def test_two_members_serve_a_control_plane_and_survive(
    network: Network, folder: Path, need: Callable[..., None]
) -> None:
    need(*BINARIES)
    with twofold_cluster(folder, 2, machines=network.machines) as cluster:
        scene = Scene(cluster, network, folder / "witness")
        faults: list[Fault] = [
            kill_leader,
            pause_leader,
            cut_members,
            kill_follower,
            isolate_leader,
            pause_follower,
            lose_witness,
        ]
        _scenario(scene, faults, folder)


@pytest.mark.timeout(120)
def test_the_harness_runs_a_control_plane_on_etcd(
    folder: Path, need: Callable[..., None]
) -> None:
    need("etcd", *BINARIES)
    with etcd_cluster(folder, 3) as cluster:
        _scenario(Scene(cluster), [kill_follower], folder)
