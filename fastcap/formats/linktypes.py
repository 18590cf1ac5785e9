"""Link types: the numbers in files, their names, and the numbers that libpcap's compiler takes.

Numbers and names: https://www.tcpdump.org/linktypes.html; libpcap, pcap-common.c.
"""

from __future__ import annotations

ETHERNET = 1
NULL = 0
RAW = 101
LOOP = 108

# number in a file -> name without LINKTYPE_; what is not here is shown as its number
NAMES = {
    0: "NULL",
    1: "ETHERNET",
    3: "AX25",
    6: "IEEE802_5",
    7: "ARCNET_BSD",
    8: "SLIP",
    9: "PPP",
    10: "FDDI",
    50: "PPP_HDLC",
    51: "PPP_ETHER",
    100: "ATM_RFC1483",
    101: "RAW",
    104: "C_HDLC",
    105: "IEEE802_11",
    106: "ATM_CLIP",
    107: "FRELAY",
    108: "LOOP",
    113: "LINUX_SLL",
    114: "LTALK",
    117: "PFLOG",
    119: "IEEE802_11_PRISM",
    122: "IP_OVER_FC",
    123: "SUNATM",
    127: "IEEE802_11_RADIOTAP",
    129: "ARCNET_LINUX",
    143: "DOCSIS",
    147: "USER0",
    163: "IEEE802_11_AVS",
    187: "BLUETOOTH_HCI_H4",
    189: "USB_LINUX",
    192: "PPI",
    195: "IEEE802_15_4_WITHFCS",
    197: "ERF",
    201: "BLUETOOTH_HCI_H4_WITH_PHDR",
    220: "USB_LINUX_MMAPPED",
    226: "IPNET",
    227: "CAN_SOCKETCAN",
    228: "IPV4",
    229: "IPV6",
    230: "IEEE802_15_4_NOFCS",
    231: "DBUS",
    239: "NFLOG",
    249: "USBPCAP",
    253: "NETLINK",
    258: "PKTAP",
    271: "VSOCK_MSG",
    276: "LINUX_SLL2",
    279: "EBHSCR",
}

# Names that people know from tcpdump -L or from DLT_ constants.
ALIASES = {"EN10MB": 1, "DLT_EN10MB": 1, "SLL": 113, "SLL2": 276, "RADIOTAP": 127}

# number in a file -> libpcap's DLT, where they differ on Linux
_DLT = {100: 11, 101: 12, 102: 15, 103: 16, 106: 19}

# Where the first VLAN tag begins: the place of the type of what the frame holds.
TAGS_AT = {ETHERNET: 12, 113: 14}

# The largest captured length that libpcap believes; 262,144 for all others.
_LONG_FRAMES = {231: 128 << 20, 279: 8 << 20, 249: 1 << 20}
LONGEST_FRAME = 262144

# Their frames hold numbers in the byte order of the machine that captured them.
HOST_ORDER = frozenset({0, 117, 149, 189, 220, 239, 253, 258})


def name_of(linktype: int) -> str:
    """The name, or the number as text where it has none here.

    >>> name_of(1), name_of(147), name_of(9999)
    ('ETHERNET', 'USER0', '9999')
    """
    return NAMES.get(linktype, str(linktype))


def number_of(linktype: int | str) -> int:
    """The number in a file for a name in any case, with or without LINKTYPE_, or for a number.

    >>> number_of("ethernet"), number_of("LINKTYPE_RAW"), number_of(113), number_of("276")
    (1, 101, 113, 276)

    ValueError for a name that is not known.
    """
    if isinstance(linktype, int):
        return linktype
    name = linktype.upper().removeprefix("LINKTYPE_")
    if name.isdecimal():
        return int(name)
    if name in ALIASES:
        return ALIASES[name]
    for number, known in NAMES.items():
        if known == name:
            return number
    raise ValueError(f"no link type {linktype!r}; some are: ethernet, raw, linux_sll, ieee802_11")


def dlt_of(linktype: int) -> int:
    """libpcap's number for a number in a file."""
    return _DLT.get(linktype, linktype)


def max_captured(linktype: int) -> int:
    """Bytes; a record with a longer captured length is damaged."""
    return _LONG_FRAMES.get(linktype, LONGEST_FRAME)
