"""Rates, shares, times and speeds, as words of a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

import click

T = TypeVar("T")

_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_TIMES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"([0-9]{1,30}(?:\.[0-9]{1,30})?)"


class _Scaled(click.ParamType[float]):
    """A number and what multiplies it."""

    def __init__(self, name: str, pattern: str, units: dict[str, float], expected: str) -> None:
        self.name = name
        self.pattern = pattern
        self.units = units
        self.expected = expected

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(_NUMBER + self.pattern, str(value).strip(), re.I)
        if match is None:
            self.fail(f"{value!r}: expected {self.expected}")
        return float(match[1]) * self.units[match[2].lower()]


RATE = _Scaled(
    "rate", r"\s*([kmgt]?)(?:bit)?(?:/s)?", dict(_THOUSANDS), "bits a second, such as 10G or 2.5G"
)
PPS = _Scaled("pps", r"\s*([kmg]?)", dict(_THOUSANDS), "frames a second, such as 14.88M")
SHARE = _Scaled("share", r"\s*(%)", {"%": 0.01}, "a share in percent, such as 1% or 0.5%")
TIME = _Scaled("time", r"\s*([smhd]?)", dict(_TIMES), "a time, such as 2, 500s or 10m")
SPEED = _Scaled(
    "speed", r"\s*([kmgt])(?:b?(?:/s)?)", dict(_THOUSANDS), "bytes a second, such as 900M or 1.2G"
)


class Listed(click.ParamType[list[T]], Generic[T]):
    """Several of a kind with commas between them, each once. `each` raises ValueError."""

    def __init__(self, name: str, each: Callable[[str], T], expected: str) -> None:
        self.name = name
        self.each = each
        self.expected = expected

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[T]:
        found = []
        for word in str(value).split(","):
            try:
                found.append(self.each(word.strip()))
            except ValueError:
                self.fail(f"{word.strip()!r}: expected {self.expected}")
        return list(dict.fromkeys(found))


class One(click.ParamType[T], Generic[T]):
    """One of a kind. `each` raises ValueError."""

    def __init__(self, name: str, each: Callable[[str], T], expected: str) -> None:
        self.name = name
        self.each = each
        self.expected = expected

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return self.each(str(value).strip())
        except ValueError:
            self.fail(f"{value!r}: expected {self.expected}")


def rate_or_max(word: str) -> float:
    """Frames a second; 0 is as fast as they go."""
    if word.lower() == "max":
        return 0.0
    rate = _scaled(PPS, word)
    if not 1 <= rate <= 1e9:
        raise ValueError
    return rate


def quota_or_none(word: str) -> float | None:
    """Percent of one processor; more than 100 are parts of several."""
    if word.lower() == "none":
        return None
    percent = 100 * _scaled(SHARE, word)
    if not 1 <= percent <= 10_000:  # the kernel wants 1 ms of 100
        raise ValueError
    return percent


def _scaled(scale: _Scaled, word: str) -> float:
    try:
        return scale.convert(word, None, None)
    except click.BadParameter:
        raise ValueError from None
