"""One owner at a time: a lock file that holds its process's number."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time

from fastcap.errors import FastcapError, OutputError


class BusyError(FastcapError):
    """Another process has the lock: `owner` is its number, or "unknown"."""

    def __init__(self, path: str, owner: str) -> None:
        super().__init__(f"{path}: process {owner} has it")
        self.owner = owner


class Lock:
    """Of a path, from the constructor until `close`. OSError; BusyError where another process has
    it; OutputError for what is no regular file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = _take(path)

    def close(self) -> None:
        """Another may have it from now on."""
        if self.is_held():
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        os.close(self._fd)

    def renew(self) -> None:
        """Takes it again where its directory was taken away and is there again. Errors as above."""
        if not self.is_held():
            fd = _take(self.path)
            os.close(self._fd)
            self._fd = fd

    def is_held(self) -> bool:
        """Whether the path still is the file that is locked."""
        return is_at(self._fd, self.path)


def owner_of(path: str) -> int | None:
    """The process that has the lock of a path; None where nobody has. OSError."""
    try:
        # it may be another user's: no FIFO of theirs is waited for, no link followed
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _owner_in(fd)
        return int(owner) if owner.isdecimal() else 0
    finally:
        os.close(fd)
    return None


def is_at(fd: int, path: str) -> bool:
    """Whether the open file has this path; where nobody may look it is believed to."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def open_regular(path: str, more: int = 0) -> int:
    """Opens a file whose name anybody can guess who may write its directory: a link there could
    lead to any file of ours. OSError; OutputError for what is no regular file."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = -1
    try:
        fd = os.open(path, flags | more, 0o644)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
    if fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    if fd >= 0:
        os.close(fd)
    raise OutputError(f"{path}: no regular file, and not ours; remove it")


def _take(path: str) -> int:
    while True:
        fd = open_regular(path, os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner_in(fd)
            os.close(fd)
            raise BusyError(path, owner or "unknown") from None
        # who had it before may have removed it between our open and our lock
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                os.ftruncate(fd, 0)
                os.write(fd, b"%d\n" % os.getpid())
                return fd
        os.close(fd)


def _owner_in(lock: int) -> str:
    """The process that wrote its number into a lock; it has a moment to do so."""
    for _ in range(20):
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        if owner:
            return owner
        time.sleep(0.01)
    return ""
