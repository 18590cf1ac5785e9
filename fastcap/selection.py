"""Which frames are asked for beside the filter: those of a time, one flow in so many, not the
first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastcap._native.postfilter import FIRST_TIME, LAST_TIME
from fastcap.errors import UsageError
from fastcap.formats.linktypes import ETHERNET, name_of

if TYPE_CHECKING:
    from fastcap.inputs import Source
    from fastcap.times import Moment

MOST_SAMPLE = 0x7FFFFFFF
MOST_SKIPPED = 1 << 62
_CUT = 1_000  # nanoseconds: a file of microseconds may say that a frame is so much earlier
_FARTHEST = 1 << 62  # nanoseconds since 1970, beyond what a record can say
# enum fc_flow_link of csrc/flow.h, by the link type's number in files
_FLOW_LINKS = {ETHERNET: 1, 113: 2, 276: 3, 101: 4, 228: 4, 229: 4}


class Selection(NamedTuple):
    """Frames from `since_ns` on and before `until_ns`, of one flow in `sample` (0: of all), which
    begin as `link` says; of those that the filter takes, not the first `skip`. `notes` are lines
    that the user should see."""

    since_ns: int = FIRST_TIME
    until_ns: int = LAST_TIME
    sample: int = 0
    link: int = 0
    skip: int = 0
    notes: tuple[str, ...] = ()

    def passes_over(self, source: Source) -> bool:
        """Whether the JSON beside a captured file proves that it lies outside the time."""
        if source.fd is not None or (self.since_ns, self.until_ns) == (FIRST_TIME, LAST_TIME):
            return False
        from fastcap.sidecar import proven_span

        span = proven_span(source.name, source.size)
        if span is None or span.first_ns is None or span.last_ns is None:
            return False
        return span.last_ns < self.since_ns or span.first_ns - _CUT >= self.until_ns


def select(
    sources: list[Source],
    *,
    since: Moment | None,
    until: Moment | None,
    sample: int | None,
    skip: int,
) -> Selection:
    """UsageError for what is no time, or where the flows of a link type are not known."""
    if since is None and until is None and sample is None and skip == 0:
        return Selection()
    from fastcap.times import nanoseconds

    local: list[str] = []
    times = []
    for name, given, none in (("since", since, FIRST_TIME), ("until", until, LAST_TIME)):
        if given is None:
            times.append(none)
        else:
            exact = nanoseconds(name, given, sources, local)
            times.append(max(-_FARTHEST, min(exact, _FARTHEST)))
    if times[0] >= times[1]:
        raise UsageError("since is not before until: nothing lies between them")
    if not 0 <= skip <= MOST_SKIPPED:
        raise UsageError(f"skip is 0 to {MOST_SKIPPED:,}, not {skip}")
    notes = [f"{' and '.join(local)}: no zone, so it is local time"] if local else []
    link = 0 if sample is None else _flow_link(sample, sources[0].header.linktype)
    return Selection(times[0], times[1], sample or 0, link, skip, tuple(notes))


def flow_link(linktype: int) -> int:
    """How frames of a link type begin (enum fc_flow_link); 0 where that is not known."""
    return _FLOW_LINKS.get(linktype, 0)


def _flow_link(sample: int, linktype: int) -> int:
    if not 1 <= sample <= MOST_SAMPLE:
        raise UsageError(f"sample is 1 to {MOST_SAMPLE:,}, not {sample}")
    if linktype not in _FLOW_LINKS:
        raise UsageError(f"sample: the flows of link type {name_of(linktype)} are not known")
    return _FLOW_LINKS[linktype]
