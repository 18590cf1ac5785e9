"""Values as filters write them: numbers, addresses, text, and files of them.

All functions raise ValueError with words for the user.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fastcap.language.fields import FIELDS
from fastcap.language.ranges import Range, Ranges, joined
from fastcap.language.text import plain
from fastcap.language.tree import Blob, Field
from fastcap.patterns import pattern

_NUMBER = pattern(r"0[xX]([0-9a-fA-F]+)|([0-9]+)")
_IPV4 = pattern(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
_MAC = pattern(r"(?:[0-9a-fA-F]{1,2}[:-]){5}[0-9a-fA-F]{1,2}")
_DIGITS = 40  # more fit nowhere
_LARGEST_FILE = 256 << 20
_SEPARATORS = pattern(r"[\s,;]+")


class Kind(NamedTuple):
    """What values of an operand look like: `written` is ipv4, ipv6, mac, number, or blob, which
    takes all that its length allows."""

    written: str
    length: int  # bytes
    expected: str
    names: dict[str, int]


_EXPECTED = {
    "ipv4": "an address of IPv4 such as 10.35.69.103",
    "ipv6": "an address of IPv6 such as 2001:db8::1",
    "mac": "a MAC address such as 00:11:22:33:44:55",
    "number": "a number such as 443 or 0x1bb",
    "blob": "a number such as 0x0a234567 or 170083687",
}


def kind_of(operand: Blob | Field) -> Kind:
    if isinstance(operand, Blob):
        return Kind("blob", operand.length, _EXPECTED["blob"], {})
    row = FIELDS[operand.name.lower()]
    expected = _EXPECTED[row.kind]
    if row.names:
        expected += " or " + ", ".join(row.names).upper()
    return Kind(row.kind, row.length, expected, row.names)


def of_word(word: str, kind: Kind, *, networks: bool) -> Range:
    """A value without quotes: the first and the last number that it stands for. `networks`: it may
    be a network or a range, as in a set."""
    if (ends := _ends(word)) is not None:
        if not networks:
            raise ValueError(f"a range stands in a set: IN {{{plain(word)}}}")
        first, last = (of_word(end, kind, networks=False)[0] for end in ends)
        if first > last:
            raise ValueError("a range goes from the smaller to the larger")
        return first, last
    if word.lower() in kind.names:
        return (kind.names[word.lower()],) * 2
    address, slash, prefix = word.partition("/")
    found = _address(address)
    if found is None:
        if slash or not (number := _NUMBER.fullmatch(word)):
            raise ValueError(f"expected {kind.expected}")
        if len(word) > _DIGITS:
            raise ValueError("a number this long fits nowhere")
        value = int(number[1], 16) if number[1] else int(number[2])
        if kind.written in ("ipv6", "mac") or value >> 8 * kind.length:
            raise ValueError(_too_wide(kind))
        return value, value
    value, length, called = found
    if kind.length != length or kind.written == "number":
        wanted = f"the blob has {kind.length}" if kind.written == "blob" else (
            f"expected {kind.expected}")  # fmt: skip
        raise ValueError(f"{address} is {called}, {length} bytes; {wanted}")
    if not slash:
        return value, value
    if not networks:
        raise ValueError(f"a network stands in a set: IN {{{plain(word)}}}")
    return _network(value, prefix, 8 * length)


def of_text(text: str, kind: Kind) -> Range:
    """A value in quotes: exactly the bytes of a blob."""
    if kind.written != "blob":
        raise ValueError(f"text is for Blobs: expected {kind.expected}")
    encoded = bytes_of_text(text)
    if len(encoded) != kind.length:
        raise ValueError(f"the text has {len(encoded)} bytes, the blob {kind.length}")
    value = int.from_bytes(encoded, "big")
    return value, value


def bytes_of_text(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("text is ASCII; write other bytes as a number or as HEX") from None


def bytes_of_hex(text: str) -> bytes:
    digits = re.sub(r"[\s:-]", "", text)
    digits = digits[2:] if digits[:2] in ("0x", "0X") else digits
    if len(digits) % 2 or not re.fullmatch("[0-9a-fA-F]*", digits):
        raise ValueError("HEX wants an even number of hexadecimal digits: 0A23")
    return bytes.fromhex(digits)


def of_file(path: str, kind: Kind) -> Ranges:
    """The values of a file, networks and ranges too: any number a line, with space or commas
    between them; # begins a comment. For an address field, addresses of another kind are left out:
    one list may serve IPv4.Address, IPv6.Address and Ethernet.Address."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot read the set: {plain(path)}: {error.strerror}") from error
    except UnicodeError:
        raise ValueError(f"cannot read the set: {plain(path)}: not text") from None
    if len(text) > _LARGEST_FILE:
        raise ValueError(
            f"cannot read the set: {plain(path)}: longer than {_LARGEST_FILE >> 20} MiB"
        )
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        for word in _SEPARATORS.split(line.partition("#")[0].strip()):
            try:
                if word and not _is_other_kind(word, kind):
                    found.append(of_word(word, kind, networks=True))
            except ValueError as error:
                raise ValueError(f"{plain(path)}, line {number}: {plain(word)}: {error}") from None
    if not found:
        raise ValueError(f"{plain(path)}: holds none: expected {kind.expected}")
    return joined(found)


def written(value: int, kind: Kind) -> str:
    """A value as people write it."""
    data = value.to_bytes(kind.length, "big")
    if kind.written == "ipv4":
        return ".".join(map(str, data))
    if kind.written == "mac":
        return data.hex(":")
    if kind.written == "ipv6":
        from ipaddress import IPv6Address

        return str(IPv6Address(data))
    return str(value) if kind.written == "number" else f"0x{data.hex()}"


def _is_other_kind(word: str, kind: Kind) -> bool:
    first, _ = _ends(word) or (word, "")
    found = _address(first.partition("/")[0])
    return found is not None and kind.written in ("ipv4", "ipv6", "mac") and found[1] != kind.length


def _ends(word: str) -> tuple[str, str] | None:
    """The two values of a range."""
    first, dash, last = word.partition("-")
    return (first, last) if dash and first and not _MAC.fullmatch(word) else None


def _address(word: str) -> tuple[int, int, str] | None:
    """An address as a number, its length in bytes, and what it is called."""
    if match := _IPV4.fullmatch(word):
        parts = [int(part) for part in match.groups()]
        if max(parts) > 255:
            raise ValueError("no part of an address is larger than 255")
        return int.from_bytes(bytes(parts), "big"), 4, "an address of IPv4"
    if _MAC.fullmatch(word):
        parts = [int(part, 16) for part in re.split("[:-]", word)]
        return int.from_bytes(bytes(parts), "big"), 6, "a MAC address"
    if ":" in word:
        from ipaddress import IPv6Address

        try:
            if "%" in word:
                raise ValueError
            return int(IPv6Address(word)), 16, "an address of IPv6"
        except ValueError:
            raise ValueError("no address of IPv6, and no MAC address") from None
    return None


def _network(value: int, prefix: str, bits: int) -> Range:
    if not prefix.isascii() or not prefix.isdigit() or len(prefix) > 3 or int(prefix) > bits:
        raise ValueError(f"expected a prefix length of 0 to {bits} behind /")
    host = (1 << bits - int(prefix)) - 1
    if value & host:
        raise ValueError(f"bits are set behind the prefix of {prefix}; a network has none")
    return value, value | host


def _too_wide(kind: Kind) -> str:
    if kind.written in ("ipv6", "mac"):
        return f"expected {kind.expected}"
    what = "the blob, whose length is" if kind.written == "blob" else "the field, whose length is"
    return f"the value is wider than {what} {kind.length}"
