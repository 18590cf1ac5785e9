"""When a tool has nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastcap.bench.tools import Process, Taken, ToolError

_WINDOW = 0.2  # seconds between two looks
# Without work and without a longer file for so many seconds, nothing is left to do. Longer than
# fastcap keeps a chunk that is not full; and a tool may be held back for what it took beyond its
# quota.
_IDLE, _IDLE_UNDER_QUOTA = 1.2, 3.0
_TRICKLE = 4096  # bytes between two looks: frames that somebody else sends, now and then
_KEPT_BACK = 1 << 20  # bytes of a file that are written at the end
_IDLE_SHARE, _IDLE_SHARE_OF_QUOTA = 0.03, 0.3  # of the time, that is no work
_LONGEST = 120.0  # seconds, besides what a quota makes of a ring's contents
_LONGEST_UNDER_QUOTA = 600.0


def until_idle(process: Process, look: Callable[[], int], quota: float | None = None) -> Taken:
    """The processor time that it had taken when there was nothing left to do. `look` returns the
    bytes of its files, and is called often; `quota` is in percent of one processor. ToolError
    where it is never done, or ended."""
    share = _IDLE_SHARE if quota is None else _IDLE_SHARE_OF_QUOTA * min(quota, 100) / 100
    idle = _IDLE if quota is None else _IDLE_UNDER_QUOTA
    longest = _LONGEST if quota is None else _LONGEST_UNDER_QUOTA
    started = quiet_since = time.monotonic()
    before = at_quiet = process.taken()
    size = look()
    while time.monotonic() - quiet_since < idle:
        if time.monotonic() - started > longest:
            raise ToolError(
                f"{process.tool.name} is not done after {longest:.0f} s; does somebody else send?"
            )
        time.sleep(_WINDOW)
        now, new_size = process.taken(), look()
        works = now.seconds - before.seconds > share * _WINDOW or new_size - size > _TRICKLE
        if works or process.is_at_work():  # a write may wait for a disk for seconds
            quiet_since, at_quiet = time.monotonic(), now
        before, size = now, new_size
    return at_quiet


def check_done(process: Process, before: int) -> int:
    """When it has ended: that its files have grown by no more than what tools keep back for a
    moment since they had `before` bytes. Whatever it wrote then, it did not take for it what was
    measured. Their bytes now. ToolError."""
    size = process.bytes()
    grown = size - before
    if grown > _KEPT_BACK:
        raise ToolError(f"{process.tool.name} was not done when it seemed to be: {grown:,} bytes")
    return size
