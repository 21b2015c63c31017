"""Named cases of etcd's contract: one script, run on each side, then compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.message import Message

from twofold.proto import rpc_pb2 as rpc
from twofold.testing.differential import (
    Answer,
    Pair,
    Refused,
    Reply,
    Side,
    WatchTap,
    blank,
    words,
)


class Run:
    """One case on one side; what it asked and heard is kept to be compared."""

    def __init__(self, side: Side, prefix: bytes) -> None:
        self.side = side
        self.prefix = prefix
        self.heard: list[str] = []
        self._taps: list[WatchTap] = []

    def key(self, name: str) -> bytes:
        """A key of this case's own."""
        return self.prefix + name.encode()

    def ask(self, request: Message) -> Answer:
        """Ask; the answer is noted."""
        answer = self.side.ask(request)
        self.heard.append(words(answer))
        return answer

    def get(self, request: Message, kind: type[Reply]) -> Reply:
        """Ask what must succeed."""
        answer = self.ask(request)
        assert isinstance(answer, kind), f"{self.side.name}: {answer}"
        return answer

    def refused(self, request: Message, code: str, text: str) -> None:
        """Ask what must be refused just so."""
        answer = self.ask(request)
        assert answer == Refused(code, text), f"{self.side.name}: {answer}"

    def tap(self) -> WatchTap:
        """A watch stream; closed at the end."""
        self._taps.append(WatchTap(self.side))
        return self._taps[-1]

    def note(self, message: Message) -> None:
        """Something else that must be alike on both sides."""
        copy = type(message)()
        copy.CopyFrom(message)
        blank(copy)
        self.heard.append(words(copy))

    def close(self) -> None:
        """Note what the watches were told, and end them."""
        for tap in self._taps:
            for reply in tap.replies:
                self.note(reply)
            tap.close()


class Case(NamedTuple):
    """``source``: of the contract; ``required``: or only optional."""

    name: str
    source: str
    required: bool
    script: Callable[[Run], None]


class Cases(list[Case]):
    """A file's table of cases; fill it by decorating scripts."""

    def required(self, source: str) -> Callable[[Callable[[Run], None]], None]:
        """Clients depend on it."""
        return self._adder(source, True)

    def optional(self, source: str) -> Callable[[Callable[[Run], None]], None]:
        """Etcd does so; another answer would harm nobody we know of."""
        return self._adder(source, False)

    def _adder(
        self, source: str, required: bool
    ) -> Callable[[Callable[[Run], None]], None]:
        def add(script: Callable[[Run], None]) -> None:
            self.append(Case(script.__name__, source, required, script))

        return add


def _level(pair: Pair) -> None:
    """Bring both to one revision again, for the cases that follow."""
    while (ours := pair.ours.revision()) != (theirs := pair.theirs.revision()):
        behind = pair.ours if ours < theirs else pair.theirs
        behind.get(rpc.PutRequest(key=b"level"), rpc.PutResponse)


def run_case(case: Case, pair: Pair) -> None:
    """Run it on etcd, then on twofold.

    Raises:
        AssertionError: an expectation failed, or the two heard different things.
    """
    prefix = f"{case.name}/".encode()
    heard = []
    for side in (pair.theirs, pair.ours):
        run = Run(side, prefix)
        try:
            case.script(run)
        except AssertionError:
            run.close()
            _level(pair)
            raise
        run.close()
        heard.append(run.heard)
    theirs, ours = heard
    level = "Required" if case.required else "Optional"
    assert ours == theirs, f"{level}: {case.name} ({case.source})"
