"""What a witness backend has to do, whatever it keeps the record on."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Stored(NamedTuple):
    """The newest version a backend holds."""

    data: bytes
    version: int


class WitnessBackend(Protocol):
    """Exclusive creation of versions with complete content."""

    def load(self) -> Stored | None:
        """Read the newest version; None when there is none at all.

        Raises:
            WitnessUnreachable: the medium did not answer.
            RecordIncomplete: the newest version is not fully written.
        """

    def publish(self, data: bytes, version: int) -> bool:
        """Create ``version``; in the whole cluster at most one writer gets True.

        Publishing the very same bytes again is no second writer: it confirms
        the first, which is how an unknown outcome is settled.

        Shape: ``version`` = the loaded version + 1, or 1 when there is none; the
        one before it must still be there as it was loaded, else False; no two
        callers ever publish equal bytes, since each has its nonce.

        Returns:
            True: our bytes are durable and newest. False: load and judge again.

        Raises:
            WitnessUnreachable: it failed before anything could have happened.
            PublishUnknown: it failed midway; ``version`` may yet appear.
        """

    def prune(self) -> None:
        """Drop old versions and leftovers; never the newest 32.

        Raises:
            WitnessUnreachable: the medium did not answer; try another time.
        """
