"""What can be wrong with how a process was started.

Refusal
└── ConfigError        a flag, variable or file; the text says what is right
Failure
└── StartFailed        the configuration is fine, the machine is not
"""

from __future__ import annotations

from twofold.base.errors import Failure, Refusal


class ConfigError(Refusal):
    """The configuration is wrong; the process ends with exit code 2."""


class StartFailed(Failure):
    """A port, file or directory cannot be had; exit code 1."""

    retry = False
