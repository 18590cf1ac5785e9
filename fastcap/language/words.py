"""The words of pcap-filter that can begin a primitive (pcap-filter(7); libpcap, scanner.l)."""

from __future__ import annotations

import re

from fastcap.patterns import pattern

_STARTS = frozenset(
    """
    src dst host net port portrange proto protochain gateway type subtype direction dir
    addr1 addr2 addr3 addr4 address1 address2 address3 address4 ra ta
    link ether ppp slip fddi tr wlan arp rarp ip ip6 sctp tcp udp icmp icmp6 igmp igrp pim vrrp
    carp radio ah esp atalk aarp decnet lat sca moprc mopdl iso esis es-is isis is-is l1 l2 iih
    lsp snp csnp psnp clnp stp ipx netbeui less greater byte broadcast multicast len length
    inbound outbound ifname on ifindex rset ruleset rnr rulenum srnr subrulenum reason action
    vlan mpls pppoed pppoes geneve vxlan lane llc metac bcc oam oamf4 oamf4ec oamf4sc sc ilmic
    vpi vci connectmsg metaconnect sig fisu lssu lsu msu hfisu hlssu hmsu sio opc dpc sls
    hsio hopc hdpc hsls
    """.split()
)
# After these libpcap reads all fields further behind, up to the end of the text.
_MOVES = pattern(r"(?<![\w.:\\-])(?:vlan|mpls|pppoed|pppoes|geneve|vxlan)(?![\w.:-])")
_VLAN = pattern(r"(?<![\w.:\\-])vlan(?![\w.:-])")
_LEAD = pattern(r"(?:\s|\(|!|not(?![\w.:-]))*", re.IGNORECASE)
_FIRST = pattern(r"[A-Za-z][\w-]*")
_RELATION = pattern(r"[<>=]")


def moves_offsets(text: str) -> bool:
    """Whether a run of pcap-filter text moves what stands after it.

    >>> moves_offsets("vlan 5 and tcp"), moves_offsets("host vlan-5.example")
    (True, False)
    """
    return _MOVES.search(text) is not None


def first_that_moves(text: str) -> str:
    """The word of such a run that does.

    >>> first_that_moves("ip or mpls 5")
    'mpls'
    """
    match = _MOVES.search(text)
    return match.group() if match else ""


def asks_for_tags(text: str) -> bool:
    """Whether pcap-filter text asks for VLAN tags itself."""
    return _VLAN.search(text) is not None


def starts_primitive(text: str) -> bool:
    """Whether a run of pcap-filter text says itself what it compares.

    >>> starts_primitive("not (port 80 or 443)"), starts_primitive("2 * ip[0] > 5")
    (True, True)
    >>> starts_primitive("443"), starts_primitive("10.1.2.3 or 10.1.2.4")
    (False, False)
    """
    rest = text[lead_of(text) :]
    word = _FIRST.match(rest)
    if word:
        return word.group() in _STARTS
    # a number or an arithmetic expression begins a relation, or is a bare value
    first_term = re.split(r"\b(?:and|or)\b|&&|\|\|", rest, maxsplit=1)[0]
    return _RELATION.search(first_term) is not None


def lead_of(text: str) -> int:
    """How much of a run of pcap-filter text negates and opens what comes then.

    >>> lead_of("not (443 or 80)")
    5
    """
    lead = _LEAD.match(text)
    return lead.end() if lead else 0


def last_qualifier(text: str) -> str:
    """What libpcap would take over from a run of pcap-filter text for a bare value behind it.

    >>> last_qualifier("tcp and src port 80 or 443")
    'src port'
    """
    found, words = "", []
    for word in re.findall(r"[\w.:-]+|\S", text):
        if word in _STARTS:
            words.append(word)
            continue
        if words and word not in ("and", "or", "not", "!", "(", ")", "[", "&", "|"):
            found = " ".join(words)
        words = []
    return found
