"""The record of a file that fastcap wrote: one shape for every command."""

from __future__ import annotations

from typing import Any, NamedTuple

_SECOND = 1_000_000_000


class Span(NamedTuple):
    """How many frames, and their earliest and latest time in nanoseconds since 1970; the times
    are None where there are no frames. Spans join in any grouping to the same result."""

    frames: int = 0
    first_ns: int | None = None
    last_ns: int | None = None

    def joined(self, other: Span) -> Span:
        """The span of both.

        >>> Span(2, 10, 20).joined(Span()).joined(Span(1, 5, 5))
        Span(frames=3, first_ns=5, last_ns=20)
        """
        if self.first_ns is None or other.first_ns is None:
            return other if self.first_ns is None else self
        assert self.last_ns is not None
        assert other.last_ns is not None
        return Span(
            self.frames + other.frames,
            min(self.first_ns, other.first_ns),
            max(self.last_ns, other.last_ns),
        )


class Segment(NamedTuple):
    """A finished file: its path, its length in bytes, and what it spans."""

    path: str
    bytes: int
    span: Span

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "frames": self.span.frames,
            "bytes": self.bytes,
            **times_as_json(self.span),
        }


def times_as_json(span: Span) -> dict[str, Any]:
    """`first_ns`, `last_ns`, and the same as text in `first` and `last`."""
    return {
        "first_ns": span.first_ns,
        "last_ns": span.last_ns,
        "first": rfc3339(span.first_ns),
        "last": rfc3339(span.last_ns),
    }


def rfc3339(nanoseconds: int | None) -> str | None:
    """A time as RFC 3339 text in UTC, with all nine digits.

    >>> rfc3339(1_700_000_000_000_000_001)
    '2023-11-14T22:13:20.000000001Z'
    """
    if nanoseconds is None:
        return None
    import time

    seconds, fraction = divmod(nanoseconds, _SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09}Z"
