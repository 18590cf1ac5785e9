"""pcap-filter text -> classic BPF, by the libpcap inside the pcapy-ng wheel."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from fastcap.errors import FilterError
from fastcap.formats.linktypes import LONGEST_FRAME, dlt_of
from fastcap.language.fields import meant
from fastcap.language.parser import alternatives
from fastcap.language.text import plain
from fastcap.patterns import pattern

# libpcap's optimiser is about cubic and holds the GIL: 6,000 unoptimised instructions, 200 hosts,
# take it 0.4 s; 12,000 take 3 s. A program without it runs slower, and may load bytes that an
# optimised one does not need: then it rejects a short frame which that one would not.
OPTIMISE_UP_TO = 6000
# Without the optimiser libpcap is still quadratic (500 hosts 0.6 s, 500 portranges 3.6 s, on Wi-Fi
# 4.9 s, 1,000 of them 30 s), and recurses on the stack: 10,000 end the process. What can be
# compiled in parts is; the rest has this limit.
MOST_JOINS = 500
# Sums are quadratic too: 6,000 operators take 0.3 to 3 s, and 500,000 more than the 30 s we waited.
MOST_OPERATORS = 6000
_PART = 50  # terms
NETMASK = 0  # as tcpdump -r has it

_ANCILLARY = 0xFFFFF000  # offsets from here on are no bytes of the frame
_DIRECTIONS = pattern(r"\b(?:inbound|outbound)\b")
_OPERATORS = pattern(r"[-+*/%^]|&&?|\|\|?")
_HABITS = (
    (r"\b(?:AND|OR|NOT)\b", "pcap-filter wants and, or, not in small letters"),
    (r"\b(?:eq|ne|gt|ge|lt|le)\b", "comparisons are == != < <= > >="),
    (r"\bcontains\b", 'bytes are found anywhere by ContainsBin(FrameData, ASCII, "text")'),
    (
        r"(?:^|\band|\bor|\bnot|[!(&|])\s*(?:https?|tls|ssl|dns|ssh|ntp|dhcp|bootp|smb2?|sip|rtp)\b",
        "pcap-filter knows no protocol above TCP and UDP: say its port, as in 'tcp port 443'",
    ),
)
_FIELD = pattern(r"(?<![\w.])(?:[a-z]\w{0,40}(?:\.\w{1,40}){1,3}|framelength)", re.IGNORECASE)
_JOINS = pattern(r"\b(?:and|or)\b|&&|\|\|", re.IGNORECASE)


class ClassicInstruction(NamedTuple):
    """One instruction of classic BPF, as libpcap gives it."""

    code: int
    jt: int
    jf: int
    k: int


@lru_cache(maxsize=16)  # a filter is compiled with and without tags, and for the kernel
def compile_text(text: str, linktype: int) -> list[list[ClassicInstruction]]:
    """The programs that libpcap makes of `text` for frames of a link type (a number in a file):
    one, or of a long text several, of which one must take the frame. FilterError with libpcap's
    words where it refuses, or where the text is too long for it."""
    if "\0" in text:
        raise FilterError("filter: it holds a NUL character")
    # bytes that are no text (surrogates) cannot be in a filter that libpcap understands
    text = text.encode("utf-8", "replace").decode()
    if len(_JOINS.findall(text)) < _PART:
        _check_size(text)
        return [_compile_part(text, linktype)]
    terms = alternatives(text)
    parts = [" or ".join(terms[i : i + _PART]) for i in range(0, len(terms), _PART)]
    for part in parts:
        _check_size(part)
    return [_compile_part(part, linktype, alone=len(parts) == 1) for part in parts]


def _check_size(text: str) -> None:
    if len(_JOINS.findall(text)) > MOST_JOINS:
        raise FilterError(
            f"filter: more than {MOST_JOINS:,} terms are too many for libpcap, unless they are "
            "joined by nothing but 'or' and each says what it is ('host A or host B'); many "
            "values are a set: IPv4.Address IN @FILE"
        )
    if len(_OPERATORS.findall(text)) > MOST_OPERATORS:
        raise FilterError(
            f"filter: more than {MOST_OPERATORS:,} operators are too many for libpcap"
        )


def _compile_part(text: str, linktype: int, *, alone: bool = True) -> list[ClassicInstruction]:
    import pcapy

    program = _compile(pcapy, text, linktype, optimise=False)
    if len(program) > OPTIMISE_UP_TO:
        return program
    try:
        return _compile(pcapy, text, linktype, optimise=True)
    except FilterError:  # that it takes no frame is a reason to refuse a whole text only
        if alone:
            raise
        return program


def _compile(
    pcapy: object, text: str, linktype: int, *, optimise: bool
) -> list[ClassicInstruction]:
    try:
        compiled = pcapy.compile(  # type: ignore[attr-defined]
            dlt_of(linktype), LONGEST_FRAME, text, int(optimise), NETMASK
        )
    except Exception as error:  # pcapy.PcapError, whose base is Exception
        raise FilterError(_refusal(text, str(error))) from None
    program = [ClassicInstruction(*instruction) for instruction in compiled.get_bpf()]
    ancillary = any(
        code & 7 == 0 and code & 0xE0 in (0x20, 0x40) and k >= _ANCILLARY
        for code, _, _, k in program
    )
    if ancillary and _DIRECTIONS.search(text):
        words = "a captured frame does not say its direction: capture with -Q in or -Q out"
        raise FilterError(_refusal(text, words))
    return program


def _refusal(text: str, words: str) -> str:
    shown = [f"filter: libpcap refuses it: {plain(words, 300)}", plain(text, 200)]
    return "\n  ".join([*shown, *_hints(text)])


def _hints(text: str) -> list[str]:
    """What other filters' users may have meant."""
    found = [hint for pattern, hint in _HABITS if re.search(pattern, text)]
    fields = (meant(match.group()) for match in _FIELD.finditer(text[:200]))
    field = next((field for field in fields if field), None)
    return found + ([f"a field is compared: {field} == …"] if field else [])
