"""What an expression means, as a tree. Immutable; `at` is where in the text a term begins.

Named tuples, for start-up: five data classes cost 2 ms more. Tuples of equal content are equal, so
`kind` tells AND and OR apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from fastcap.language.ranges import Ranges


class Blob(NamedTuple):
    """`length` bytes of the frame from `offset` on, as a big-endian number."""

    offset: int
    length: int


class Field(NamedTuple):
    """A row of fastcap.language.fields, by its name."""

    name: str


class Compare(NamedTuple):
    """`operand & mask` compared with `value`; `mask` None keeps all bits. False where the frame's
    captured bytes end before those of the operand, or the frame has no such field, whatever the
    operator.

    A field with two directions holds where either does, but "!=" only where both do; so does
    Protocol, of which IPv6's fragments have two.
    """

    operand: Blob | Field
    operator: str  # == != < <= > >=
    value: int
    mask: int | None = None
    at: int = 0


class Among(NamedTuple):
    """`operand & mask` is in one of `ranges`; else as Compare. `source`: the file they are from."""

    operand: Blob | Field
    ranges: Ranges
    mask: int | None = None
    source: str = ""
    at: int = 0


class Contains(NamedTuple):
    """`pattern` is somewhere in the frame's captured bytes."""

    pattern: bytes
    at: int = 0
    kind: str = "contains"


class Pcap(NamedTuple):
    """A run of pcap-filter text. Inside it libpcap's rules hold; as a term of something larger it
    is false where it reaches past the captured bytes. Empty text takes every frame."""

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


# names a type at run time on Python 3.10
Tree = Union[Compare, Among, Contains, Pcap, Not, And, Or]  # noqa: UP007


def terms_of(tree: Tree) -> list[Compare | Among | Contains | Pcap]:
    """The terms that AND, OR and NOT join, in the order of the text."""
    if isinstance(tree, Not):
        return terms_of(tree.term)
    if isinstance(tree, (And, Or)):
        return [found for term in tree.terms for found in terms_of(term)]
    return [tree]


def as_json(tree: Tree) -> dict[str, Any]:
    """The tree in dictionaries, lists, text and numbers."""
    if isinstance(tree, (And, Or)):
        return {tree.kind: [as_json(term) for term in tree.terms]}
    if isinstance(tree, Not):
        return {"not": as_json(tree.term)}
    if isinstance(tree, Pcap):
        return {"pcap": tree.text}
    if isinstance(tree, Contains):
        return {"contains": tree.pattern.hex()}
    operand = tree.operand
    found: dict[str, Any] = (
        {"field": operand.name} if isinstance(operand, Field) else {"blob": list(operand)}
    )
    if tree.mask is not None:
        found["mask"] = tree.mask
    if isinstance(tree, Compare):
        return {**found, "operator": tree.operator, "value": tree.value}
    return {**found, "operator": "in", "ranges": [list(pair) for pair in tree.ranges]}
