"""A person at kubectl who never stops, and notes how each call ended."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from twofold.testing.control_plane import Called, ControlPlane


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
        called = self.plane.kubectl(*arguments)
        self.calls.append(called)
        return called.ok
