"""Filter text as written, and messages that point into it."""

from __future__ import annotations

from fastcap.errors import FilterError

_SHOWN = 90  # characters of the line around the caret


_LONGEST_WORD = 80  # characters


def plain(text: str, most: int = _LONGEST_WORD) -> str:
    """Text as messages show it: in one line, not too long, and harmless to a terminal.

    >>> plain("a\\x1b[1m\\nb\\udcff"), plain("a" * 9, 4)
    ('a?[1m b?', 'aaaa…')
    """
    cut = text[:most] + "…" if len(text) > most else text
    if cut.isprintable():
        return cut
    return "".join(" " if one.isspace() else one if one.isprintable() else "?" for one in cut)


def fault(text: str, at: int, message: str) -> FilterError:
    """A FilterError that shows the line of `text` around `at` with a caret under it."""
    if not text[at:].strip():  # what is missing at the end is missing behind the last word
        at = min(at, len(text.rstrip()))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : len(text) if end < 0 else end]
    column = at - start
    left = 0 if len(line) <= _SHOWN else max(0, column - _SHOWN // 2)
    shown = ("…" if left else "") + plain(line[left:], _SHOWN)
    caret = " " * (column - left + (1 if left else 0)) + "^"
    return FilterError(f"filter: {message}\n  {shown}\n  {caret}")
