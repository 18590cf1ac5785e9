"""The programs of libpcap behind field names, and where in them values are compared.

A primitive is compiled with two values that occur nowhere else; the instructions that differ
compare with them. So a field is looked for exactly where libpcap looks for it, on every link type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from fastcap.errors import FilterError
from fastcap.formats.linktypes import name_of
from fastcap.language.fields import FIELDS, FieldRow
from fastcap.language.libpcap import ClassicInstruction
from fastcap.language.program import JEQ

# Two values of each kind, and the words that they are compared by.
_PROBES = {
    "ipv4": (("171.205.239.17", (0xABCDEF11,)), ("188.222.240.34", (0xBCDEF022,))),
    "ipv6": (
        (
            "a1b2:c3d4:a5b6:c7d8:a9ba:cbdc:adbe:cfde",
            (0xA1B2C3D4, 0xA5B6C7D8, 0xA9BACBDC, 0xADBECFDE),
        ),
        (
            "b1c2:d3e4:b5c6:d7e8:b9ca:dbec:bdce:dfee",
            (0xB1C2D3E4, 0xB5C6D7E8, 0xB9CADBEC, 0xBDCEDFEE),
        ),
    ),
}
_NUMBERS = {1: (0xFD, 0xFB), 2: (0xA7C1, 0xB3D5)}


class Primitive(NamedTuple):
    """`tests`: for each comparison, the instruction where it begins and the one where it ends;
    these differ where it takes several words. `rest`: instructions of such a one behind the first.
    """

    program: list[ClassicInstruction]
    tests: dict[int, int]
    rest: frozenset[int]


@lru_cache(maxsize=256)
def primitive_of(
    name: str,
    linktype: int,
    compile_pcap: Callable[[str, int], list[list[ClassicInstruction]]],
) -> Primitive:
    """The primitive of a field. FilterError where libpcap finds no such field in frames of this
    link type."""
    row = FIELDS[name.lower()]
    (one, words), (two, other_words) = _probes(row)
    try:
        (program,) = compile_pcap(row.pcap.format(one), linktype)
        (other,) = compile_pcap(row.pcap.format(two), linktype)
    except FilterError as error:
        raise FilterError(f"{error} (for {row.name})") from None
    found = _tests(program, other, words, other_words)
    if not found:
        raise FilterError(
            f"filter: {row.name}: frames of link type {name_of(linktype)} have no such field, as "
            "libpcap sees them"
        )
    rest = frozenset(
        number for first, last in found.items() for number in range(first + 1, last + 1)
    )
    return Primitive(program, found, rest)


def _probes(row: FieldRow) -> tuple[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]]:
    if row.kind == "number":
        one, two = _NUMBERS[row.length]
        return (str(one), (one,)), (str(two), (two,))
    return _PROBES[row.kind]


def _tests(
    program: list[ClassicInstruction],
    other: list[ClassicInstruction],
    words: tuple[int, ...],
    other_words: tuple[int, ...],
) -> dict[int, int]:
    """Nothing where libpcap's programs are not alike but for the values, one word after another."""
    pairs = dict(zip(words, other_words, strict=True))
    if len(program) != len(other):
        return {}
    compared = {}
    for number, (one, two) in enumerate(zip(program, other, strict=True)):
        if one != two:
            if one.code != JEQ or pairs.get(one.k) != two.k or one[:3] != two[:3]:
                return {}
            compared[number] = words.index(one.k)
    found = {}
    for number, word in compared.items():
        if word == 0:
            # a load and a comparison; before them, where headers differ in length, X once more
            step = 2 if compared.get(number + 2) == 1 else 3
            if step == 3 and len(words) > 1 and program[number + 1] != program[number - 2]:
                return {}
            last = number + step * (len(words) - 1)
            if [compared.get(at) for at in range(number, last + 1, step)] != [*range(len(words))]:
                return {}
            found[number] = last
    return found if len(found) * len(words) == len(compared) else {}
