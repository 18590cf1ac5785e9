"""Sees when somebody sets the clock: the wall clock against one that only goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAST = 50_000_000  # nanoseconds; slewing, as NTP does, is hundreds of times slower
_CALM = 5_000_000  # the clocks are read so close to each other, or again
_TRIES = 10


def _wall_ns() -> int:
    return time.time_ns()


def _steady_ns() -> int:
    # not CLOCK_MONOTONIC: that stands still while the machine sleeps
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock:
    """`wall` and `steady` tell nanoseconds."""

    def __init__(
        self, wall: Callable[[], int] | None = None, steady: Callable[[], int] | None = None
    ) -> None:
        self._wall = wall or _wall_ns
        self._steady = steady or _steady_ns
        self._ahead = self._read()

    def step(self) -> int:
        """Nanoseconds by which the wall clock was set since the last call, negative for backwards;
        0 for less than 50 ms."""
        before, self._ahead = self._ahead, self._read()
        step = self._ahead - before
        return step if abs(step) >= _LEAST else 0

    def _read(self) -> int:
        """How far the wall clock is ahead."""
        for _ in range(_TRIES):
            first, wall, last = self._steady(), self._wall(), self._steady()
            if last - first <= _CALM:
                break
        return wall - (first + last) // 2
