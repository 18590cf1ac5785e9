"""Signals that are waited for."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence

STOPS = (signal.SIGINT, signal.SIGTERM)
SAME_STOP = 1.0  # seconds; sudo and timeout send one Ctrl-C twice
WOKEN = 0  # among the numbers of signals: `wake` was called


class Signals:
    """Signals as numbers to be read, so that what they ask for is done between two looks at the
    work, never in the middle of anything. SIGHUP stays ignored where it is, as under nohup."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers

    def __enter__(self) -> Signals:
        self.readable, self.writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # first, and the last to go: a signal in between would be nobody's
        self._fd_before = signal.set_wakeup_fd(self.writable, warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, lambda *_: None)
            for number in self.numbers
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def wake(self) -> None:
        os.write(self.writable, bytes([WOKEN]))

    def wait(self, seconds: float) -> list[int]:
        """The signals that came within so many seconds; WOKEN for `wake`."""
        ready, _, _ = select.select([self.readable], [], [], max(0.0, seconds))
        return list(os.read(self.readable, 64)) if ready else []

    def __exit__(self, *_: object) -> None:
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        finally:
            signal.set_wakeup_fd(self._fd_before)
            os.close(self.readable)
            os.close(self.writable)
