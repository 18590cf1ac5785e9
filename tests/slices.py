"""Where headers end, in plain Python, slowly: what the slices of a capture are compared with. And
random frames: stacks of headers that are sound, with some that lie or are cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

MOST_SEEN = 512
_TAGS = (0x8100, 0x88A8, 0x9100)
_EXTENSIONS = (0, 43, 44, 60, 135, 139, 140)
_AH = 51


class Header(NamedTuple):
    """One that should follow. `fixed`: bytes in which its length is said; `size` None: it lies."""

    layer: int
    fixed: int
    size: int | None


def _number(data: bytes, at: int, size: int) -> int:
    """Missing bytes are zeros; whoever asks for them has yielded a header that is cut there."""
    return int.from_bytes(data[at : at + size].ljust(size, b"\0"), "big")


def _link(data: bytes) -> Iterator[Header]:
    yield Header(2, 14, 14)
    kind, at = _number(data, 12, 2), 14
    while kind in _TAGS:
        yield Header(2, 4, 4)
        kind, at = _number(data, at + 2, 2), at + 4
    if kind < 0x600 and data[at : at + 1] == b"\xaa":
        if len(data) < at + 3 or data[at : at + 3] == b"\xaa\xaa\x03":
            yield Header(2, 3, 8)
            if data[at + 3 : at + 6] == bytes(3):
                yield from _network(data, at + 8, _number(data, at + 6, 2))
    elif kind in (0x8847, 0x8848):
        bottom = False
        while not bottom:
            yield Header(2, 4, 4)
            bottom = bool(_number(data, at + 2, 1) & 1)
            at += 4
        yield from _ip(data, at)
    elif kind == 0x8864:
        yield Header(2, 8, 8 if data[at : at + 2] == b"\x11\0" else None)
        carried = {0x21: 0x800, 0x57: 0x86DD}.get(_number(data, at + 6, 2), 0)
        yield from _network(data, at + 8, carried)
    else:
        yield from _network(data, at, kind)


def _ip(data: bytes, at: int) -> Iterator[Header]:
    yield from _network(data, at, {4: 0x800, 6: 0x86DD}.get(_number(data, at, 1) >> 4, 0))


def _network(data: bytes, at: int, kind: int) -> Iterator[Header]:
    first = _number(data, at, 1)
    if kind in (0x806, 0x8035):
        yield Header(3, 8, 8 + 2 * data[at + 4] + 2 * data[at + 5] if len(data) > at + 5 else 8)
    elif kind == 0x800:
        size = first % 16 * 4
        yield Header(3, 20, size if first >> 4 == 4 and size >= 20 else None)
        if _number(data, at + 6, 2) & 0x1FFF == 0:
            yield from _behind(data, at + size, _number(data, at + 9, 1), (_AH,))
    elif kind == 0x86DD:
        yield Header(3, 40, 40 if first >> 4 == 6 else None)
        yield from _behind(data, at + 40, _number(data, at + 6, 1), (*_EXTENSIONS, _AH))


def _behind(data: bytes, at: int, protocol: int, chain: tuple[int, ...]) -> Iterator[Header]:
    while protocol in chain:
        length = _number(data, at + 1, 1)
        size = {44: 8, _AH: (length + 2) * 4}.get(protocol, (length + 1) * 8)
        yield Header(3, 8, None if protocol == _AH and length == 0 else size)
        if protocol == 44 and _number(data, at + 2, 2) & 0xFFF8:
            return
        protocol, at = _number(data, at, 1), at + size
    if protocol == 6:
        size = _number(data, at + 12, 1) // 16 * 4
        yield Header(4, 20, size if size >= 20 else None)
    elif protocol == 33:
        size = _number(data, at + 4, 1) * 4
        least = 16 if _number(data, at + 8, 1) % 2 else 12
        yield Header(4, 12, size if size >= least else None)
    elif protocol == 47:
        flags = f"{_number(data, at, 2):016b}"
        fields = [flags[0], flags[2], flags[3], flags[8] if flags[13:] == "001" else "0"]
        known = flags[1] == "0" and flags[13:] in ("000", "001")
        yield Header(4, 4, 4 + 4 * fields.count("1") if known else None)
    elif protocol in (1, 2, 17, 50, 58, 136):
        yield Header(4, 8, 8)
    elif protocol == 132:
        yield Header(4, 12, 12)


def kept(data: bytes, wire: int, layer: int, more: int = 0, *, ethernet: bool = True) -> bytes:
    """What is kept of a frame of which `data` was captured."""
    seen = min(len(data), MOST_SEEN)
    end = 0
    if ethernet and seen < 14:
        return data[: seen + more]
    for header in _link(data[:seen]) if ethernet else _ip(data[:seen], 0):
        if header.layer > layer or end + header.fixed > wire:
            break
        if end + header.fixed > seen:
            end = seen
            break
        if header.size is None or end + header.size > wire:
            break
        end = min(end + header.size, seen)
        if end == seen:
            break
    return data[: end + more]


# ---- Random frames ----------------------------------------------------------------------------


def random_frame(rng: random.Random, *, ethernet: bool = True) -> bytes:
    """Mostly sound headers, and a body of up to 100 bytes."""
    body = rng.randbytes(rng.randrange(100))
    kind, network = _random_network(rng, body)
    if not ethernet:
        return network
    link = b""
    choice = rng.randrange(8)
    if choice == 0:
        labels = [rng.randbytes(2) + bytes([rng.randrange(128) * 2, 64]) for _ in range(3)]
        labels[-1] = b"\0\1\1\x40"
        link, kind = b"".join(labels), rng.choice((0x8847, 0x8848))
    elif choice == 1:
        carried = {0x800: 0x21, 0x86DD: 0x57}.get(kind, 0xC021)
        first = 0x11 if rng.random() < 0.9 else rng.randrange(256)
        link = bytes([first, 0, 0, 1, 0, 99]) + carried.to_bytes(2, "big")
        kind = 0x8864
    elif choice == 2:
        organisation = bytes(3) if rng.random() < 0.8 else b"\0\0\x0c"
        link = b"\xaa\xaa\x03" + organisation + kind.to_bytes(2, "big")
        kind = rng.randrange(0x600)
    elif choice == 3:
        kind = rng.choice((0x88B5, 0x26, 0x8863, 0x88CC, kind))
    tags = [rng.choice(_TAGS).to_bytes(2, "big") + rng.randbytes(2)
            for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3)))]  # fmt: skip
    macs = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1])
    return macs + b"".join(tags) + kind.to_bytes(2, "big") + link + network


def _random_network(rng: random.Random, body: bytes) -> tuple[int, bytes]:
    protocol, transport = _random_transport(rng)
    choice = rng.randrange(9)
    if choice == 0:
        lengths = rng.choice((b"\6\4", b"\6\x10", b"\x14\4", rng.randbytes(2)))
        return 0x806, b"\0\1\x08\0" + lengths + b"\0\1" + rng.randbytes(20) + body
    chain = b""
    while rng.random() < 0.3:
        kind = rng.choice((*_EXTENSIONS, _AH) if choice > 4 else (_AH,))
        units = rng.choice((0, 1, 1, 2, 4, 20)) if rng.random() < 0.95 else rng.randrange(256)
        size = {44: 8, _AH: max(8, 4 * units + 8)}.get(kind, 8 * units + 8)
        head = bytes([protocol, units]) + rng.choice((b"\0\1", b"\0\0", b"\0\0", b"\x12\x30"))
        chain = (head + rng.randbytes(size))[:size] + chain
        protocol = kind
    rest = chain + transport + body
    if choice > 4:
        return 0x86DD, b"\x60" + rng.randbytes(5) + bytes([protocol, 64]) + rng.randbytes(32) + rest
    words = rng.choice((5, 5, 6, 8, 15)) if rng.random() < 0.9 else rng.randrange(16)
    fragment = rng.choice((b"\0\0", b"\x40\0", b"\x40\0", b"\x20\0", b"\x20\5", b"\0\x80"))
    version = 4 if rng.random() < 0.97 else rng.randrange(16)
    head = bytes([version * 16 + words]) + rng.randbytes(5) + fragment + bytes([64, protocol])
    return 0x800, (head + rng.randbytes(60))[: max(20, 4 * words)] + rest


def _random_transport(rng: random.Random) -> tuple[int, bytes]:
    protocol = rng.choice((1, 2, 4, 6, 6, 6, 17, 17, 33, 41, 47, 47, 50, 58, 59, 89, 132, 136))
    if protocol == 6:
        words = rng.choice((5, 8, 10, 15)) if rng.random() < 0.9 else rng.randrange(16)
        return 6, rng.randbytes(12) + bytes([words * 16]) + rng.randbytes(max(7, words * 4 - 13))
    if protocol == 33:
        words = rng.choice((3, 4, 7)) if rng.random() < 0.9 else rng.randrange(256)
        return 33, rng.randbytes(4) + bytes([words]) + rng.randbytes(40)
    if protocol == 47:
        flags = rng.choice((0, 0x2000, 0x8000, 0xB000, 0x2001, 0x3081, rng.randrange(1 << 16)))
        return 47, flags.to_bytes(2, "big") + rng.randbytes(14)
    return protocol, rng.randbytes(12)
