"""A person at kubectl who never stops, and notes how each call ended.

A write that the member which dies had already taken cannot be answered by
anyone: kube-apiserver's etcd client reports the broken connection and, rightly,
does not repeat the write. With real etcd it is no different. Such a call is
*interrupted*; the person looks at the words and calls again.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace

from twofold.testing.control_plane import Called, ControlPlane

_INTERRUPTED = (
    "error reading from server",
    "connection reset by peer",
    "transport is closing",
    "keepalive ping failed",
)
_DONE_BEFORE = {"create": "already exists", "delete": "not found"}


def call_again(
    plane: ControlPlane, *arguments: str, stdin: str | None = None
) -> Called:
    """Call kubectl, and once more if a dying member had taken the write."""
    called = plane.kubectl(*arguments, stdin=stdin)
    if called.ok or not any(words in called.error for words in _INTERRUPTED):
        return called
    again = plane.kubectl(*arguments, stdin=stdin)
    if not again.ok and _DONE_BEFORE.get(arguments[0], "\0") in again.error:
        again = replace(again, code=0)
    return replace(again, interrupted=called.error.strip())


@dataclass
class KubeCaller:
    """Creates, reads, changes and deletes config maps in a thread of its own."""

    plane: ControlPlane
    calls: list[Called] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to call."""
        self._thread = threading.Thread(target=self._work, name="kubectl")
        self._thread.start()

    def stop(self) -> None:
        """End after the present call."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def failed(self) -> list[str]:
        """What ended badly, in kubectl's words."""
        return [
            f"kubectl {' '.join(call.arguments)}: {call.error.strip()} "
            f"(after {call.took_s:.1f} s)"
            for call in self.calls
            if not call.ok
        ]

    @property
    def interrupted(self) -> list[str]:
        """The words of what a dying member took with it."""
        return [call.interrupted for call in self.calls if call.interrupted]

    @property
    def slowest_s(self) -> float:
        """The longest call."""
        return max((call.took_s for call in self.calls), default=0.0)

    def _work(self) -> None:
        count = 0
        while not self._stopping.is_set():
            count += 1
            name = f"cm-{count}"
            if self._call("create", "configmap", name, "--from-literal=a=1"):
                self.created.append(name)
            self._call("get", "configmap", name, "-o", "name")
            change = json.dumps({"data": {"a": str(count)}})
            self._call("patch", "configmap", name, "--type=merge", "-p", change)
            if count % 3 == 0 and self._call("delete", "configmap", name):
                self.created.remove(name)
            self._stopping.wait(0.1)

    def _call(self, *arguments: str) -> bool:
        called = call_again(self.plane, *arguments)
        self.calls.append(called)
        return called.ok
