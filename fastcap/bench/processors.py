"""Who runs where in a bench: whoever sends has processors of its own, if there is more than one."""

from __future__ import annotations

import os


def sender_runs_on(threads: int) -> tuple[int, ...]:
    """A processor for each thread that sends: the last ones, of which one is left to the tools.
    Empty where there are not so many."""
    allowed = sorted(os.sched_getaffinity(0))
    return tuple(allowed[-threads:]) if threads < len(allowed) else ()


def tools_run_on(threads: int) -> frozenset[int]:
    """All others."""
    allowed = frozenset(os.sched_getaffinity(0))
    return allowed.difference(sender_runs_on(threads))
