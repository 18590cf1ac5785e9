"""Sets of numbers as ranges: first and last number of each, ascending and apart."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
Ranges = tuple[Range, ...]


def joined(ranges: Iterable[Range]) -> Ranges:
    """The same numbers as ranges that ascend and are apart; neighbours become one.

    >>> joined([(7, 9), (1, 1), (2, 4), (8, 12)])
    ((1, 4), (7, 12))
    """
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return tuple(result)


def others(ranges: Ranges, most: int) -> Ranges:
    """The numbers from 0 to `most` that are in none of the ranges.

    >>> others(((0, 1), (5, 5)), 9)
    ((2, 4), (6, 9))
    """
    result = []
    next_one = 0
    for first, last in ranges:
        if first > next_one:
            result.append((next_one, first - 1))
        next_one = last + 1
    if next_one <= most:
        result.append((next_one, most))
    return tuple(result)


def where(operator: str, value: int, most: int) -> Ranges:
    """The numbers from 0 to `most` that compare so with `value`.

    >>> where("!=", 3, 9), where("<", 0, 9), where(">=", 4, 9)
    (((0, 2), (4, 9)), (), ((4, 9),))
    """
    if operator == "!=":
        return others(((value, value),), most)
    low, high = {
        "==": (value, value),
        "<": (0, value - 1),
        "<=": (0, value),
        ">": (value + 1, most),
        ">=": (value, most),
    }[operator]
    return ((low, high),) if low <= high else ()


def count(ranges: Ranges) -> int:
    """How many numbers there are.

    >>> count(((1, 4), (7, 7)))
    5
    """
    return sum(last - first + 1 for first, last in ranges)


def covered(ranges: Ranges, bits: int, most: int) -> Ranges:
    """At most `most` ranges that hold all of these and more: networks with shorter and shorter
    prefixes of numbers of `bits` bits.

    >>> covered(((0x0a000001, 0x0a000001), (0x0a000005, 0x0a000005)), 32, 1) == (
    ...     (0x0a000000, 0x0a000007),)
    True
    """
    size = 1
    while len(ranges) > most and size < 1 << bits:
        size *= 2
        ranges = joined((first // size * size, last // size * size + size - 1)
                        for first, last in ranges)  # fmt: skip
    return ranges
