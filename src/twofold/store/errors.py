"""Errors that several parts of the store raise.

TwofoldError
├── Refusal
│   └── ApplyRefused    the state machine says no, by a name of etcd's table
└── Failure
    ├── BackendFailure  LMDB or its disk: nothing of the checkpoint counts
    └── SnapshotCorrupt the stream is not whole: ask for it again
"""

from __future__ import annotations

from twofold.base.errors import Failure, Refusal


class ApplyRefused(Refusal):
    """The state machine refuses the command; ``error`` is a name in etcd's table.

    Names are the keys of ``etcd/errors.py``, e.g. ``LEASE_NOT_FOUND``,
    ``COMPACTED``, ``FUTURE_REVISION``, ``KEY_NOT_FOUND``, ``NO_SPACE``.
    """

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class BackendFailure(Failure):
    """The backend's files cannot be read or written."""


class SnapshotCorrupt(Failure):
    """A snapshot stream is damaged, out of order or cut short."""
