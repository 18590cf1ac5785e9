"""What a capture does while its disk cannot take frames: make room, wait, and lose the fewest."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from fastcap.series import Series

ON_FULL = ("wait", "delete-oldest", "stop")
_PAUSE = 0.05  # seconds between two tries
_REMIND = 60.0  # seconds between two lines about the same trouble
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Trouble:
    """Something that fails, and is tried again: told when it begins, every minute, and when it
    works again. For one thread."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self.on_note = on_note
        self.since: float | None = None  # it fails; monotonic
        self.frames_lost = 0  # since then
        self._reminded = 0.0

    def goes_on(self, path: str, error: OSError, what: str) -> None:
        """It failed. `what` becomes of frames meanwhile is told with the first line."""
        if self.since is None:
            self.since, self.frames_lost = time.monotonic(), 0
            self._remind(f"{path}: {error.strerror}: {what}")
        elif time.monotonic() - self._reminded > _REMIND:
            self._remind(
                f"{path}: {error.strerror}, for {time.monotonic() - self.since:,.0f} s now; "
                f"{self.frames_lost:,} frames are lost"
            )

    def is_over(self, path: str, what: str) -> None:
        """It worked."""
        if self.since is None:
            return
        seconds = time.monotonic() - self.since
        self.since = None
        # at most: whole records at the start of a write that failed are still there
        lost = f"{'at most ' * (self.frames_lost > 0)}{self.frames_lost:,} frames were lost"
        self._remind(f"{path}: {what} after {seconds:,.1f} s; {lost}")

    def _remind(self, line: str) -> None:
        self._reminded = time.monotonic()
        self.on_note(line)


class Disk:
    """Of a series of files; for the writer's thread.

    `stops`: a write that fails ends the capture. `deletes`: a full disk costs the oldest files of
    the series. `keep`: bytes of the file system that are kept free in that way before it is full.
    `has_time` says whether frames may still wait in memory: while it does, a write that failed is
    tried again.
    """

    def __init__(
        self,
        series: Series,
        *,
        stops: bool,
        deletes: bool,
        keep: int | None,
        has_time: Callable[[], bool],
        on_note: Callable[[str], None],
    ) -> None:
        self.series = series
        self.stops = stops
        self.deletes = deletes
        self.keep = keep
        self.has_time = has_time
        self.on_note = on_note
        self.trouble = Trouble(on_note)
        self.keeps_too_little = False
        self._why_not = ""

    def keep_free(self, coming: int) -> None:
        """Deletes the oldest files while too little would be free behind a write of so many
        bytes."""
        if self.keep is None:
            return
        while (free := self._free()) is not None and free < self.keep + coming:
            if not self._delete("keep-free"):
                if not self.keeps_too_little:
                    self.on_note(
                        f"{self.series.path}: {free >> 20:,} MiB are free, {self.keep >> 20:,} "
                        f"should be, and {self._why_not}"
                    )
                self.keeps_too_little = True
                return
        self.keeps_too_little = False

    def may_go_on(self, error: OSError, path: str) -> bool:
        """After a write failed: whether it is to be tried again, at once or after a pause."""
        self.trouble.goes_on(path, error, "frames wait in memory until it works again")
        if self.deletes and error.errno in _FULL and self._delete("full"):
            return True
        if not self.has_time():
            return False
        time.sleep(_PAUSE)
        return True

    def lost(self, frames: int) -> None:
        """These frames were given up."""
        self.trouble.frames_lost += frames

    def works(self, path: str) -> None:
        """A write succeeded."""
        self.trouble.is_over(path, "written again")

    def _free(self) -> int | None:
        try:
            told = os.statvfs(self.series.folder or ".")
        except OSError:
            return None
        return told.f_bavail * told.f_frsize

    def _delete(self, why: str) -> bool:
        """Whether a file could be deleted, the oldest that can be."""
        self._why_not = "there is no finished file of it left to delete"
        try:
            return self.series.delete_oldest_one(why)
        except OSError as error:
            self._why_not = f"no finished file of it can be deleted: {error.strerror}"
            return False
