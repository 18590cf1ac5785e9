"""The file header of pcap: https://www.tcpdump.org/manpages/pcap-savefile.5.html.

Read: microseconds and nanoseconds, both byte orders, version 2.4.
Everything else is refused by name, with the way out.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

from fastcap.errors import InputError
from fastcap.formats.linktypes import max_captured, name_of

HEADER_SIZE = 24
RECORD_HEADER_SIZE = 16

# magic -> byte order, nanoseconds
_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", False),
    b"\xa1\xb2\xc3\xd4": (">", False),
    b"\x4d\x3c\xb2\xa1": ("<", True),
    b"\xa1\xb2\x3c\x4d": (">", True),
}
_CONVERT = "convert it first: editcap -F {to} FILE NEW"
# the start of a file -> what it is, what to do
_FOREIGN = (
    (b"\x0a\x0d\x0d\x0a", "pcapng, which is not read yet", _CONVERT.format(to="nsecpcap")),
    (b"\x1f\x8b", "compressed with gzip", "unpack it: gzip -dc FILE | fastcap … -"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it: zstd -dc FILE | fastcap … -"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it: lz4 -dc FILE | fastcap … -"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it: xz -dc FILE | fastcap … -"),
    (b"BZh", "compressed with bzip2", "unpack it: bzip2 -dc FILE | fastcap … -"),
    (b"\x34\xcd\xb2\xa1", "a modified pcap (24-byte records)", _CONVERT.format(to="pcap")),
    (b"\xa1\xb2\xcd\x34", "a modified pcap (24-byte records)", _CONVERT.format(to="pcap")),
    (b"GMBU", "a Network Monitor 2 capture", _CONVERT.format(to="pcap")),
    (b"RTSS", "a Network Monitor 1 capture", _CONVERT.format(to="pcap")),
    (b"snoop\x00", "a snoop capture", _CONVERT.format(to="pcap")),
)
_VERSION = (2, 4)  # since 1998; in older ones the two lengths of a record change places
_FCS_PRESENT = 0x04000000
_RESERVED = 0x03FF0000
_INT_MAX = 0x7FFFFFFF


class Layout(NamedTuple):
    """How the records of a file are laid out; struct fc_pcap_layout in csrc/pcap.h."""

    swapped: bool
    nanoseconds: bool
    snaplen: int
    max_captured: int


class FileHeader(NamedTuple):
    """What a pcap file says of itself.

    `link_word` is the header's last field: link type in the low 16 bits, above them whether
    frames end in a checksum (FCS) and how long it is. `snaplen` is as it stands in the file;
    `zone` and `accuracy` are obsolete, and passed on.
    """

    little_endian: bool
    nanoseconds: bool
    snaplen: int
    link_word: int
    zone: int = 0
    accuracy: int = 0

    @property
    def linktype(self) -> int:
        return self.link_word & 0xFFFF

    @property
    def byte_order(self) -> str:
        return "little-endian" if self.little_endian else "big-endian"

    @property
    def precision(self) -> str:
        return "nanoseconds" if self.nanoseconds else "microseconds"

    @property
    def swapped(self) -> bool:
        """The file's byte order is not this machine's."""
        return self.little_endian != (sys.byteorder == "little")

    @property
    def link_name(self) -> str:
        fcs = self.link_word >> 28 if self.link_word & _FCS_PRESENT else 0
        return name_of(self.linktype) + (f" with {2 * fcs}-byte FCS" if fcs else "")

    @property
    def frame_limit(self) -> int:
        """Bytes of a frame that count: libpcap cuts longer ones when it reads the file."""
        no_limit = self.snaplen == 0 or self.snaplen > _INT_MAX
        return max_captured(self.linktype) if no_limit else self.snaplen

    @property
    def layout(self) -> Layout:
        return Layout(self.swapped, self.nanoseconds, self.frame_limit, max_captured(self.linktype))

    def pack(self) -> bytes:
        """The 24 bytes."""
        order = "<" if self.little_endian else ">"
        magic = 0xA1B23C4D if self.nanoseconds else 0xA1B2C3D4
        return struct.pack(
            order + "IHHiIII",
            magic,
            *_VERSION,
            self.zone,
            self.accuracy,
            self.snaplen,
            self.link_word,
        )


def parse_header(data: bytes, name: str) -> FileHeader:
    """Reads the first 24 bytes of a file; `name` is for messages. InputError for what is no
    pcap file, with what it is instead where that can be told."""
    if not data:
        raise InputError(f"{name}: empty: a capture has at least a header of 24 bytes")
    if data[:4] not in _MAGICS:
        raise InputError(f"{name}: {_foreign(data, name)}")
    if len(data) < HEADER_SIZE:
        raise InputError(f"{name}: cut in its header: {len(data)} bytes, a pcap header has 24")
    order, nanoseconds = _MAGICS[data[:4]]
    fields = struct.unpack(order + "IHHiIII", data)
    _, major, minor, zone, accuracy, snaplen, link_word = fields
    if (major, minor) != _VERSION:
        raise InputError(
            f"{name}: pcap version {major}.{minor}, and fastcap reads 2.4; "
            f"{_CONVERT.format(to='pcap').replace('FILE', name)}"
        )
    if link_word & _RESERVED:
        raise InputError(f"{name}: bits of the link type that must be 0 are not: 0x{link_word:08x}")
    return FileHeader(order == "<", nanoseconds, snaplen, link_word, zone, accuracy)


def _foreign(data: bytes, name: str) -> str:
    for magic, what, way_out in _FOREIGN:
        if data.startswith(magic):
            file = "FILE" if " " in name else name
            return f"{what}; {way_out.replace('FILE', file)}"
    return "not a capture: it begins with no pcap magic number; `file` or capinfos may know it"
