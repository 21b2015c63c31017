"""Errors of the witness.

TwofoldError
├── Refusal
│   ├── RecordExists         init found a record and left it alone
│   └── WitnessUrlInvalid    the URL names no witness we know
└── Failure
    ├── WitnessUnreachable   the medium did not answer; nothing was published
    ├── RecordCorrupt        bytes that are no record (or not of our format)
    │   └── RecordIncomplete  the newest version is not fully written (yet)
    └── OutcomeUnknown
        └── PublishUnknown   the record may be there, or appear later
"""

from twofold.base.errors import Failure, OutcomeUnknown, Refusal


class RecordExists(Refusal):
    """A record is there already; creating one never replaces it."""


class WitnessUrlInvalid(Refusal):
    """The text is not the URL of a witness."""


class WitnessUnreachable(Failure):
    """The medium failed before anything could have been published."""


class RecordCorrupt(Failure):
    """What the witness holds cannot be read as a record."""

    retry = False


class RecordIncomplete(RecordCorrupt):
    """The newest version was created but its content is not all there.

    Its writer may still be at work, or have died: nobody else can tell, so
    nobody may go past it.
    """

    retry = True


class PublishUnknown(OutcomeUnknown):
    """A publish failed midway: read, and look for the record's nonce."""

    def __init__(self, version: int, cause: str) -> None:
        super().__init__(f"version {version} may or may not be there: {cause}")
        self.version = version
