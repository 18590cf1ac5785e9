"""How much of a frame is kept, said by its headers: csrc/slice.h finds where they end."""

from __future__ import annotations

import re
from typing import NamedTuple

from fastcap.errors import UsageError
from fastcap.formats.linktypes import ETHERNET, RAW, name_of

MOST_MORE = 65535


class Slice(NamedTuple):
    """The headers up to a layer (2, 3 or 4), and `more` bytes behind them."""

    layer: int
    more: int

    def __str__(self) -> str:
        return f"l{self.layer}+{self.more}" if self.more else f"l{self.layer}"


def slice_of(text: str, linktype: int) -> Slice:
    """UsageError for what is no slice, and for a link type whose headers are not known.

    >>> slice_of("l3", 1), str(slice_of("l4+16", 101))
    (Slice(layer=3, more=0), 'l4+16')
    """
    match = re.fullmatch(r"l([234])(?:\+([0-9]{1,9}))?", text, re.ASCII)
    if match is None:
        raise UsageError(
            "--slice: l2, l3 or l4, and how many bytes more, such as l4+16; not " + repr(text)
        )
    more = int(match[2] or 0)
    if more > MOST_MORE:
        raise UsageError(f"--slice: at most {MOST_MORE:,} bytes more, not {more:,}")
    if linktype not in (ETHERNET, RAW):
        raise UsageError(
            f"--slice: the headers of {name_of(linktype)} are not known, only those of ETHERNET "
            "and RAW; -s N cuts any frame"
        )
    return Slice(int(match[1]), more)
