"""The root of twofold's errors.

TwofoldError
├── Refusal            the caller's fault; nothing happened
├── Failure            disk, witness, peer or network; may be worth a retry
│   └── OutcomeUnknown it may have happened: never report it as "failed"
└── InvariantError     our own fault; the process must stop
"""


class TwofoldError(Exception):
    """Anything twofold raises on purpose."""


class Refusal(TwofoldError):
    """The request is wrong or not allowed now; it had no effect."""


class Failure(TwofoldError):
    """Something outside the process failed; ``retry`` says if trying helps."""

    retry: bool = True


class OutcomeUnknown(Failure):
    """The operation may or may not have taken effect."""


class InvariantError(TwofoldError):
    """The program contradicts itself; going on could lose data."""
