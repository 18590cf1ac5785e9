"""What a tree means, in plain words, and the tcpdump command that comes closest to it."""

from __future__ import annotations

import re
import shlex

from fastcap.formats.linktypes import ETHERNET, TAGS_AT, name_of
from fastcap.language.fields import FIELDS
from fastcap.language.ranges import Range, count
from fastcap.language.tree import (
    Among,
    And,
    Blob,
    Compare,
    Contains,
    Field,
    Not,
    Pcap,
    Tree,
    terms_of,
)
from fastcap.language.values import kind_of, written

_RULE = (
    "A comparison is false where the frame's captured bytes end before the bytes it needs, or the\n"
    "frame has no such field, whatever its operator; NOT of it is then true. It decides for no\n"
    "other term."
)
_CHUNK = (
    "Inside one run of pcap-filter text libpcap's rule holds: a term that needs bytes behind\n"
    "the captured ones makes the whole run false."
)
_PURE = (
    "This is libpcap's alone: a term that needs bytes behind the end of the captured ones\n"
    "makes the whole filter reject the frame."
)
_WIRE = (
    "VLAN tags are bytes of the frame: behind one, everything is 4 bytes further on, and what\n"
    "looks for IP, TCP or UDP does not find it (--vlan skip does; Blobs always count tags)."
)
_SKIP = (
    "VLAN tags (802.1Q, 802.1ad, 0x9100) are skipped at any depth, but for Blob and ContainsBin,\n"
    "which see the frame as it was on the wire."
)
_WORDS = {
    "==": "is",
    "!=": "is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
}
_MOST_SHOWN = 6  # values of a set
_MOST_IN_COMMAND = 12
_NEGATES = re.compile(r"\bnot\b|!")
_MEASURES = re.compile(r"\b(?:len|length|less|greater)\b")


def explain(tree: Tree, linktype: int, vlan: str = "wire") -> str:
    """Lines of text: which bytes are compared with what, what happens on short and on tagged
    frames, and the closest tcpdump command.

    >>> from fastcap.language.parser import parse
    >>> print(explain(parse("Blob(FrameData, 26, 4) == 0x0a234567"), 1).splitlines()[1])
      bytes 26 to 29: is 0x0a234567 (10.35.69.103)
    """
    name = name_of(linktype)
    if isinstance(tree, Pcap) and not tree.text.strip():
        return f"Keeps every frame of link type {name}."
    lines = [f"Keeps frames of link type {name} where", *_lines(tree, 1)]
    terms = terms_of(tree)
    if isinstance(tree, Pcap):
        lines.append(_PURE)
    else:
        lines.append(_RULE)
        lines += [_CHUNK] if any(isinstance(term, Pcap) for term in terms) else []
    if linktype in TAGS_AT:
        lines.append(_SKIP if vlan == "skip" else _WIRE)
    return "\n".join([*lines, *_tcpdump(tree, linktype, vlan)])


def _lines(tree: Tree, depth: int) -> list[str]:
    indent = "  " * depth
    if isinstance(tree, (Compare, Among)):
        return [indent + _comparison(tree)]
    if isinstance(tree, Contains):
        return [f"{indent}the captured bytes contain {_bytes(tree.pattern)}"]
    if isinstance(tree, Pcap):
        return [f"{indent}libpcap takes: {tree.text.strip()}" if tree.text.strip() else
                f"{indent}always"]  # fmt: skip
    if isinstance(tree, Not):
        return [f"{indent}not this:", *_lines(tree.term, depth + 1)]
    head = "all of these hold:" if isinstance(tree, And) else "one of these holds:"
    return [indent + head, *(line for term in tree.terms for line in _lines(term, depth + 1))]


def _comparison(term: Compare | Among) -> str:
    mask = "" if term.mask is None else f" & 0x{term.mask:x}"
    where = f"{_operand(term.operand)}{mask}: "
    if isinstance(term, Compare):
        both = isinstance(term.operand, Field) and FIELDS[term.operand.name.lower()].directions
        words = "neither is" if both and term.operator == "!=" else _WORDS[term.operator]
        return f"{where}{words} {_value(term.value, term.operand)}"
    shown = ", ".join(_range(pair, term.operand) for pair in term.ranges[:_MOST_SHOWN])
    more = len(term.ranges) - _MOST_SHOWN
    if more > 0:
        shown += f" and {more:,} more"
    source = f" (from {term.source}, {count(term.ranges):,} values)" if term.source else ""
    return f"{where}is one of {shown}{source}"


def _operand(operand: Blob | Field) -> str:
    if isinstance(operand, Field):
        row = FIELDS[operand.name.lower()]
        return f"{row.name}, {row.meaning}"
    last = operand.offset + operand.length - 1
    if operand.length == 1:
        return f"byte {operand.offset}"
    return f"bytes {operand.offset} to {last}"


def _value(value: int, operand: Blob | Field) -> str:
    kind = kind_of(operand)
    text = written(value, kind)
    if kind.written != "blob":
        name = next((name for name, number in kind.names.items() if number == value), None)
        return text if name is None else f"{text} ({name.upper()})"
    also = {4: "ipv4", 6: "mac", 16: "ipv6"}.get(kind.length)
    return text if also is None else f"{text} ({written(value, kind._replace(written=also))})"


def _range(pair: Range, operand: Blob | Field) -> str:
    first, last = pair
    if first == last:
        return _value(first, operand)
    return f"{_value(first, operand)} to {_value(last, operand)}"


def _bytes(pattern: bytes) -> str:
    shown = pattern[:16].hex(" ") + (" …" if len(pattern) > 16 else "")
    return f"{shown} ({pattern.decode()!r})" if pattern.isascii() and _is_text(pattern) else shown


def _is_text(pattern: bytes) -> bool:
    return pattern.decode("ascii", "replace").isprintable() and len(pattern) <= 32


# ---- tcpdump ----------------------------------------------------------------------------------


def _tcpdump(tree: Tree, linktype: int, vlan: str) -> list[str]:
    text = as_pcap(tree, linktype)
    if text is None:
        return ["tcpdump has no filter for this."]
    if vlan == "skip" and linktype in TAGS_AT:
        untagged = f"({text}){_no_tag(linktype)}" if _NEGATES.search(text) else f"({text})"
        text = f"{untagged} or (vlan and ({text}))"
    lines = [f"Closest in tcpdump: tcpdump -r FILE {shlex.quote(text)}"]
    if not isinstance(tree, Pcap):
        lines.append("  which rejects every frame that is too short for a term it comes to.")
    if vlan == "skip" and linktype in TAGS_AT:
        length = ", and its len counts that tag" if _MEASURES.search(text) else ""
        lines.append(f"  It looks behind one tag, not behind more{length}.")
    return lines


def _no_tag(linktype: int) -> str:
    """What keeps a tagged frame from passing because nothing is found at its usual place. The word
    `vlan` would move what comes after it."""
    base = "ether" if linktype == ETHERNET else "link"
    at = TAGS_AT[linktype]
    return "".join(f" and {base}[{at}:2] != 0x{tpid:x}" for tpid in (0x8100, 0x88A8, 0x9100))


def as_pcap(tree: Tree, linktype: int) -> str | None:
    """pcap-filter text that matches the same frames as long as none is too short; None where
    there is none that is short enough to read.

    >>> from fastcap.language.parser import parse
    >>> as_pcap(parse("Blob(FrameData, 26, 4) == 1 OR IPv4.Address IN {10.0.0.0/8}"), 1)
    'ether[26:4] = 0x00000001 or ip net 10.0.0.0/8'
    """
    if isinstance(tree, Pcap):
        return tree.text.strip()
    if isinstance(tree, Contains):
        return None
    if isinstance(tree, (Compare, Among)):
        texts = _of_field(tree) if isinstance(tree.operand, Field) else _of_blob(tree, linktype)
        return None if texts is None else " or ".join(texts)
    if isinstance(tree, Not):
        inner = as_pcap(tree.term, linktype)
        return None if inner is None else f"not ({inner})"
    parts = [_part(term, linktype) for term in tree.terms]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return (" and " if isinstance(tree, And) else " or ").join(known)


def _part(term: Tree, linktype: int) -> str | None:
    text = as_pcap(term, linktype)
    return f"({text})" if text is not None and (" or " in text or " and " in text) else text


def _of_blob(term: Compare | Among, linktype: int) -> list[str] | None:
    assert isinstance(term.operand, Blob)
    offset, length = term.operand
    base = "ether" if linktype == ETHERNET else "link"
    if length not in (1, 2, 4):
        if isinstance(term, Among) or term.operator != "==" or term.mask is not None:
            return None
        value = term.value.to_bytes(length, "big")
        words = [(at, 4 if length - at >= 4 else 2 if length - at >= 2 else 1)
                 for at in _word_starts(length)]  # fmt: skip
        return [" and ".join(f"{base}[{offset + at}:{size}] = 0x{value[at:at + size].hex()}"
                             for at, size in words)]  # fmt: skip
    where = f"{base}[{offset}:{length}]" if length > 1 else f"{base}[{offset}]"
    where += "" if term.mask is None else f" & 0x{term.mask:x}"
    if isinstance(term, Compare):
        operator = "=" if term.operator == "==" else term.operator
        return [f"{where} {operator} 0x{term.value:0{2 * length}x}"]
    if len(term.ranges) > _MOST_IN_COMMAND:
        return None
    return [f"{where} = 0x{low:0{2 * length}x}" if low == high else
            f"({where} >= 0x{low:x} and {where} <= 0x{high:x})"
            for low, high in term.ranges]  # fmt: skip


def _word_starts(length: int) -> list[int]:
    starts, at = [], 0
    while at < length:
        starts.append(at)
        at += 4 if length - at >= 4 else 2 if length - at >= 2 else 1
    return starts


def _of_field(term: Compare | Among) -> list[str] | None:
    assert isinstance(term.operand, Field)
    row = FIELDS[term.operand.name.lower()]
    if row.name == "FrameLength":
        if isinstance(term, Compare):
            return [f"len {'=' if term.operator == '==' else term.operator} {term.value}"]
        return None
    primitive = (
        row.pcap
        or {
            "Ethernet.Address": "ether host {}",
            "Ethernet.SourceAddress": "ether src {}",
            "Ethernet.DestinationAddress": "ether dst {}",
            "Ethernet.Type": "ether proto {}",
        }[row.name]
    )
    if isinstance(term, Compare):
        if term.operator != "==":
            return None
        pairs: tuple[Range, ...] = ((term.value, term.value),)
    else:
        pairs = term.ranges
    if len(pairs) > _MOST_IN_COMMAND:
        return None
    texts = [_primitive(primitive, pair, term.operand) for pair in pairs]
    return None if None in texts else [text for text in texts if text is not None]


def _primitive(primitive: str, pair: Range, operand: Field) -> str | None:
    first, last = pair
    kind = kind_of(operand)
    if first == last:
        return primitive.format(written(first, kind))
    if " port " in primitive or primitive.split()[-2] == "port":
        return primitive.replace("port", "portrange").format(f"{first}-{last}")
    size = last - first + 1
    if kind.written in ("ipv4", "ipv6") and size & size - 1 == 0 and first % size == 0:
        prefix = 8 * kind.length - (size.bit_length() - 1)
        word = " net" if " host " in primitive else ""
        head = primitive.replace(" host", "").replace(" {}", f"{word or ' net'}")
        return f"{head} {written(first, kind)}/{prefix}"
    return None
