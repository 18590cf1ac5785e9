"""What the page of a bench draws: plain data, which knows nothing of how it is drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Series(NamedTuple):
    """A line. `label` begins with the tool's name; `spread` is the least and the most of each
    point, `marks` are intervals of x. All numbers are finite."""

    label: str
    points: Sequence[tuple[float, float]]
    spread: Sequence[tuple[float, float]] | None = None
    marks: Sequence[tuple[float, float]] = ()


class Lines(NamedTuple):
    """`x` and `y` say what the axes are, with the unit; `marked`, what the marks of its series are.
    `logarithmic` is the axis of x, whose values are then more than 0."""

    name: str
    title: str
    x: str
    y: str
    series: Sequence[Series]
    note: str = ""
    logarithmic: bool = False
    marked: str = ""


class Bar(NamedTuple):
    """`label` begins with the tool's name; a value of None is not known."""

    label: str
    value: float | None
    least: float | None = None
    most: float | None = None


class BarGroup(NamedTuple):
    title: str
    bars: Sequence[Bar]


class Bars(NamedTuple):
    name: str
    title: str
    unit: str
    groups: Sequence[BarGroup]
    note: str = ""


def tool_of(label: str) -> str:
    """What gets one colour in all charts.

    >>> tool_of("netsniff-ng, 64 bytes"), tool_of("fastcap")
    ('netsniff-ng', 'fastcap')
    """
    return re.split(r"[\s,:]", label, maxsplit=1)[0]


def tools_of(charts: Sequence[Lines | Bars]) -> list[str]:
    """Each once, as they come."""
    labels: list[str] = []
    for chart in charts:
        if isinstance(chart, Lines):
            labels += [series.label for series in chart.series]
        else:
            labels += [bar.label for group in chart.groups for bar in group.bars]
    return list(dict.fromkeys(map(tool_of, labels)))
