"""A directory of a bench's own, in one that the user named."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from fastcap.errors import OutputError
from fastcap.outputs import refusal

_PREFIX = ".fastcap-bench-"
_TRIES = 3


@contextlib.contextmanager
def own_folder(place: str) -> Iterator[Path]:
    """Removed at the end, whatever happens. OutputError."""
    folder = os.path.join(place, f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        os.mkdir(folder, 0o700)
    except OSError as error:
        raise refusal(place, error) from error
    try:
        yield Path(folder)
    finally:
        left = _remove(folder)
    if left:
        raise OutputError(f"{folder}: cannot be removed: {left}")


def _remove(folder: str) -> str:
    """Why it could not be. Tries again: a disk that failed once may work the next time."""
    why = ""
    for _ in range(_TRIES):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return ""
        except OSError as error:
            why = error.strerror or str(error)
        else:
            return ""
    return why


def left_by_others(place: str) -> list[str]:
    """Only a bench that was killed leaves files; whoever runs the next one is told."""
    notes = []
    for name in sorted(os.listdir(place)) if os.access(place, os.R_OK) else []:
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            path = os.path.join(place, name)
            notes.append(f"{path}: left by a bench that was killed: remove it")
    return notes
