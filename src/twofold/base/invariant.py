"""Checks that stay on in production."""

from twofold.base.errors import InvariantError


def check(condition: bool, rule: str, **data: object) -> None:
    """Stop the process, by InvariantError, when ``rule`` does not hold."""
    if not condition:
        details = " ".join(f"{name}={value!r}" for name, value in data.items())
        raise InvariantError(f"broken: {rule} {details}".rstrip())
