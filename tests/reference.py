"""The filter language and the record walk in slow, plain Python: what the fast ones must equal."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from fastcap.language.fields import FIELDS
from fastcap.language.ranges import joined
from fastcap.language.tree import (
    Among,
    And,
    Blob,
    Compare,
    Contains,
    Field,
    Not,
    Or,
    Pcap,
    Tree,
)

TPIDS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")


class Seen(NamedTuple):
    """An Ethernet frame: its captured bytes, and its length on the wire."""

    data: bytes
    wire: int


def without_tags(frame: Seen) -> Seen:
    data, wire = frame
    while data[12:14] in TPIDS:
        data, wire = data[:12] + data[16:], max(0, wire - 4)
    return Seen(data, wire)


# ---- Fields -------------------------------------------------------------------------------------


def fields(frame: bytes, name: str, wire: int) -> Iterator[int | None]:
    """The values of a field in a frame, in the order in which libpcap looks at them: nothing where
    there is no such field, None where its bytes are missing, which ends the search."""

    def number(offset: int, length: int) -> int | None:
        there = frame[offset : offset + length]
        return int.from_bytes(there, "big") if len(there) == length else None

    protocol, _, what = name.partition(".")
    if name == "FrameLength":
        yield wire
    elif name == "Ethernet.Type":
        yield number(12, 2)
    elif protocol == "Ethernet":
        yield from (number(at, 6) for at in _sides(what, 6, 0))
    elif len(frame) < 14:
        yield None
    elif protocol in ("IPv4", "IPv6"):
        source, destination, length, kind = (
            (26, 30, 4, 0x0800) if protocol == "IPv4" else (22, 38, 16, 0x86DD)
        )
        if number(12, 2) == kind:
            yield from (number(at, length) for at in _sides(what, source, destination))
    elif name == "Protocol":
        yield from _protocols(number)
    else:
        yield from _ports(number, 6 if protocol == "TCP" else 17, what)


def _sides(what: str, source: int, destination: int) -> list[int]:
    if what.startswith("S"):
        return [source]
    return [destination] if what.startswith("D") else [source, destination]


def _protocols(number) -> Iterator[int | None]:  # type: ignore[no-untyped-def]
    kind = number(12, 2)
    if kind == 0x0800:
        yield number(23, 1)
    elif kind == 0x86DD:
        following = number(20, 1)
        yield following
        if following == 44:
            yield number(54, 1)


def _ports(number, protocol: int, what: str) -> Iterator[int | None]:  # type: ignore[no-untyped-def]
    kind = number(12, 2)
    if kind == 0x86DD and number(20, 1) == protocol:
        start = 54
    elif kind == 0x0800 and number(23, 1) == protocol:
        fragment, first = number(20, 2), number(14, 1)
        if fragment is None or fragment & 0x1FFF:
            return
        start = 14 + 4 * (first & 0xF)
    else:
        if (kind == 0x86DD and number(20, 1) is None) or (kind == 0x0800 and number(23, 1) is None):
            yield None
        return
    yield from (number(at, 2) for at in _sides(what, start, start + 2))


# ---- Trees --------------------------------------------------------------------------------------


def matches(tree: Tree, frame: bytes, wire: int | None = None, *, vlan: str = "wire") -> bool:
    """Whether a frame is taken by a tree whose pcap-filter text is of CHUNKS, in a mix."""
    seen = Seen(frame, len(frame) if wire is None else wire)
    return _matches(tree, seen, without_tags(seen) if vlan == "skip" else seen)


def _matches(tree: Tree, frame: Seen, bare: Seen) -> bool:
    if isinstance(tree, Not):
        return not _matches(tree.term, frame, bare)
    if isinstance(tree, And):
        return all(_matches(term, frame, bare) for term in tree.terms)
    if isinstance(tree, Or):
        return any(_matches(term, frame, bare) for term in tree.terms)
    if isinstance(tree, Contains):
        return tree.pattern in frame.data
    if isinstance(tree, Pcap):
        tree = of_chunk(tree.text)
    if isinstance(tree.operand, Field):
        return _field_matches(tree, tree.operand.name, bare)
    offset, length = tree.operand
    there = frame.data[offset : offset + length]
    return len(there) == length and _holds(tree, int.from_bytes(there, "big"))


# Primitives of pcap-filter that take what a field's comparison takes, missing bytes included: of
# `ether proto` only for types that libpcap does not look for behind LLC.
CHUNKS = {
    "ip host": "IPv4.Address",
    "ip src host": "IPv4.SourceAddress",
    "ip6 host": "IPv6.Address",
    "ip6 dst host": "IPv6.DestinationAddress",
    "tcp port": "TCP.Port",
    "tcp dst port": "TCP.DstPort",
    "udp src port": "UDP.SrcPort",
    "ether proto": "Ethernet.Type",
}


def of_chunk(text: str) -> Compare:
    primitive, _, value = text.rpartition(" ")
    number = int(ip_address(value)) if primitive.endswith("host") else int(value)
    return Compare(Field(CHUNKS[primitive]), "==", number)


def _field_matches(term: Compare | Among, name: str, frame: Seen) -> bool:
    directions = FIELDS[name.lower()].directions
    if directions and isinstance(term, Compare) and term.operator == "!=":
        return all(_field_matches(term, direction, frame) for direction in directions)
    if name == "Protocol" and isinstance(term, Compare) and term.operator == "!=":
        found = list(fields(frame.data, name, frame.wire))
        return bool(found) and None not in found and term.value not in found
    for value in fields(frame.data, name, frame.wire):
        if value is None and not name.startswith("Ethernet."):  # two loads of their own
            return False
        if value is not None and _holds(term, value):
            return True
    return False


def _holds(term: Compare | Among, value: int) -> bool:
    if term.mask is not None:
        value &= term.mask
    if isinstance(term, Among):
        return any(first <= value <= last for first, last in term.ranges)
    return {
        "==": value == term.value,
        "!=": value != term.value,
        "<": value < term.value,
        "<=": value <= term.value,
        ">": value > term.value,
        ">=": value >= term.value,
    }[term.operator]


# ---- Random trees -------------------------------------------------------------------------------

OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
ADDRESSES = (0x0A234567, 0x0A000001, 0xC0A80107, 0x0A010203)


def random_tree(rng: random.Random, depth: int = 3, *, fields: bool = False) -> Tree:
    """A tree of all kinds of terms, with values that often hold; with `fields` pcap-filter text
    too: never alone, under NOT, or beside other such text, since libpcap's rule would hold."""
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        return random_term(rng, fields=fields)
    if kind < 0.5:
        offset, length = rng.randrange(8), rng.choice((1, 2, 4))
        values = rng.sample(range(300 if length > 1 else 256), 20)
        alike = [Compare(Blob(offset, length), "==", value) for value in values]
        return Or(tuple(alike))
    if kind < 0.6:
        return Not(random_tree(rng, depth - 1, fields=fields))
    terms = [random_tree(rng, depth - 1, fields=fields) for _ in range(rng.randrange(2, 4))]
    if fields and rng.random() < 0.3:
        terms[rng.randrange(len(terms))] = random_chunk(rng)
    return And(tuple(terms)) if kind < 0.8 else Or(tuple(terms))


def random_chunk(rng: random.Random) -> Pcap:
    primitive = rng.choice(list(CHUNKS))
    if primitive == "ether proto":
        return Pcap(f"{primitive} {rng.choice((0x0800, 0x86DD, 0x0806, 0x8100, 0x88B5))}")
    if primitive.endswith("port"):
        return Pcap(f"{primitive} {rng.choice((22, 53, 80, 443, 9))}")
    make, length = (IPv6Address, 16) if primitive.startswith("ip6") else (IPv4Address, 4)
    return Pcap(f"{primitive} {make(random_value(rng, length))}")


def random_term(rng: random.Random, *, fields: bool) -> Tree:
    if rng.random() < 0.08:
        return Contains(bytes(rng.choice((0, 1, 6, 255)) for _ in range(rng.randrange(1, 4))))
    operand: Blob | Field
    if fields and rng.random() < 0.5:
        operand = Field(rng.choice([row.name for row in FIELDS.values()]))
        length = FIELDS[operand.name.lower()].length
    else:
        length = rng.randrange(1, 17)
        operand = Blob(rng.randrange(40), length)
    most = (1 << 8 * length) - 1
    mask = None
    if isinstance(operand, Blob) and rng.random() < 0.2:
        mask = rng.choice((0xF0, 0x0F, rng.randrange(most + 1))) & most
        mask = None if mask in (0, most) else mask
    networks = length in (4, 16) and operand != Field("FrameLength")
    if rng.random() < 0.3 and (mask is None or length in (1, 2, 4)):
        return Among(operand, random_ranges(rng, length, mask, networks), mask)
    operator = rng.choice(OPERATORS if rng.random() < 0.5 else ("==", "!="))
    value = random_value(rng, length)
    if mask is not None and operator in ("==", "!="):
        value &= mask
    return Compare(operand, operator, value, mask)


def random_value(rng: random.Random, length: int) -> int:
    most = (1 << 8 * length) - 1
    likely: tuple[int, ...] = (0, 1, most, rng.randrange(most + 1))
    if length == 2:
        likely += (0x0800, 0x86DD, 0x8100, 80, 443, 53)
    if length == 4:
        likely += (*ADDRESSES, 60, 64, 100)
    if length == 1:
        likely += (6, 17, 0x45)
    if length == 6:
        likely += (0x020000000001, 0x0200000000FF)
    if length == 16:
        likely += (0xFE80 << 112 | 5, 0x20010DB8 << 96 | 1)
    return rng.choice(likely)


def random_ranges(
    rng: random.Random, length: int, mask: int | None, networks: bool
) -> tuple[tuple[int, int], ...]:
    found = []
    widest = 8 * length if networks else 4  # bits; a text names other values one by one
    for _ in range(rng.choice((1, 2, 3, 12, 40))):
        near = rng.randrange(1 << 8 * min(length, 2))
        value = random_value(rng, length) if rng.random() < 0.5 else near
        if mask is not None:
            value &= mask
        host = 0 if mask is not None or rng.random() < 0.7 else (1 << rng.randrange(widest)) - 1
        found.append((value & ~host, value | host))
    return joined(found)


def as_text(tree: Tree, rng: random.Random) -> str:
    """An expression that reads as the tree, in one of the many ways to write it."""
    if isinstance(tree, Contains):
        if tree.pattern.isascii() and tree.pattern.decode().isalnum():
            return f"ContainsBin(FrameData, ASCII, '{tree.pattern.decode()}')"
        return f'containsbin ( framedata,hex , "{tree.pattern.hex(rng.choice(("x:", " "))[-1])}" )'
    if isinstance(tree, (Compare, Among)):
        return _comparison_text(tree, rng)
    if isinstance(tree, Not):
        return f"{rng.choice(('NOT ', 'not ', '!'))}({as_text(tree.term, rng)})"
    if isinstance(tree, Pcap):
        return tree.text
    words = ("AND", "and", "&&") if isinstance(tree, And) else ("OR", "or", "||")
    return f" {rng.choice(words)} ".join(f"({as_text(term, rng)})" for term in tree.terms)


def _comparison_text(term: Compare | Among, rng: random.Random) -> str:
    space = rng.choice(("", " ", "\n"))
    if isinstance(term.operand, Field):
        name = rng.choice((term.operand.name, term.operand.name.lower()))
        kind = FIELDS[name.lower()].kind
        length = FIELDS[name.lower()].length
    else:
        name = rng.choice(("Blob", "blob", "BLOB"))
        data = rng.choice(("FrameData", "framedata"))
        name += f"({data},{space}{term.operand.offset},{term.operand.length})"
        kind, length = "blob", term.operand.length
    if term.mask is not None:
        name += f"{space}&{space}0x{term.mask:x}"
    if isinstance(term, Compare):
        return f"{name}{space}{term.operator}{space}{_value_text(term.value, kind, length, rng)}"
    words = []
    for first, last in term.ranges:
        words += _range_words(first, last, kind, length, rng)
    return f"{name} {rng.choice(('IN', 'in'))} {{{(', ' + space).join(words)}}}"


def _range_words(first: int, last: int, kind: str, length: int, rng: random.Random) -> list[str]:
    """Networks, or every value."""
    words = []
    while first <= last:
        bits = 0
        while length in (4, 16) and kind != "number" and (
            first % (2 << bits) == 0 and first + (2 << bits) - 1 <= last
        ):  # fmt: skip
            bits += 1
        if bits:
            address = _value_text(first, "ipv4" if length == 4 else "ipv6", length, rng)
            words.append(f"{address}/{8 * length - bits}")
        else:
            words.append(_value_text(first, kind, length, rng))
        first += 1 << bits
    return words


def _value_text(value: int, kind: str, length: int, rng: random.Random) -> str:
    data = value.to_bytes(length, "big")
    forms = [str(value), hex(value), f"0X{data.hex()}"]
    if length == 4 and kind != "number":
        forms.append(".".join(map(str, data)))
    if length == 6:
        forms = [data.hex(":"), data.hex("-")] + (forms if kind == "blob" else [])
    if length == 16 and (kind != "blob" or rng.random() < 0.5):
        forms = [data.hex(":", 2)]
    return rng.choice(forms[3:] if kind == "ipv4" else forms)


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
