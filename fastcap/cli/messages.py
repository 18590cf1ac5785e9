"""Lines for people, on standard error."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """One line, or a filter and its caret. A newline in a file name does not make two of it. With
    standard error closed it goes nowhere: never to standard output, which may be the capture."""
    if sys.stderr is not None:
        print(f"fastcap: {line}", file=sys.stderr)
