"""What happens in a capture, as one line of JSON each: for those who take the files from there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from fastcap.outputs import refusal
from fastcap.permissions import Permissions
from fastcap.segments import rfc3339

_PERMISSIONS = Permissions()
# to read too: a FIFO is there before its reader is, and does not end us when that leaves
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC


def _open(path: str, permissions: Permissions) -> int:
    with contextlib.suppress(FileExistsError):
        os.close(permissions.create(path))
    return os.open(path, _FLAGS)


class Events:
    """Appends lines to a file, which gets these permissions where it is made, a FIFO, or standard
    output for "-"; for any thread. A line that cannot be written never holds up the capture:
    `on_note` is told once, until it works again.

    OutputError where it cannot be opened.
    """

    def __init__(
        self,
        path: str,
        on_note: Callable[[str], None],
        permissions: Permissions = _PERMISSIONS,
    ) -> None:
        self.path = path
        self.on_note = on_note
        self._lock = threading.Lock()
        self.fails = False
        self.is_torn = False  # the last line is there in part
        self._may_block = False
        try:
            self.fd = self._open_stdout() if path == "-" else _open(path, permissions)
        except OSError as error:
            raise refusal(path, error) from error

    def _open_stdout(self) -> int:
        """Our own open file: it does not block, and others' do. Who is another user by now may not
        open what was given to it, and asks before each line."""
        try:
            return os.open("/dev/stdout", _FLAGS)
        except PermissionError:
            self._may_block = True
            return os.dup(1)

    def add(self, kind: str, **more: Any) -> None:
        """One line: {"event": kind, "time": now, ...}."""
        with self._lock:
            self._add(kind, more)

    def _add(self, kind: str, more: dict[str, Any]) -> None:
        moment = rfc3339(time.time_ns())
        line = json.dumps({"event": kind, "time": moment, **more}).encode() + b"\n"
        why: str | None = "no room for all of a line"
        try:
            left = len(b"\n" * self.is_torn + line)
            if self._may_block and not select.select([], [self.fd], [], 0)[1]:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            left -= os.write(self.fd, b"\n" * self.is_torn + line)
            self.is_torn = left > 0
        except OSError as error:
            left, why = 1, error.strerror
        if left and not self.fails:
            self.on_note(f"{self.path}: {why}: events are missing there")
        self.fails = left > 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)
