"""What happens in a capture, as one line of JSON each: for those who take the files from there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

from fastcap.outputs import refusal
from fastcap.permissions import Permissions
from fastcap.segments import rfc3339

STANDARD_OUTPUT = "-"
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
    `on_note` is told, and how many are missing when it works again. A file that was moved away is
    made again.

    OutputError where it cannot be opened. For "-" make it before rights are given up.
    """

    def __init__(
        self,
        path: str,
        on_note: Callable[[str], None],
        permissions: Permissions = _PERMISSIONS,
    ) -> None:
        self.name = "standard output" if path == STANDARD_OUTPUT else path
        self.on_note = on_note
        self._path = None if path == STANDARD_OUTPUT else path
        self._permissions = permissions
        self._lock = threading.Lock()
        self._missing = 0  # lines, since it works no more
        self._is_torn = False  # the last line is there in part
        self._is_shared = False  # its open file is not ours alone, so it may block
        try:
            self.fd = self._open_stdout() if self._path is None else _open(path, permissions)
        except OSError as error:
            raise refusal(self.name, error) from error
        status = os.fstat(self.fd)
        self._is_socket = stat.S_ISSOCK(status.st_mode)
        self._is_file = stat.S_ISREG(status.st_mode)

    def _open_stdout(self) -> int:
        """Our own open file, which does not block, as others' do; for a socket, and for what only
        another user may open, the one that there is."""
        try:
            return os.open("/dev/stdout", _FLAGS)
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.EACCES, errno.EPERM):
                raise
        self._is_shared = True
        return os.dup(1)

    def add(self, kind: str, **more: Any) -> None:
        """One line: {"event": kind, "time": now, ...}."""
        with self._lock:
            self._add(kind, more)

    def _add(self, kind: str, more: dict[str, Any]) -> None:
        moment = rfc3339(time.time_ns())
        line = json.dumps({"event": kind, "time": moment, **more}).encode() + b"\n"
        line = b"\n" * self._is_torn + line
        why: str | None = "no room for all of a line"
        try:
            self._follow()
            left = len(line) - self._write(line)
            self._is_torn = left > 0 if left < len(line) else self._is_torn
        except OSError as error:
            left, why = 1, error.strerror
        if left:
            if not self._missing:
                self.on_note(f"{self.name}: {why}: events are missing there")
            self._missing += 1
        elif self._missing:
            self.on_note(f"{self.name}: written again; events missing there: {self._missing:,}")
            self._missing = 0

    def _follow(self) -> None:
        """Where the file was moved away, as logrotate does, to the one that has its name now."""
        if self._path is None or not self._is_file:
            return
        with contextlib.suppress(OSError):  # then the old one is as good as none
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self.fd)):
                    return
            fd = _open(self._path, self._permissions)
            os.dup2(fd, self.fd, inheritable=False)
            os.close(fd)
            self._is_torn = False

    def _write(self, line: bytes) -> int:
        """Bytes written, without waiting for anybody. OSError."""
        if self._is_socket:
            with socket.socket(fileno=os.dup(self.fd)) as one:
                return one.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if not self._is_shared:
            return os.write(self.fd, line)
        written = 0
        # a pipe that is ready has room for so many
        while written < len(line) and select.select([], [self.fd], [], 0)[1]:
            written += os.write(self.fd, line[written : written + select.PIPE_BUF])
        return written

    def is_same(self, status: os.stat_result) -> bool:
        """Whether they go where another output goes. What forgets or shows all is no such."""
        ours = os.fstat(self.fd)
        return os.path.samestat(ours, status) and not stat.S_ISCHR(ours.st_mode)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)
