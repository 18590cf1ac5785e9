"""Captures made and read in plain Python, slowly and plainly: what tests compare with."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ETHERNET, RAW, SLL, WIFI = 1, 101, 113, 105


class Frame(NamedTuple):
    """`time` in nanoseconds since 1970, `wire` the length on the wire, `data` what was captured."""

    time: int
    wire: int
    data: bytes


def header(
    order: str = "<", nanoseconds: bool = False, snaplen: int = 262144, link_word: int = ETHERNET
) -> bytes:
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link_word)


def record(frame: Frame, order: str = "<", nanoseconds: bool = False) -> bytes:
    seconds, rest = divmod(frame.time, 10**9)
    fraction = rest if nanoseconds else rest // 1000
    return struct.pack(order + "IIII", seconds, fraction, len(frame.data), frame.wire) + frame.data


def capture(
    frames: Iterable[Frame],
    order: str = "<",
    nanoseconds: bool = False,
    snaplen: int = 262144,
    link_word: int = ETHERNET,
) -> bytes:
    records = (record(frame, order, nanoseconds) for frame in frames)
    return header(order, nanoseconds, snaplen, link_word) + b"".join(records)


def read(data: bytes) -> list[Frame]:
    """All frames; the bytes must be a whole capture."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    magic, _, _, _, _, snaplen, _ = struct.unpack(order + "IHHiIII", data[:24])
    unit = 1 if magic == 0xA1B23C4D else 1000
    limit = snaplen if 0 < snaplen <= 0x7FFFFFFF else 1 << 31
    frames = []
    at = 24
    while at < len(data):
        seconds, fraction, caplen, wire = struct.unpack(order + "IIII", data[at : at + 16])
        body = data[at + 16 : at + 16 + caplen]
        assert len(body) == caplen, f"a capture that ends inside a frame, at {at}"
        frames.append(Frame(seconds * 10**9 + fraction * unit, wire, body[:limit]))
        at += 16 + caplen
    return frames


# ---- Frames of many kinds -----------------------------------------------------------------------


def ipv4(payload: bytes, protocol: int, source: str, destination: str, fragment: int = 0) -> bytes:
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0)
        + bytes(map(int, source.split(".")))
        + bytes(map(int, destination.split(".")))
        + payload
    )


def ipv6(payload: bytes, protocol: int, source: int, destination: int) -> bytes:
    return (
        struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
        + source.to_bytes(16, "big")
        + destination.to_bytes(16, "big")
        + payload
    )


def fragment6(payload: bytes, protocol: int) -> bytes:
    """IPv6's header of fragments, of the first one of several."""
    return struct.pack(">BBHI", protocol, 0, 1, 7) + payload


def tcp(source: int, destination: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">HHIIBBHHH", source, destination, 1, 2, 5 << 4, flags, 512, 0, 0) + payload


def udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def ethernet(payload: bytes, ethertype: int, tags: Iterable[tuple[int, int]] = ()) -> bytes:
    tagged = b"".join(struct.pack(">HH", tpid, tci) for tpid, tci in tags)
    return (
        bytes.fromhex("0200000000010200000000ff") + tagged + ethertype.to_bytes(2, "big") + payload
    )


HOSTS = ("10.35.69.103", "10.0.0.1", "192.168.1.7", "224.0.0.251", "8.8.8.8")
PORTS = (22, 53, 80, 443, 1500, 5353, 60000)
HOST6 = (0x20010DB8 << 96 | 1, 0xFE80 << 112 | 5, 0xFF02 << 112 | 0xFB)


def ip_packet(rng: random.Random) -> tuple[bytes, int]:
    """A packet and its Ethernet type."""
    payload = rng.randbytes(rng.choice((0, 1, 18, 100, 700)))
    ports = rng.choice(PORTS), rng.choice(PORTS)
    kind = rng.randrange(5)
    if kind == 0:
        body, protocol = tcp(*ports, rng.randrange(64), payload), 6
    elif kind == 1:
        body, protocol = udp(*ports, payload), 17
    else:
        body, protocol = payload, rng.choice((1, 2, 50, 58, 132))
    if rng.random() < 0.3:
        if rng.random() < 0.2:
            body, protocol = fragment6(body, protocol), 44
        return ipv6(body, protocol, rng.choice(HOST6), rng.choice(HOST6)), 0x86DD
    fragment = rng.choice((0, 0, 0, 0x4000, 0x2000, 0x00B9))
    return ipv4(body, protocol, rng.choice(HOSTS), rng.choice(HOSTS), fragment), 0x0800


def ethernet_frame(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        arp = struct.pack(">HHBBH", 1, 0x800, 6, 4, rng.choice((1, 2))) + rng.randbytes(20)
        return ethernet(arp, 0x0806)
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(64))
    packet, ethertype = ip_packet(rng)
    tags = [(rng.choice((0x8100, 0x88A8, 0x9100)), rng.randrange(1 << 16))] * rng.choice(
        (0, 0, 0, 1, 2)
    )
    return ethernet(packet, ethertype, tags)


def link_frame(rng: random.Random, linktype: int) -> bytes:
    """A frame of one of the four link types that the tests make themselves."""
    if linktype == ETHERNET:
        return ethernet_frame(rng)
    packet, ethertype = ip_packet(rng)
    if linktype == RAW:
        return packet
    if linktype == SLL:
        start = struct.pack(">HHH8sH", rng.randrange(5), 1, 6, rng.randbytes(8), ethertype)
        return start + packet
    control = rng.choice((0x08, 0x88, 0x80, 0x40, 0xB4))
    llc = b"\xaa\xaa\x03\0\0\0" + ethertype.to_bytes(2, "big")
    wifi = bytes([control, rng.choice((0, 1, 2))]) + rng.randbytes(22)
    return wifi + (rng.randbytes(2) if control == 0x88 else b"") + llc + packet


def some_frames(rng: random.Random, count: int, linktype: int = ETHERNET) -> list[Frame]:
    """Frames of many kinds, about a third of them cut short, some to nothing."""
    frames = []
    time = 1_700_000_000 * 10**9
    for _ in range(count):
        data = link_frame(rng, linktype)
        time += rng.randrange(10**7) * 1000
        cut = rng.choice((len(data), len(data), 80, rng.randrange(len(data) + 1)))
        frames.append(Frame(time, max(len(data), 1), data[:cut]))
    return frames


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)
