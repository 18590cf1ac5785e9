"""Regular expressions that are compiled when they are first used: compiling those of one filter's
parser takes as long as reading 50 MB of frames."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

_METHODS = ("match", "search", "fullmatch", "finditer", "findall", "split", "sub")


class LazyPattern:
    """What re.compile gives, later."""

    __slots__ = ("_flags", "_text", *_METHODS)

    def __init__(self, text: str, flags: int = 0) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(name)
        compiled = re.compile(self._text, self._flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


if TYPE_CHECKING:

    def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
        """As re.compile."""
        ...
else:
    pattern = LazyPattern
