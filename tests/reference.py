"""The filter language and the record walk in slow, plain Python: what the fast ones must equal."""

from __future__ import annotations

import random
import struct

from fastcap.language.tree import And, Blob, Not, Or, Pcap, Tree


def matches(tree: Tree, frame: bytes) -> bool:
    """Whether a frame is taken by a tree without pcap-filter text."""
    if isinstance(tree, Blob):
        there = frame[tree.offset : tree.offset + tree.length]
        if len(there) < tree.length:
            return False
        return (int.from_bytes(there, "big") == tree.value) == tree.equal
    if isinstance(tree, Not):
        return not matches(tree.term, frame)
    if isinstance(tree, And):
        return all(matches(term, frame) for term in tree.terms)
    assert isinstance(tree, Or)
    return any(matches(term, frame) for term in tree.terms)


def random_tree(rng: random.Random, depth: int = 3) -> Tree:
    """A tree of Blob comparisons whose values are small, so that they often hold."""
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        length = rng.randrange(1, 17)
        value = rng.choice((0, 1, rng.randrange(1 << 8 * length)))
        return Blob(rng.randrange(40), length, rng.random() < 0.6, value)
    if kind < 0.5:
        offset, length = rng.randrange(8), rng.choice((1, 2, 4))
        values = rng.sample(range(300 if length > 1 else 256), 20)
        wide = [value % (1 << 8 * length) for value in values]
        return Or(tuple(Blob(offset, length, True, value) for value in wide))
    if kind < 0.6:
        return Not(random_tree(rng, depth - 1))
    terms = tuple(random_tree(rng, depth - 1) for _ in range(rng.randrange(2, 4)))
    return And(terms) if kind < 0.8 else Or(terms)


def as_text(tree: Tree, rng: random.Random) -> str:
    """An expression that reads as the tree, in one of the many ways to write it."""
    if isinstance(tree, Blob):
        name = rng.choice(("Blob", "blob", "BLOB"))
        data = rng.choice(("FrameData", "framedata"))
        value = rng.choice(
            (str(tree.value), hex(tree.value), f"0X{tree.value:0{2 * tree.length}X}")
        )
        space = rng.choice(("", " ", "\n"))
        operator = "==" if tree.equal else "!="
        where = f"({data},{space}{tree.offset},{tree.length})"
        return f"{name}{space}{where}{space}{operator}{space}{value}"
    if isinstance(tree, Not):
        return f"{rng.choice(('NOT ', 'not ', '!'))}({as_text(tree.term, rng)})"
    if isinstance(tree, Pcap):
        return tree.text
    words = ("AND", "and", "&&") if isinstance(tree, And) else ("OR", "or", "||")
    return f" {rng.choice(words)} ".join(f"({as_text(term, rng)})" for term in tree.terms)


def records(data: bytes, order: str, longest: int) -> tuple[list[tuple[int, int]], int]:
    """Offset and captured length of every record of a capture, and where the walk stopped."""
    found = []
    at = 24
    while at + 16 <= len(data):
        head = data[at : at + 16]
        captured = struct.unpack(order + "I", head[8:12])[0]
        if captured > longest or at + 16 + captured > len(data) or not any(head):
            break
        found.append((at, captured))
        at += 16 + captured
    return found, at
