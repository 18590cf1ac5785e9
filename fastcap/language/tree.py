"""What an expression means, as a tree. Immutable; `at` is where in the text a term begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Blob:
    """`length` bytes from `offset` on, as a big-endian number, equal or not equal to `value`.

    False where the frame's captured bytes end before them, whichever it is.
    """

    offset: int
    length: int
    equal: bool
    value: int
    at: int = 0


@dataclass(frozen=True)
class Pcap:
    """A run of pcap-filter text. Inside it libpcap's rules hold; as a term of something larger it
    is false where it reaches past the captured bytes."""

    text: str
    at: int = 0


@dataclass(frozen=True)
class Not:
    term: Tree


@dataclass(frozen=True)
class And:
    terms: tuple[Tree, ...]


@dataclass(frozen=True)
class Or:
    terms: tuple[Tree, ...]


Tree = Union[Blob, Pcap, Not, And, Or]  # noqa: UP007 - names a type at run time on Python 3.10
