"""The one family of errors, and the exit code that each kind of failure gives a command.

An error tells a person at three in the morning what happened, what it did to the data, and the next command. The class fixes the
exit code; the instance carries what was found, what was expected and a hint.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command's end means; scripts and monitoring rely on these numbers."""

    OK = 0
    ERROR = 1
    USAGE = 2
    DEGRADED = 3
    NEEDS_HUMAN = 4
    NOT_INITIALISED = 10
    LOCKED = 11
    STORAGE_UNAVAILABLE = 12
    CONFIGURATION = 13
    REFUSED = 14


class HealthArchiveError(Exception):
    """Something a person must know. `str()` is one line: what happened, then the hint."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(self, what: str, *, hint: str = "", found: str = "", expected: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        parts = [self.what]
        if self.found:
            parts.append(f"Found: {self.found}.")
        if self.expected:
            parts.append(f"Expected: {self.expected}.")
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)

    def as_dict(self) -> dict[str, object]:
        """The shape that `--json` prints for an error."""
        return {
            "error": type(self).__name__,
            "exit_code": int(self.exit_code),
            "what": self.what,
            "found": self.found,
            "expected": self.expected,
            "hint": self.hint,
        }


class UsageError(HealthArchiveError):
    """The command line asks for something that cannot be meant."""

    exit_code = ExitCode.USAGE


class NotFound(HealthArchiveError):
    """The named thing does not exist."""


class NotInitialised(HealthArchiveError):
    """There is no instance here. Nothing is ever used in its place."""

    exit_code = ExitCode.NOT_INITIALISED


class Locked(HealthArchiveError):
    """Somebody else holds what this command needs."""

    exit_code = ExitCode.LOCKED


class StorageUnavailable(HealthArchiveError):
    """A place that files must be read from or written to does not answer, is full or is not the right one."""

    exit_code = ExitCode.STORAGE_UNAVAILABLE


class ConfigurationError(HealthArchiveError):
    """The configuration, or the schema revision, is not one that this program can run with."""

    exit_code = ExitCode.CONFIGURATION


class Refused(HealthArchiveError):
    """A safety rule forbids it."""

    exit_code = ExitCode.REFUSED


class StaleFence(HealthArchiveError):
    """Somebody else has taken the job over; this process wrote nothing and must stop."""

    exit_code = ExitCode.LOCKED
