"""When a tool has nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastcap.bench.tools import Process

_WINDOW = 0.2  # seconds between two looks
# Without work and without a longer file for so many seconds, nothing is left to do. Longer than
# fastcap keeps a chunk that is not full; and a tool may be held back for what it took beyond its
# quota.
_IDLE, _IDLE_UNDER_QUOTA = 1.2, 3.0
_IDLE_SHARE, _IDLE_SHARE_OF_QUOTA = 0.03, 0.3  # of the time, that is no work
_LONGEST = 120.0  # seconds; then it is taken to be done, whatever it does


def until_idle(process: Process, look: Callable[[], int], quota: float | None = None) -> float:
    """The processor time that it had taken when there was nothing left to do. `look` returns the
    bytes of its files, and is called often; `quota` is in percent of one processor."""
    share = _IDLE_SHARE if quota is None else _IDLE_SHARE_OF_QUOTA * min(quota, 100) / 100
    idle = _IDLE if quota is None else _IDLE_UNDER_QUOTA
    started = quiet_since = time.monotonic()
    before = at_quiet = process.seconds()
    size = look()
    while time.monotonic() - quiet_since < idle and time.monotonic() - started < _LONGEST:
        time.sleep(_WINDOW)
        now, new_size = process.seconds(), look()
        if now - before > share * _WINDOW or new_size != size:
            quiet_since, at_quiet = time.monotonic(), now
        before, size = now, new_size
    return at_quiet
