"""File operations that fail, lose their answer, or are the process's last."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

from twofold.witness.backends.files import Files

_T = TypeVar("_T")


class Fault(Enum):
    """How the chosen operation goes wrong."""

    REFUSED = "fails without effect"
    ANSWER_LOST = "takes effect and fails"
    KILLED_BEFORE = "the process dies before it"
    KILLED_AFTER = "the process dies after it"


class Killed(BaseException):
    """Stands for the death of the process: nobody catches it."""


@dataclass(slots=True)
class Plan:
    """Which operation (1 = the first) goes wrong and how; counts them."""

    at: int = 0
    fault: Fault = Fault.REFUSED
    count: int = 0
    dead: bool = False

    @property
    def struck(self) -> bool:
        """Whether the operation was reached."""
        return 0 < self.at <= self.count


class FaultyFiles(Files):
    """Real files under a plan; once dead, no operation has an effect any more."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        super().__init__(directory)
        self.plan = plan

    def _run(self, operation: Callable[[], _T]) -> _T:
        plan = self.plan
        if plan.dead:
            raise Killed
        plan.count += 1
        if plan.count != plan.at:
            return operation()
        plan.dead = plan.fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
        if plan.fault in (Fault.ANSWER_LOST, Fault.KILLED_AFTER):
            operation()
        if plan.dead:
            raise Killed
        raise OSError(errno.EIO, "injected")

    def names(self) -> list[str]:
        """List, or fail."""
        return self._run(super().names)

    def read(self, name: str) -> bytes | None:
        """Read, or fail."""
        return self._run(lambda: Files.read(self, name))

    def create(self, name: str) -> int:
        """Create, or fail."""
        return self._run(lambda: Files.create(self, name))

    def write(self, descriptor: int, data: bytes) -> None:
        """Write, or fail."""
        self._run(lambda: Files.write(self, descriptor, data))

    def sync(self, descriptor: int) -> None:
        """Sync, or fail."""
        self._run(lambda: Files.sync(self, descriptor))

    def sync_name(self, name: str) -> None:
        """Sync, or fail."""
        self._run(lambda: Files.sync_name(self, name))

    def link(self, source: str, target: str) -> None:
        """Link, or fail."""
        self._run(lambda: Files.link(self, source, target))

    def rename_exclusive(self, source: str, target: str) -> None:
        """Rename, or fail."""
        self._run(lambda: Files.rename_exclusive(self, source, target))

    def unlink(self, name: str) -> None:
        """Unlink, or fail."""
        self._run(lambda: Files.unlink(self, name))

    def sync_directory(self) -> None:
        """Sync, or fail."""
        self._run(super().sync_directory)
