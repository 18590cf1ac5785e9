"""The highest rate, or the lowest quota, at which a tool loses nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

from fastcap.bench.runs import Case, Run

SEARCHES = 3
STEPS = 6  # of a search, each of which halves what is left
LEAST_SHARE = 0.01  # of the fastest rate, and of a processor: nothing below is tried
LEAST_QUOTA, MOST_QUOTA = 1.0, 100.0

Try = Callable[[Case], Run]


class Limit(NamedTuple):
    """`found` by each search: frames a second that were offered without a loss, or percent of a
    processor that sufficed; None where there was a loss at the easiest that was tried.
    `unlimited`: in a search nothing was lost at the hardest either, so the limit is there or beyond
    it."""

    tool: str
    case: Case
    found: tuple[float | None, ...]
    unlimited: bool

    @property
    def known(self) -> list[float]:
        return [value for value in self.found if value is not None]

    @property
    def median(self) -> float | None:
        return statistics.median(self.known) if len(self.known) == len(self.found) else None


def runs_at_most() -> int:
    """Of one tool and case."""
    return SEARCHES * (STEPS + 2)


def highest_rate(tool: str, case: Case, attempt: Try) -> Limit:
    """Frames a second. The fastest that can be sent is the hardest; what is between that and a
    hundredth of it is halved by ratio. Where loss is a matter of chance a search finds one of the
    highest rates, not the highest: hence several."""
    found: list[float | None] = []
    unlimited = False
    for _ in range(SEARCHES):
        fastest = attempt(case._replace(rate=0))
        if not fastest.lost:
            found.append(fastest.rate)
            unlimited = True
            continue
        reached: dict[float, float] = {}

        def loses_nothing(rate: float, reached: dict[float, float] = reached) -> bool:
            run = attempt(case._replace(rate=rate))
            reached[rate] = run.rate
            return not run.lost

        limit = _search(fastest.rate * LEAST_SHARE, fastest.rate, loses_nothing)
        found.append(None if limit is None else reached[limit])
    return Limit(tool, case, tuple(found), unlimited)


def lowest_quota(tool: str, case: Case, attempt: Try) -> Limit:
    """Percent of one processor, between 1 and 100."""
    found: list[float | None] = []
    unlimited = False

    def loses_nothing(inverse: float) -> bool:
        return not attempt(case._replace(quota=1 / inverse)).lost

    for _ in range(SEARCHES):
        if loses_nothing(1 / LEAST_QUOTA):
            found.append(LEAST_QUOTA)
            unlimited = True
            continue
        limit = _search(1 / MOST_QUOTA, 1 / LEAST_QUOTA, loses_nothing)
        found.append(None if limit is None else round(1 / limit, 3))
    return Limit(tool, case, tuple(found), unlimited)


def _search(easiest: float, hardest: float, loses_nothing: Callable[[float], bool]) -> float | None:
    """The hardest at which nothing is lost, as far as STEPS halvings tell; `hardest` does. None
    where the easiest does too."""
    if not loses_nothing(easiest):
        return None
    low, high = easiest, hardest
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        if loses_nothing(middle):
            low = middle
        else:
            high = middle
    return low
