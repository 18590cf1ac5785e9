"""How a run went: what was offered and not yet in a file, over time, and when files stood still."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

MOST_POINTS = 240
_LEAST_STALL = 0.05  # seconds without growth that are worth telling

Look = tuple[float, int, int]  # seconds, frames that came, bytes of files


class Timeline(NamedTuple):
    """At each of `seconds` since sending began `waiting` frames had come and were in no file: in
    the ring, in buffers, or lost. `stalls` are times in which files did not grow while frames came:
    (from, to). `longest_stall_s` of all, those too that are too short to be told; `blind_s` is the
    longest time in which nobody looked while frames came: what a stall may be longer than it seems.

    A tool that writes in pieces of 4 MiB has a stall between any two of them where few frames come.
    """

    seconds: Sequence[float]
    waiting: Sequence[int]
    stalls: Sequence[tuple[float, float]]
    longest_stall_s: float
    blind_s: float

    @classmethod
    def of(cls, looks: Sequence[Look], frames_per_byte: float, offered: int) -> Timeline:
        """Each frame takes the same room in files, nearly: `frames_per_byte`. Where frames of
        others come, more come than were `offered`."""
        every = -(-len(looks) // MOST_POINTS) or 1
        chosen = [*looks[::every], *looks[-1:]]
        waiting = [
            max(0, min(came, offered) - round(size * frames_per_byte)) for _, came, size in chosen
        ]
        stalls = _stalls(looks)
        told = [(round(start, 4), round(end, 4)) for start, end in stalls
                if end - start >= _LEAST_STALL]  # fmt: skip
        blind = [at - before
                 for (before, came_before, _), (at, came, _) in itertools.pairwise(looks)
                 if came > came_before]  # fmt: skip
        return cls(
            [round(at, 4) for at, _, _ in chosen], waiting, told,
            max((end - start for start, end in stalls), default=0.0), max(blind, default=0.0),
        )  # fmt: skip


def _stalls(looks: Sequence[Look]) -> list[tuple[float, float]]:
    """From a look after which files did not grow to the last one, before they did again, until
    which frames came."""
    found: dict[float, float] = {}
    since = looks[0][0] if looks else 0.0
    for (_, came_before, size_before), (at, came, size) in itertools.pairwise(looks):
        if size != size_before:
            since = at
        elif came > came_before:
            found[since] = at
    return list(found.items())
