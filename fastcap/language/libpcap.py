"""pcap-filter text -> classic BPF, by the libpcap inside the pcapy-ng wheel."""

from __future__ import annotations

import re
from typing import NamedTuple

from fastcap.errors import FilterError
from fastcap.formats.linktypes import LONGEST_FRAME, dlt_of

# libpcap's optimiser is about cubic and holds the GIL: 3,000 unoptimised instructions, 100 hosts,
# take it 0.05 s; 12,000 take 3 s. The program means the same without it, and runs slower.
OPTIMISE_UP_TO = 3000
NETMASK = 0  # as tcpdump -r has it

_CAPITALS = re.compile(r"\b(?:AND|OR|NOT)\b")


class ClassicInstruction(NamedTuple):
    """One instruction of classic BPF, as libpcap gives it."""

    code: int
    jt: int
    jf: int
    k: int


def compile_text(text: str, linktype: int) -> list[ClassicInstruction]:
    """The program that libpcap makes of `text` for frames of a link type (a number in a file).
    FilterError with libpcap's words where it refuses."""
    import pcapy

    if "\0" in text:
        raise FilterError("filter: it holds a NUL character")
    # bytes that are no text (surrogates) cannot be in a filter that libpcap understands
    text = text.encode("utf-8", "replace").decode()
    program = _compile(pcapy, text, linktype, optimise=False)
    if len(program) <= OPTIMISE_UP_TO:
        program = _compile(pcapy, text, linktype, optimise=True)
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
    return [ClassicInstruction(*instruction) for instruction in compiled.get_bpf()]


def _refusal(text: str, words: str) -> str:
    shown = text if len(text) <= 200 else text[:200] + "…"
    hint = "\n  pcap-filter wants and, or, not in small letters" if _CAPITALS.search(text) else ""
    return f"filter: libpcap refuses it: {words}\n  {shown}{hint}"
