"""Moments as users write them, in nanoseconds since 1970."""

from __future__ import annotations

import datetime
import os
import re
import struct
from typing import Union

from fastcap.errors import InputError, UsageError
from fastcap.formats.pcap import HEADER_SIZE
from fastcap.inputs import Source, why

Moment = Union[str, datetime.datetime, int]  # noqa: UP007 - names a type at run time
"""RFC 3339 text, `+10s` from the first frame, a datetime, or nanoseconds since 1970."""

_SECOND = 1_000_000_000
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt _](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?\s*"
    r"([Zz]|[+-]\d\d:?[0-5]\d)?"
)
_RELATIVE = re.compile(r"\+(\d{1,18})(?:\.(\d{1,9})\d*)?\s*(ms|us|ns|s|m|h|d)?")
_UNITS = {"ns": 1, "us": 1000, "ms": 10**6, "s": _SECOND, "m": 60 * _SECOND,
          "h": 3600 * _SECOND, "d": 86400 * _SECOND}  # fmt: skip


def nanoseconds(name: str, given: Moment, sources: list[Source], local: list[str]) -> int:
    """Of a moment that the user calls `name`; text without a zone is local time, and appended to
    `local`. UsageError for what is no time."""
    if isinstance(given, int):
        return given
    if isinstance(given, datetime.datetime):
        return _of_datetime(given)
    text = given.strip()
    if match := _RELATIVE.fullmatch(text):
        whole, fraction, unit = match.groups()
        units = int(whole) * _SECOND + int((fraction or "").ljust(9, "0"))
        return _first_frame(name, sources) + units * _UNITS[unit or "s"] // _SECOND
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, minutes, seconds, fraction, zone = match.groups()
        leaps = seconds == "60"  # a leap second, which POSIX takes for the second after it
        zone = "+00:00" if zone in ("Z", "z") else zone or ""
        if len(zone) == 5:
            zone = f"{zone[:3]}:{zone[3:]}"
        when = datetime.datetime.fromisoformat(
            f"{day}T{minutes or '00:00'}:{'59' if leaps else seconds or '00'}{zone}"
        )
        whole_seconds = _of_datetime(when) + leaps * _SECOND
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name}: {given!r} is no time: expected 2026-11-21T08:30:00Z, or +10s from the first "
            "frame"
        ) from None
    if not zone:
        local.append(text)
    return whole_seconds + int((fraction or "").ljust(9, "0"))


def _of_datetime(when: datetime.datetime) -> int:
    """One without a zone is local time."""
    aware = when if when.tzinfo else when.astimezone()
    since = aware - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (since.days * 86400 + since.seconds) * _SECOND + since.microseconds * 1000


def _first_frame(name: str, sources: list[Source]) -> int:
    """The time of the first frame of the first input that has one."""
    for source in sources:
        if source.fd is not None:
            raise UsageError(f"{name}: +… needs files: {source.name} is read only once")
        try:
            with open(source.name, "rb") as file:
                record = os.pread(file.fileno(), 16, HEADER_SIZE)
        except OSError as error:
            raise InputError(f"{source.name}: {why(error)}") from error
        if len(record) == 16:
            order = "<" if source.header.little_endian else ">"
            fields: tuple[int, int, int] = struct.unpack(order + "III4x", record)
            seconds, fraction, captured = fields
            whole = captured <= source.size - HEADER_SIZE - len(record)
            if not any(record) or not whole or captured > source.header.layout.max_captured:
                continue  # damage, which nobody reads behind
            return seconds * _SECOND + fraction * (1 if source.header.nanoseconds else 1000)
    raise UsageError(f"{name}: +… counts from the first frame, and there is none")
