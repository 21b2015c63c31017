"""What can happen to a call.

Failure
├── RpcError            the server answered with a gRPC status that is no OK
├── NotConnected        the call never left: nothing happened
└── OutcomeUnknown
    ├── ConnectionLost  the connection ended before the answer
    └── CallTimedOut    no answer in time
"""

from __future__ import annotations

from twofold.base.errors import Failure, OutcomeUnknown


class RpcError(Failure):
    """A gRPC status; ``code`` as in the gRPC specification, 14 = unavailable."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"code {code}: {text}")
        self.code = code
        self.text = text


class NotConnected(Failure):
    """Nobody listens there, or the connection ended before the call was sent."""


class ConnectionLost(OutcomeUnknown):
    """The request was sent and the connection ended before its answer."""


class CallTimedOut(OutcomeUnknown):
    """No answer within the deadline."""
