"""Which tools take part, and how much they keep of a frame."""

from __future__ import annotations

from fastcap.cli.bench.scales import Listed, One
from fastcap.postfilter import MOST_SNAPLEN

_ALL = ("fastcap", "tcpdump", "dumpcap", "netsniff-ng")
_LEAST_SNAPLEN = 60  # a frame says in its first 60 bytes which one it is
_EXPECTED = f"{_LEAST_SNAPLEN} bytes or more, or 0 for all"


def _tool(word: str) -> str:
    if word not in _ALL:
        raise ValueError
    return word


def _snaplen(word: str) -> int:
    if word.isdecimal() and (int(word) == 0 or _LEAST_SNAPLEN <= int(word) <= MOST_SNAPLEN):
        return int(word)
    raise ValueError


ALL_TOOLS = ",".join(_ALL)
TOOLS = Listed("tools", _tool, f"one of {', '.join(_ALL)}")
SNAPLENS = Listed("snaplens", _snaplen, _EXPECTED)
SNAPLEN = One("snaplen", _snaplen, _EXPECTED)
