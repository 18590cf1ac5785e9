"""How fastcap starts fastcap."""

from __future__ import annotations

import os
import sys


def command() -> list[str]:
    """As we were started ourselves: `python -m` looks for modules in the working directory first,
    which is anybody's, and whoever did not do that does not begin to."""
    here = os.path.realpath(os.curdir)
    looks_here = any(os.path.realpath(path) == here for path in sys.path)
    safe = ["-P"] if sys.version_info >= (3, 11) and not looks_here else []
    return [sys.executable, *safe, "-m", "fastcap"]
