"""Rates, shares, times and speeds, as words of a command line."""

from __future__ import annotations

import re

import click

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
