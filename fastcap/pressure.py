"""How near a capture is to losing frames, in memory that it shares with who filters its files."""

from __future__ import annotations

import math
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

from fastcap.waiting import NoMoreThreadsError

_SIZE = 4096
_FORMAT = struct.Struct("=dQQ?QQ")  # Load, count of writes, CLOCK_MONOTONIC in nanoseconds
_CHECK = struct.Struct("=I")  # of the bytes before
_DEATHS = struct.Struct("=Q")  # of captures; written by their supervisor
_DEATHS_AT = 2048  # bytes from the page's start
_EVERY = 0.05  # seconds between two writes
_TRIES = 10  # a write takes a microsecond
_STALE = 1.0  # seconds
_HIGH_RING, _LOW_RING = 0.25, 0.10
_HIGH_BUFFER, _LOW_BUFFER = 0.5, 0.25


class Load(NamedTuple):
    """What a capture has to do: how full its ring is, 0 to 1, and its buffer, in bytes; whether
    its disk refuses to be written."""

    ring_fill: float
    buffer_used: int
    buffer_size: int
    disk_refuses: bool


class Reading(NamedTuple):
    """What was read. Before the first write `began` is False, `age_s` infinite, the rest 0."""

    ring_fill: float
    buffer_fill: float
    disk_refuses: bool
    age_s: float
    began: bool

    def is_high(self, before: bool) -> bool:
        """Whether others should leave disk and processors to the capture. `before` is what this
        said of the reading before: high goes on until there is much more room.

        What is older than a second holds nobody back. A capture writes 20 times a second from a
        thread that waits for no disk; one that does not is gone or stopped. Nobody knows for how
        long, and its finished files are to be filtered all the same.

        Neither does a buffer that is full because the disk refuses, as one without room does: the
        room comes from originals that are filtered and deleted.
        """
        if self.age_s > _STALE:
            return False
        ring, buffer = (_LOW_RING, _LOW_BUFFER) if before else (_HIGH_RING, _HIGH_BUFFER)
        return self.ring_fill >= ring or (self.buffer_fill >= buffer and not self.disk_refuses)


_NOTHING = Reading(0.0, 0.0, False, math.inf, False)


class Pressure:
    """One page, owned as the descriptor `fd` until `close`. One process writes, any may read.

    A write is one call, but a reader may see a part of it, so that there is a check sum behind it.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._count = 0
        self._last = _NOTHING
        self._last_ns = 0

    @classmethod
    def make(cls) -> Pressure:
        """A new page; a process that is to have it inherits `fd` (pass_fds). OSError."""
        fd = os.memfd_create("fastcap-pressure", os.MFD_CLOEXEC)
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> Pressure:
        """The page that was inherited as `fd`; what this process starts does not inherit it.
        OSError where that is no descriptor."""
        os.set_inheritable(fd, False)
        return cls(fd)

    def reset(self) -> None:
        """As before the first write; while nobody writes."""
        os.pwrite(self.fd, bytes(_FORMAT.size + _CHECK.size), 0)

    def count_death(self) -> None:
        """A capture died, and what it had not written is lost. For one process."""
        os.pwrite(self.fd, _DEATHS.pack(self.deaths() + 1), _DEATHS_AT)

    def deaths(self) -> int:
        return int(_DEATHS.unpack(os.pread(self.fd, _DEATHS.size, _DEATHS_AT))[0])

    def write(self, load: Load) -> None:
        self._count += 1
        data = _FORMAT.pack(*load, self._count, time.monotonic_ns())
        os.pwrite(self.fd, data + _CHECK.pack(zlib.crc32(data)), 0)

    def read(self) -> Reading:
        for _ in range(_TRIES):
            data = os.pread(self.fd, _FORMAT.size + _CHECK.size, 0)
            if not any(data):
                self._last = _NOTHING
                break
            content, check = data[: _FORMAT.size], data[_FORMAT.size :]
            if len(check) == _CHECK.size and _CHECK.unpack(check) == (zlib.crc32(content),):
                fill, used, size, refuses, _, self._last_ns = _FORMAT.unpack(content)
                self._last = Reading(fill, used / size if size else 0.0, refuses, 0.0, True)
                break
        if not self._last.began:
            return self._last
        age = (time.monotonic_ns() - self._last_ns) / 1e9
        return self._last._replace(age_s=max(0.0, age))

    def close(self) -> None:
        os.close(self.fd)


class Gauge:
    """Writes what `look` says, from `start` to `end`, on a thread of its own."""

    def __init__(self, pressure: Pressure, look: Callable[[], Load]) -> None:
        self.pressure = pressure
        self.look = look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fastcap-gauge", daemon=True)

    def start(self) -> None:
        """The first is written when it returns. NoMoreThreadsError."""
        self.pressure.write(self.look())
        try:
            self._thread.start()
        except RuntimeError as error:
            raise NoMoreThreadsError(str(error)) from error

    def end(self) -> None:
        """Also where it was never started."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            self.pressure.write(self.look())
