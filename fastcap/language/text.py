"""Filter text as written, and messages that point into it."""

from __future__ import annotations

from fastcap.errors import FilterError

_SHOWN = 90  # characters of the line around the caret


def fault(text: str, at: int, message: str) -> FilterError:
    """A FilterError that shows the line of `text` around `at` with a caret under it."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : len(text) if end < 0 else end].expandtabs(1)
    column = at - start
    left = 0 if len(line) <= _SHOWN else max(0, column - _SHOWN // 2)
    shown = ("…" if left else "") + line[left : left + _SHOWN]
    shown += "…" if left + _SHOWN < len(line) else ""
    caret = " " * (column - left + (1 if left else 0)) + "^"
    return FilterError(f"filter: {message}\n  {shown}\n  {caret}")
