"""Who may read the files that a capture makes: frames are other people's letters."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import NamedTuple


class Permissions(NamedTuple):
    """`mode` whatever the umask, and the number of the group; None leaves that as it comes."""

    mode: int = 0o640
    group: int | None = None

    def give(self, fd: int) -> None:
        """To a file that was just made. OSError for a group that is not ours to give to."""
        with contextlib.suppress(PermissionError):  # a file system that has no such thing
            os.fchmod(fd, self.mode)
        if self.group is not None:
            os.fchown(fd, -1, self.group)

    def create(self, path: str) -> int:
        """Makes a file that is not there, for writing. OSError."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.mode)
        try:
            self.give(fd)
        except BaseException as error:
            os.close(fd)
            os.unlink(path)
            if isinstance(error, PermissionError):
                raise OSError(errno.EPERM, f"not a member of group {self.group}") from error
            raise
        return fd
