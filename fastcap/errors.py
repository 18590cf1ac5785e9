"""Every exception that a user of fastcap can catch.

The message of each is one plain line: what is wrong, of which file or flag, and the way out.
The command line prints it and exits with the class's `exit_status`.
"""

from __future__ import annotations


class FastcapError(Exception):
    """Whatever fastcap raises on purpose."""

    exit_status = 1


class UsageError(FastcapError):
    """The call itself is wrong: arguments that contradict each other or make no sense."""

    exit_status = 2


class FilterError(UsageError):
    """A filter expression cannot be compiled. The message shows the text and, where it is our
    own grammar that refuses it, a caret under the place and what was expected there."""


class ProgramError(FastcapError):
    """A filter program breaks the rules that make it safe to run (csrc/program.h)."""


class InputError(FastcapError):
    """An input cannot be read, or is no capture that fastcap reads."""


class OutputError(FastcapError):
    """An output cannot be written."""


class DamageError(FastcapError):
    """A capture is damaged. All frames before the damage were given; none after it are guessed.

    `path` is the file, `offset` where the first record that cannot be read starts, `length` the
    bytes from there to the file's end (None for a stream), `reason` what is wrong there.
    """

    exit_status = 3

    def __init__(self, path: str, offset: int, length: int | None, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset:,}: {reason}")
        self.path = path
        self.offset = offset
        self.length = length
        self.reason = reason

    def __reduce__(self) -> tuple[type[DamageError], tuple[str, int, int | None, str]]:
        return DamageError, (self.path, self.offset, self.length, self.reason)


class Interrupted(FastcapError):
    """The work was cancelled before it was done."""

    exit_status = 130
