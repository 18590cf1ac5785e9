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
    (from, to).

    A tool that writes in pieces of 4 MiB has a stall between any two of them where few frames come.
    """

    seconds: Sequence[float]
    waiting: Sequence[int]
    stalls: Sequence[tuple[float, float]]

    @classmethod
    def of(cls, looks: Sequence[Look], frames_per_byte: float, offered: int) -> Timeline:
        """Each frame takes the same room in files, nearly: `frames_per_byte`. Where frames of
        others come, more come than were `offered`."""
        every = -(-len(looks) // MOST_POINTS) or 1
        chosen = [*looks[::every], *looks[-1:]]
        waiting = [
            max(0, min(came, offered) - round(size * frames_per_byte)) for _, came, size in chosen
        ]
        return cls([round(at, 4) for at, _, _ in chosen], waiting, _stalls(looks))


def _stalls(looks: Sequence[Look]) -> list[tuple[float, float]]:
    """From a look after which files did not grow to the last one before they did again."""
    found: list[tuple[float, float]] = []
    since: tuple[float, int] | None = None
    for (before, came_before, size_before), (_, _, size) in itertools.pairwise(looks):
        if size == size_before:
            since = since or (before, came_before)
            continue
        if since is not None and before - since[0] >= _LEAST_STALL and came_before > since[1]:
            found.append((round(since[0], 4), round(before, 4)))
        since = None
    if since is not None and looks[-1][0] - since[0] >= _LEAST_STALL and looks[-1][1] > since[1]:
        found.append((round(since[0], 4), round(looks[-1][0], 4)))
    return found
