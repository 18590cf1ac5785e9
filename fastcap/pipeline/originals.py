"""What becomes of an original that is done: deleted, moved, or left where it is."""

from __future__ import annotations

import contextlib
import os

from fastcap import sidecar
from fastcap._native.writer import publish
from fastcap.errors import OutputError, UsageError
from fastcap.outputs import refusal
from fastcap.pipeline.journal import DELETED, KEPT, MOVED
from fastcap.pipeline.spool import Seen, has_sidecar, is_same

DELETE, KEEP, MOVE = "delete", "keep", "move"
FAILED_FOLDER = "failed"
_ERROR = ".error"
_MOST_NAMES = 10_000


class Disposal:
    """--original: delete, keep, or move:DIR. UsageError; OutputError for a directory that cannot be
    moved to."""

    def __init__(self, text: str, spool: str) -> None:
        self.what, _, folder = text.replace(f"{MOVE} ", f"{MOVE}:", 1).partition(":")
        self.spool = spool
        self.folder = os.path.abspath(folder) if folder else ""
        if self.what not in (DELETE, KEEP, MOVE) or (self.what == MOVE) != bool(folder):
            raise UsageError(f"original is delete, keep or move DIR, not {text}")
        if self.what == MOVE:
            self._check_folder()

    def _check_folder(self) -> None:
        try:
            same = os.stat(self.folder).st_dev == os.stat(self.spool).st_dev
        except OSError as error:
            raise refusal(self.folder, error) from error
        if not os.path.isdir(self.folder):
            raise OutputError(f"{self.folder}: no directory")
        if os.path.samefile(self.folder, self.spool):
            raise UsageError(f"{self.folder}: is the spool itself; move originals elsewhere")
        if not same:
            raise OutputError(
                f"{self.folder}: on another file system than the spool, where nothing can be moved "
                "to in one step; choose a directory beside the spool"
            )

    def done_with(self, seen: Seen) -> str:
        """Disposes of an original whose frames are safe: its state then. Repeated it does nothing.
        One that is not what was filtered any more stays. OSError."""
        path = os.path.join(self.spool, seen.name)
        if self.what == KEEP:
            return KEPT
        try:
            if not is_same(path, seen):
                return KEPT  # another file has its name by now
        except FileNotFoundError:  # done before a kill
            return self._state()
        if self.what == DELETE:
            if has_sidecar(path):  # first: it is never alone
                sidecar.remove(path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        else:
            move(path, self.folder)
        return self._state()

    def _state(self) -> str:
        return DELETED if self.what == DELETE else MOVED

    def failed(self, seen: Seen, error: str) -> None:
        """Moves one that is passed over to failed/, with its error beside it; with `keep` it stays.
        Repeated it does nothing. OSError."""
        path = os.path.join(self.spool, seen.name)
        try:
            if self.what == KEEP or not is_same(path, seen):
                return
        except FileNotFoundError:
            return
        folder = os.path.join(self.spool, FAILED_FOLDER)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o750)
        name = free_name(folder, seen.name)
        with open(os.path.join(folder, _cut(name) + _ERROR), "w", encoding="utf-8",
                  errors="backslashreplace") as file:  # fmt: skip
            file.write(error + "\n")
        move(path, folder, name)


def _cut(name: str) -> str:
    """So that a suffix has room behind it: a name has at most 255 bytes."""
    return os.fsdecode(os.fsencode(name)[: 255 - len(_ERROR)])


def free_name(folder: str, name: str) -> str:
    """A name that nothing has there: x.pcap, x.pcap.2 …"""
    if not os.path.lexists(os.path.join(folder, name)):
        return name
    numbers = (f"{name}.{number}" for number in range(2, _MOST_NAMES))
    return next(one for one in numbers if not os.path.lexists(os.path.join(folder, one)))


def move(path: str, folder: str, name: str | None = None) -> None:
    """And the JSON beside it, first: it is never alone. Nothing is replaced. OSError."""
    new = os.path.join(folder, name or free_name(folder, os.path.basename(path)))
    if has_sidecar(path):
        os.rename(sidecar.path_of(path), sidecar.path_of(new))
    publish(path, new, replace=False)
