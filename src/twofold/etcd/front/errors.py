"""Errors of the front.

TwofoldError
├── Refusal
│   ├── ConnectionFault   the peer broke HTTP/2; ends its connection
│   ├── MalformedHead     a request head against the rules; ends its stream
│   └── BadListenUrl      a listen URL that cannot be understood
└── Failure
    └── CertificateError  certificate, key or CA file unusable
"""

from twofold.base.errors import Failure, Refusal


class ConnectionFault(Refusal):
    """The peer broke the protocol: GOAWAY with ``code`` and close."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MalformedHead(Refusal):
    """Header fields of one request break the rules; never leaves the front."""


class BadListenUrl(Refusal):
    """A listen URL is not ``http(s)://host:port``."""


class CertificateError(Failure):
    """A certificate, key or CA file cannot be used."""

    retry = False
