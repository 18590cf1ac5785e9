"""Lines for people, on standard error."""

from __future__ import annotations

import contextlib
import sys


def say(line: str) -> None:
    """One line, or a filter and its caret. A newline in a file name does not make two of it. With
    standard error closed, or its terminal gone, it goes nowhere: never to standard output, which
    may be the capture, and never up as an exception, which would end a capture."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"fastcap: {line}", file=sys.stderr)
