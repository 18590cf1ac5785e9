"""What happens in a capture, as one line of JSON each: for those who take the files from there."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from fastcap.outputs import refusal
from fastcap.segments import rfc3339

_MODE = 0o640


class Events:
    """Appends lines to a file, a FIFO, or standard output for "-"; for any thread. A line that
    cannot be written never holds up the capture: `on_note` is told once, until it works again.

    OutputError where it cannot be opened.
    """

    def __init__(self, path: str, on_note: Callable[[str], None]) -> None:
        self.path = path
        self.on_note = on_note
        self._lock = threading.Lock()
        self.fails = False
        self.is_torn = False  # the last line is there in part
        # our own open file, also of standard output: it does not block, and others' do
        path = "/dev/stdout" if path == "-" else path
        # to read too: a FIFO is there before its reader is, and does not end us when that leaves
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self.fd = os.open(path, flags, _MODE)
        except OSError as error:
            raise refusal(path, error) from error

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
