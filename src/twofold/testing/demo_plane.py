"""The Kubernetes part of `twofold demo --kubernetes`, as a program of its own.

``python -m twofold.testing.demo_plane FOLDER URL ...`` starts a real control plane
on the members at the URLs, then obeys lines on standard input: ``scale N`` and
``end``. It answers with one JSON object a line. A program of its own, because it
needs packages that only a development install has.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from twofold.testing.control_plane import BINARIES, ControlPlane
from twofold.testing.kube_caller import KubeCaller
from twofold.testing.processes import ProcessFailed, required_binary

NODES = 3


def say(**fields: object) -> None:
    """One line of answer."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def must(plane: ControlPlane, *arguments: str) -> None:
    """A kubectl call that the story depends on."""
    called = plane.kubectl(*arguments)
    if not called.ok:
        raise ProcessFailed(f"kubectl {' '.join(arguments)}: {called.error.strip()}")


def scale(plane: ControlPlane, replicas: int) -> None:
    """Change the Deployment's size and wait until its pods run."""
    started_s = time.monotonic()
    must(plane, "scale", "deployment/web", f"--replicas={replicas}")
    must(plane, "rollout", "status", "deployment/web", "--timeout=60s")
    took_s = time.monotonic() - started_s
    say(note=f"kubectl scale --replicas={replicas}: all run after {took_s:.1f} s")


def obey(plane: ControlPlane) -> None:
    """Carry out the lines of standard input; its end is ``end``."""
    caller = KubeCaller(plane)
    caller.start()
    try:
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "end":
                break
            scale(plane, int(rest))
    finally:
        caller.stop()
    say(
        calls=len(caller.calls),
        slowest_s=round(caller.slowest_s, 2),
        problems=caller.failed() + plane.dead(),
    )


def main(arguments: list[str]) -> int:
    """Run until told to end."""
    folder, *urls = arguments
    try:
        for name in BINARIES:
            required_binary(name)
        started_s = time.monotonic()
        with ControlPlane(Path(folder), urls) as plane:
            took_s = time.monotonic() - started_s
            say(note=f"kube-apiserver and its controllers are up in {took_s:.1f} s")
            plane.add_nodes(NODES)
            must(plane, "create", "deployment", "web", "--image=x", "--replicas=2")
            must(plane, "rollout", "status", "deployment/web", "--timeout=60s")
            say(note=f"{NODES} nodes (kwok); a Deployment of 2 pods runs")
            obey(plane)
    except ProcessFailed as error:
        say(problems=[str(error)])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
