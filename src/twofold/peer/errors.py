"""What can go wrong between the two members.

Failure
├── FrameInvalid     bytes that are no frame or message of this protocol
├── LinkDown         the peer is not connected; nothing was sent
├── RequestFailed    the peer answered with an error
├── SnapshotFailed   a snapshot did not get through; send it again
└── OutcomeUnknown
    └── RequestLost  no answer: it may or may not have been carried out
"""

from __future__ import annotations

from twofold.base.errors import Failure, OutcomeUnknown


class FrameInvalid(Failure):
    """Bytes that are no frame or message; the connection is closed."""


class LinkDown(Failure):
    """The peer is not connected."""


class RequestFailed(Failure):
    """The peer answered that it could not."""


class RequestLost(OutcomeUnknown):
    """The connection or the patience ended before the answer came."""


class SnapshotFailed(Failure):
    """The stream of a snapshot broke off."""
