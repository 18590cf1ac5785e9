"""What a tree means, in plain words."""

from __future__ import annotations

from fastcap.language.tree import And, Blob, Not, Or, Pcap, Tree

_RULE = (
    "A comparison is false where the frame's captured bytes end before the bytes it needs,\n"
    "== and != alike; NOT of it is then true. It decides for no other term."
)
_CHUNK = (
    "\nInside one run of pcap-filter text libpcap's rule holds: a term that needs bytes behind\n"
    "the captured ones makes the whole run false."
)
_PURE = (
    "This is libpcap's alone: a term that needs bytes behind the end of the captured ones\n"
    "makes the whole filter reject the frame."
)


def explain(tree: Tree, linktype: str) -> str:
    """Lines of text: what is compared with what, and what happens on short frames.

    >>> from fastcap.language.parser import parse
    >>> print(explain(parse("Blob(FrameData, 26, 4) == 0x0a234567"), "ETHERNET"))
    Keeps frames of link type ETHERNET where
      bytes 26 to 29 are 0x0a234567 (10.35.69.103)
    A comparison is false where the frame's captured bytes end before the bytes it needs,
    == and != alike; NOT of it is then true. It decides for no other term.
    """
    if isinstance(tree, Pcap) and not tree.text.strip():
        return f"Keeps every frame of link type {linktype}."
    rule = _PURE if isinstance(tree, Pcap) else _RULE
    if not isinstance(tree, Pcap) and any("libpcap takes" in line for line in _lines(tree, 0)):
        rule += _CHUNK
    return "\n".join([f"Keeps frames of link type {linktype} where", *_lines(tree, 1), rule])


def _lines(tree: Tree, depth: int) -> list[str]:
    indent = "  " * depth
    if isinstance(tree, Blob):
        return [indent + _blob(tree)]
    if isinstance(tree, Pcap):
        return [f"{indent}libpcap takes: {tree.text.strip()}"]
    if isinstance(tree, Not):
        return [f"{indent}not this:", *_lines(tree.term, depth + 1)]
    assert isinstance(tree, (And, Or))
    head = "all of these hold:" if isinstance(tree, And) else "one of these holds:"
    return [indent + head, *(line for term in tree.terms for line in _lines(term, depth + 1))]


def _blob(blob: Blob) -> str:
    last = blob.offset + blob.length - 1
    where = f"byte {blob.offset} is" if blob.length == 1 else f"bytes {blob.offset} to {last} are"
    value = f"0x{blob.value:0{2 * blob.length}x}"
    if blob.length == 4:
        value += f" ({'.'.join(map(str, blob.value.to_bytes(4, 'big')))})"
    return f"{where} {'' if blob.equal else 'not '}{value}"
