"""The blocks around the frames of a pcapng file that fastcap writes (draft-ietf-opsawg-pcapng), in
this machine's byte order; the frames' own are csrc/record.h."""

from __future__ import annotations

import struct
from collections.abc import Iterable

MAGIC = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _STATISTICS = 0x0A0D0D0A, 1, 5
_BYTE_ORDER = 0x1A2B3C4D
_VERSION = (1, 0)
_UNKNOWN_LENGTH = -1
_COMMENT = 1
_SECTION_OS, _APPLICATION = 3, 4
_NAME, _RESOLUTION, _FILTER, _INTERFACE_OS = 2, 9, 11, 12
_FILTER_IS_TEXT = b"\0"
_START, _END, _RECEIVED, _MISSED, _ACCEPTED, _DROPPED, _DELIVERED = 2, 3, 4, 5, 6, 7, 8
_LONGEST_OPTION = 0xFFFF
_LONGEST_COMMENT = 100
# Bytes of the block of `statistics`, with each number and the longest comment.
LONGEST_STATISTICS = 12 + 12 + 7 * 12 + 4 + _LONGEST_COMMENT + 4


def header(
    linktype: int, snaplen: int, *, interface: str, nanoseconds: bool, expression: str | None,
    application: str, system: str,
) -> bytes:  # fmt: skip
    """What a file begins with: a section, and its one interface. A filter that is longer than an
    option may be is left out."""
    section = struct.pack("=IHHq", _BYTE_ORDER, *_VERSION, _UNKNOWN_LENGTH) + _options(
        [(_SECTION_OS, _text(system)), (_APPLICATION, _text(application))]
    )
    options = [(_NAME, _text(interface)), (_RESOLUTION, bytes([9 if nanoseconds else 6]))]
    if expression is not None:
        options.append((_FILTER, _FILTER_IS_TEXT + _text(expression)))
    options.append((_INTERFACE_OS, _text(system)))
    described = struct.pack("=HHI", linktype, 0, snaplen) + _options(options)
    return _block(_SECTION, section) + _block(_INTERFACE, described)


def statistics(
    since_ns: int, until_ns: int, *, nanoseconds: bool, received: int | None, missed: int | None,
    accepted: int, dropped: int, delivered: int, comment: str = "",
) -> bytes:  # fmt: skip
    """What a file ends with: the interface's counts, of the time that is named. `accepted` by the
    filter; of these, `dropped` by the ring, and `delivered` to the file."""
    numbers = (
        (_RECEIVED, received), (_MISSED, missed), (_ACCEPTED, accepted), (_DROPPED, dropped),
        (_DELIVERED, delivered),
    )  # fmt: skip
    options = [(_COMMENT, comment.encode()[:_LONGEST_COMMENT])] if comment else []
    options += [
        (_START, _moment(since_ns, nanoseconds)),
        (_END, _moment(until_ns, nanoseconds)),
        *((code, struct.pack("=Q", number)) for code, number in numbers if number is not None),
    ]
    body = struct.pack("=I", 0) + _moment(until_ns, nanoseconds) + _options(options)
    return _block(_STATISTICS, body)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _moment(ns: int, nanoseconds: bool) -> bytes:
    ticks = max(0, ns if nanoseconds else ns // 1000)
    return struct.pack("=II", ticks >> 32, ticks & 0xFFFFFFFF)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    fitting = [(code, value) for code, value in options if len(value) <= _LONGEST_OPTION]
    return b"".join(
        struct.pack("=HH", code, len(value)) + _padded(value)
        for code, value in [*fitting, (0, b"")]
    )


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + length + body + length
