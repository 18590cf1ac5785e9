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


class Gap(NamedTuple):
    """Frames that the ring dropped are missing before a record of a file: its number, from 0 on,
    how many, and its time. Behind the last record of a capture the number is that of the file's
    frames, and the time None."""

    before_frame: int
    frames: int
    time_ns: int | None

    def as_json(self) -> dict[str, Any]:
        return {**self._asdict(), "time": rfc3339(self.time_ns)}


_MOST_GAPS = 100  # that are listed of one file


class Gaps(NamedTuple):
    """The gaps of a file in the order of its records, at most 100, how many more there are, and the
    frames that are missing in all of them."""

    listed: tuple[Gap, ...] = ()
    left_out: int = 0
    frames: int = 0

    def joined(self, other: Gaps) -> Gaps:
        """These, and the other's behind them.

        >>> one = Gaps((Gap(3, 10, 5),), 0, 10)
        >>> one.joined(Gaps((Gap(7, 1, 6),), 2, 9)).as_json()["frames_dropped_within"]
        19
        """
        listed = (self.listed + other.listed)[:_MOST_GAPS]
        number = len(self.listed) + self.left_out + len(other.listed) + other.left_out
        return Gaps(listed, number - len(listed), self.frames + other.frames)

    def unlisted(self) -> Gaps:
        """The same without saying where."""
        return Gaps((), len(self.listed) + self.left_out, self.frames)

    def as_json(self) -> dict[str, Any]:
        return {
            "frames_dropped_within": self.frames,
            "gaps": [gap.as_json() for gap in self.listed],
            **({"gaps_left_out": self.left_out} if self.left_out else {}),
        }


class Segment(NamedTuple):
    """A finished file: its path, its length in bytes, what it spans, and for captured ones where
    frames are missing in it."""

    path: str
    bytes: int
    span: Span
    gaps: Gaps | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "frames": self.span.frames,
            "bytes": self.bytes,
            **times_as_json(self.span),
            **(self.gaps.as_json() if self.gaps is not None else {}),
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
