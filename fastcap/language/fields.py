"""Field names in the manner of Network Monitor: one row each, which the parser, the compiler,
`fastcap explain`, `--help` and docs/filters.md read.

A field of IP, TCP or UDP is what pcap-filter's primitive of its row compares: so it is found on
every link type that libpcap knows, and `TCP.Port == 443` matches what `tcp port 443` matches.
"""

from __future__ import annotations

from typing import NamedTuple


class FieldRow(NamedTuple):
    """`kind` is how values are written, `length` how many bytes they have. `pcap`: the primitive,
    with {} for the value. `blob`: else, the offset in an Ethernet frame. `directions`: the names of
    the two fields of which either counts. `repeats`: a frame may hold several, of which any counts,
    or with "!=" all."""

    name: str
    kind: str  # ipv4, ipv6, mac, number
    length: int
    meaning: str
    pcap: str = ""
    blob: int | None = None
    directions: tuple[str, ...] = ()
    names: dict[str, int] = {}  # noqa: RUF012 - never changed
    repeats: bool = False

    @property
    def moves(self) -> bool:
        """Whether it lies further back behind a VLAN tag."""
        return self.kind != "mac" and self.name != "FrameLength"


_ETHER_TYPES = {"ipv4": 0x0800, "arp": 0x0806, "ipv6": 0x86DD}
_PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "sctp": 132,
}


def _both(
    protocol: str, what: str, kind: str, length: int, pcap: str, called: str
) -> list[FieldRow]:
    """The rows of a field with two directions."""
    ports = what == "Port"
    source = f"{protocol}.{'SrcPort' if ports else 'SourceAddress'}"
    destination = f"{protocol}.{'DstPort' if ports else 'DestinationAddress'}"
    first, _, last = pcap.partition(" ")
    return [
        FieldRow(f"{protocol}.{what}", kind, length, f"source or destination {called}", pcap,
                 directions=(source, destination)),
        FieldRow(source, kind, length, f"source {called}", f"{first} src {last}"),
        FieldRow(destination, kind, length, f"destination {called}", f"{first} dst {last}"),
    ]  # fmt: skip


_ROWS = [
    *_both("IPv4", "Address", "ipv4", 4, "ip host {}", "address of IPv4"),
    *_both("IPv6", "Address", "ipv6", 16, "ip6 host {}", "address of IPv6"),
    *_both("TCP", "Port", "number", 2, "tcp port {}", "port of TCP"),
    *_both("UDP", "Port", "number", 2, "udp port {}", "port of UDP"),
    FieldRow("Ethernet.Address", "mac", 6, "source or destination MAC address",
             directions=("Ethernet.SourceAddress", "Ethernet.DestinationAddress")),
    FieldRow("Ethernet.SourceAddress", "mac", 6, "source MAC address", blob=6),
    FieldRow("Ethernet.DestinationAddress", "mac", 6, "destination MAC address", blob=0),
    FieldRow("Ethernet.Type", "number", 2, "what the Ethernet frame holds: a number, IPv4, IPv6 "
             "or ARP", blob=12, names=_ETHER_TYPES),
    FieldRow("Protocol", "number", 1, "what IPv4 or IPv6 holds: a number, TCP, UDP, ICMP …",
             "proto {}", names=_PROTOCOLS, repeats=True),
    FieldRow("FrameLength", "number", 4, "bytes of the frame on the wire", "len"),
]  # fmt: skip

FIELDS = {row.name.lower(): row for row in _ROWS}
"""Rows by their name in small letters."""

# What Wireshark calls them, for those who come from there.
_ELSEWHERE = {
    "ip.addr": "IPv4.Address",
    "ip.address": "IPv4.Address",
    "ip.src": "IPv4.SourceAddress",
    "ip.dst": "IPv4.DestinationAddress",
    "ip.proto": "Protocol",
    "ipv6.addr": "IPv6.Address",
    "ipv6.src": "IPv6.SourceAddress",
    "ipv6.dst": "IPv6.DestinationAddress",
    "eth.addr": "Ethernet.Address",
    "eth.src": "Ethernet.SourceAddress",
    "eth.dst": "Ethernet.DestinationAddress",
    "eth.type": "Ethernet.Type",
    "frame.len": "FrameLength",
}


def meant(name: str) -> str | None:
    """The field that somebody meant who wrote `name`, if that is likely.

    >>> meant("ip.addr"), meant("IPv4.Adress"), meant("tcp.flags.syn")
    ('IPv4.Address', 'IPv4.Address', None)
    """
    from difflib import get_close_matches

    name = name.lower()
    close = get_close_matches(name, FIELDS, 1, 0.75)
    return _ELSEWHERE.get(name) or (FIELDS[close[0]].name if close else None)


def field_names(indent: str) -> str:
    """All names, those of one protocol in a line."""
    lines: dict[str, list[str]] = {}
    for row in FIELDS.values():
        lines.setdefault(row.name.partition(".")[0] if "." in row.name else "", []).append(row.name)
    return indent.join(", ".join(names) for names in lines.values())
