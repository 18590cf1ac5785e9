"""What an expression means, as a tree. Immutable; `at` is where in the text a term begins.

Named tuples, for start-up: five data classes cost 2 ms more. Tuples of equal content are equal, so
`kind` tells AND and OR apart.
"""

from __future__ import annotations

from typing import NamedTuple, Union


class Blob(NamedTuple):
    """`length` bytes from `offset` on, as a big-endian number, equal or not equal to `value`.

    False where the frame's captured bytes end before them, whichever it is.
    """

    offset: int
    length: int
    equal: bool
    value: int
    at: int = 0


class Pcap(NamedTuple):
    """A run of pcap-filter text. Inside it libpcap's rules hold; as a term of something larger it
    is false where it reaches past the captured bytes."""

    text: str
    at: int = 0


class Not(NamedTuple):
    term: Tree


class And(NamedTuple):
    terms: tuple[Tree, ...]
    kind: str = "and"


class Or(NamedTuple):
    terms: tuple[Tree, ...]
    kind: str = "or"


Tree = Union[Blob, Pcap, Not, And, Or]  # noqa: UP007 - names a type at run time on Python 3.10
