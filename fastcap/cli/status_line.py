"""One line on a terminal, once a second: what the capture does."""

from __future__ import annotations

import os
import re
import time

from fastcap.capture import Capture
from fastcap.cli.terminal import Terminal
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

    def __init__(self, capture: Capture, terminal: Terminal) -> None:
        self.capture = capture
        self.terminal = terminal
        self.at = time.monotonic()
        self.before = capture.account()

    def show(self) -> None:
        now = time.monotonic()
        if not self.terminal.has_line or now - self.at < _EVERY:
            return
        status = self.capture.status()
        account = status.account
        seconds = now - self.at
        frames = (account.frames_received - self.before.frames_received) / seconds
        bits = 8 * (account.bytes_received - self.before.bytes_received) / seconds
        self.at, self.before = now, account
        self.terminal.show(
            f"{scaled(frames)} frames/s  {scaled(bits)}bit/s  lost {account.frames_lost:,}  "
            f"ring {status.ring_fill:.0%}  {_name(status.writing)}" + _free(status.writing)
        )


def _name(path: str) -> str:
    """Of the file that is written, without what hides it."""
    name = os.path.basename(path).removeprefix(".").removesuffix(UNFINISHED)
    return re.sub(r"_0{8}(?=\.|$)", "", name)  # the bare name's


def _free(path: str) -> str:
    try:
        status = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return ""
    return f"  free {scaled(status.f_bavail * status.f_frsize, 1024)}B"
