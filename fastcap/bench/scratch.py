"""A directory of a bench's own, on somebody's disk: how much of it is used, and that nothing is
left there, whatever happens."""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastcap.bench.folder import left_by_others, own_folder
from fastcap.bench.stops import ENDS, end_as
from fastcap.errors import FastcapError, OutputError, UsageError
from fastcap.outputs import refusal
from fastcap.signals import Signals

CHUNK = 4 << 20  # bytes of a write, as of a capture with its usual buffer
FEWEST_FILES = 4  # one that is written, the next, one that is synced, one that is kept
LEAST_SIZE = FEWEST_FILES * CHUNK
MOST_SIZE = 20 << 30  # bytes that are used where nobody says how many
FILE_SIZE = 1 << 30
_SHARE = 4  # of the free space, one part in so many is used
_MOST_RESERVE = 1 << 30
_RESERVE_SHARE = 20  # one part in so many of a file system stays free, up to that
PAUSE = 0.005  # seconds between two looks whether files are finished
_WAKES = 0.2  # seconds between two looks at signals


class Plan(NamedTuple):
    """What may be written where: at most `size` bytes are on the disk at once, and `reserve` bytes
    of it stay free. `keep` finished files stay until newer ones are there."""

    folder: str
    seconds: float
    size: int
    file_size: int
    reserve: int

    @property
    def keep(self) -> int:
        return max(1, self.size // self.file_size - 2)


def plan(
    folder: str,
    seconds: float,
    size: int | None,
    file_size: int | None,
    *,
    most: int = MOST_SIZE,
    largest_file: int = FILE_SIZE,
) -> Plan:
    """Decides what is used of a file system: of `size` None at most `most`, and of `file_size` None
    at most `largest_file`. UsageError, OutputError where it has no room."""
    if math.isnan(seconds):
        raise UsageError("--seconds nan: a number of seconds, please")
    if not os.path.isdir(folder):
        what = "no directory" if os.path.lexists(folder) else "is not there"
        raise UsageError(f"{folder}: {what}: name a directory on the disk in question")
    try:
        told = os.statvfs(folder)
    except OSError as error:
        raise refusal(folder, error) from error
    reserve = min(_MOST_RESERVE, told.f_blocks * told.f_frsize // _RESERVE_SHARE)
    free = told.f_bavail * told.f_frsize
    usable = free - reserve
    wanted = min(free // _SHARE, usable, most) if size is None else size
    if wanted > usable:
        raise OutputError(
            f"{folder}: {mib(free)} are free, of which {mib(reserve)} stay free: "
            f"--size {mib(wanted)} does not fit"
        )
    if wanted < LEAST_SIZE:
        raise OutputError(
            f"{folder}: {mib(max(0, wanted))} to write in, and {mib(LEAST_SIZE)} are the least"
            + (f" ({mib(free)} are free)" if size is None else "")
        )
    return Plan(folder, seconds, wanted, _file_size(file_size, wanted, largest_file), reserve)


def _file_size(asked: int | None, size: int, largest: int) -> int:
    """Whole chunks, so that files end where writes do."""
    if asked is None:
        return min(largest, size // FEWEST_FILES // CHUNK * CHUNK)
    if asked < CHUNK:
        raise UsageError(f"--file-size: {mib(CHUNK)} are the least, the bytes of one write")
    if asked * FEWEST_FILES > size:
        raise UsageError(
            f"--file-size {mib(asked)}: {FEWEST_FILES} such files do not fit into "
            f"{mib(size)}: a smaller one, or more --size"
        )
    return asked // CHUNK * CHUNK


def mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


class Room:
    """Whether the next chunk may be written. While `plan.size` bytes are there the writer has to
    wait until files are finished, which is the disk's fault, and is counted. When the disk fills
    up, `stopped_early` says so, and the bench has to end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stopped_early = ""
        self.held_back = self.longest_hold = 0.0  # seconds
        self._held_since: float | None = None

    def is_there(self, on_disk: int) -> bool:
        """Beside so many bytes that are on the disk already; asked again until it is."""
        if on_disk + CHUNK <= self.plan.size and self._is_free():
            self.end_hold()
            return True
        if self._held_since is None:
            self._held_since = time.monotonic()
        return False

    def _is_free(self) -> bool:
        try:
            told = os.statvfs(self.plan.folder)
        except OSError as error:
            self.stopped_early = f"ended early: {error.strerror}"
            return False
        if told.f_bavail * told.f_frsize >= self.plan.reserve + CHUNK:
            return True
        self.stopped_early = (
            f"ended early: the disk fills up, and {mib(self.plan.reserve)} of it stay free"
        )
        return False

    def end_hold(self) -> None:
        if self._held_since is not None:
            held = time.monotonic() - self._held_since
            self.held_back += held
            self.longest_hold = max(self.longest_hold, held)
            self._held_since = None


class Scratch:
    """The directory, while it is there. `notes` are complete behind it."""

    def __init__(self, place: str, folder: str, signals: Signals) -> None:
        self.place = place
        self.folder = folder
        self.signals = signals
        self.notes: list[str] = []

    def wait(
        self, thread: threading.Thread, stop: Callable[[], None], look: Callable[[], None]
    ) -> int:
        """Until the thread has ended, for which `stop` asks where a signal comes; that signal, or
        0. Calls `look` meanwhile."""
        came = 0
        while thread.is_alive():
            signals = self.signals.wait(0)
            if signals and not came:
                came = signals[0]
                stop()
            look()
            thread.join(_WAKES)
        return came

    def told_of(self, error: FastcapError) -> FastcapError:
        """The writer names its file, which nobody will find."""
        files = re.escape(self.folder) + r"(/[^/:]*)?(?=: )"
        return type(error)(re.sub(files, lambda _: self.place, str(error)))


@contextlib.contextmanager
def scratch(place: str) -> Iterator[Scratch]:
    """Makes it, and removes it whatever happens. OutputError where the disk refuses; Interrupted
    and KeyboardInterrupt where a signal came."""
    with Signals(ENDS) as signals:
        with own_folder(place) as folder:
            own = Scratch(place, str(folder), signals)
            yield own
        end_as(next(iter(signals.wait(0)), 0))  # one that came while files were removed
        own.notes += left_by_others(place)
