"""One line on a terminal, once a second: what the capture does."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from fastcap.capture import Capture
from fastcap.series import UNFINISHED

_EVERY = 0.95  # seconds
_UNITS = ("", "k", "M", "G", "T", "P")


def scaled(value: float, step: int = 1000) -> str:
    """Three digits and a unit.

    >>> scaled(7), scaled(1234567), scaled(3 << 30, 1024)
    ('7', '1.23M', '3.00G')
    """
    unit = 0
    while value >= step and unit < len(_UNITS) - 1:
        value /= step
        unit += 1
    digits = 0 if unit == 0 or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{_UNITS[unit]}"


class StatusLine:
    """Shows nothing where standard error is no terminal."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.on = sys.stderr is not None and os.isatty(2) and os.environ.get("TERM") != "dumb"
        self.shown = False
        self.at = time.monotonic()
        self.before = capture.account()

    def show(self) -> None:
        now = time.monotonic()
        if not self.on or now - self.at < _EVERY:
            return
        status = self.capture.status()
        account = status.account
        seconds = now - self.at
        frames = (account.frames_received - self.before.frames_received) / seconds
        bits = 8 * (account.bytes_received - self.before.bytes_received) / seconds
        self.at, self.before = now, account
        text = (
            f"{scaled(frames)} frames/s  {scaled(bits)}bit/s  lost {account.frames_lost:,}  "
            f"ring {status.ring_fill:.0%}  {_name(status.writing)}" + _free(status.writing)
        )
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(2).columns - 1
            self._write("\r" + text[:width].ljust(width))
            self.shown = True

    def clear(self) -> None:
        """Before anything else is printed."""
        if self.shown:
            self.shown = False
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal is gone: no reason to stop
            self.on = False


def _name(path: str) -> str:
    """Of the file that is written, without what hides it."""
    return os.path.basename(path).removeprefix(".").removesuffix(UNFINISHED)


def _free(path: str) -> str:
    try:
        status = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return ""
    return f"  free {scaled(status.f_bavail * status.f_frsize, 1024)}B"
