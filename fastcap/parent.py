"""A process that is to end with the one that started it: prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal

_PDEATHSIG = 1


def end_with(pid: int, number: int) -> None:
    """From here on signal `number` comes when the parent, process `pid`, ends; at once where that
    is gone already. A change of user or rights takes this back, so call it after that. What counts
    as the parent's end is that of its thread which made this process. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != pid:
        signal.raise_signal(number)
