"""Filters from files."""

from __future__ import annotations

import sys

from fastcap.errors import InputError, UsageError
from fastcap.inputs import why


def read_filter(path: str) -> str:
    """The text of a filter file, or of standard input for "-"."""
    try:
        if path == "-" and sys.stdin is None:
            raise InputError("-F -: standard input is closed")
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{path}: {why(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not text, so not a filter") from error


def one_filter(words: tuple[str, ...], filter_file: str | None) -> str:
    """The filter of a command whose words are nothing else, as tcpdump's are."""
    if filter_file is None:
        return " ".join(words)
    if words:
        raise UsageError("more than one filter: give words or -F")
    return read_filter(filter_file)
