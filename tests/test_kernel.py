"""Filters that run in the kernel take there what they take on a file: asked of the kernel itself.

A filter on a datagram socket sees each datagram as it would see a frame, and needs no rights.
"""

from __future__ import annotations

import ctypes
import random
import socket
import struct
from collections.abc import Iterator

import pytest

import fastcap
from fastcap.language import kernel
from fastcap.language.libpcap import ClassicInstruction
from tests import pcaps

SO_ATTACH_FILTER = 26
SNAPLEN = 40

EXACT = [
    "ether host 02:00:00:00:00:01",
    "ether src 02:00:00:00:00:ff or ether dst 02:00:00:00:00:01",
    "not ether multicast",
    "ether[0] & 1 = 0 and ether[6:4] != 0x02000000",
    "ether[5] * 2 + 1 = 3",
    "Blob(FrameData, 0, 6) == 0x020000000001",
    "Blob(FrameData, 0, 6) != 0x020000000001 AND Blob(FrameData, 6, 6) == 0x0200000000ff",
    "NOT Blob(FrameData, 5, 1) == 1",
]
NOT_EXACT = [
    "ip",  # a tag moves the Ethernet type
    "Blob(FrameData, 26, 4) == 0x0a234567",
    "Blob(FrameData, 11, 2) == 1",
    "len > 100",  # the tag is not in the kernel's length
    "vlan",
    "ether[0] << 1 = 2",
    " OR ".join(f"Blob(FrameData, 0, 4) == {i}" for i in range(20)),  # a set
]


class Kernel:
    """A pair of sockets: what goes in and passes the filter comes out, cut."""

    def __init__(self) -> None:
        self.sender, self.receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.setblocking(False)

    def attach(self, program: list[ClassicInstruction]) -> None:
        code = kernel.packed(program)
        buffer = ctypes.create_string_buffer(code)
        value = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, value)

    def pass_on(self, frame: bytes) -> bytes | None:
        self.sender.send(frame)
        try:
            return self.receiver.recv(1 << 16)
        except BlockingIOError:
            return None


@pytest.fixture
def sockets() -> Iterator[Kernel]:
    pair = Kernel()
    yield pair
    pair.sender.close()
    pair.receiver.close()


def frames(rng: random.Random) -> list[bytes]:
    some = [pcaps.ethernet_frame(rng) for _ in range(300)]
    addresses = (b"\2\0\0\0\0\1", b"\2\0\0\0\0\xff", b"\xff" * 6, b"\1\0\x5e\0\0\1", bytes(6))
    return [
        rng.choice(addresses) + rng.choice(addresses) + frame[12:] + bytes(2)
        for frame in some
    ]  # fmt: skip


@pytest.mark.parametrize("expression", EXACT)
def test_an_exact_filter_takes_the_same_frames_in_the_kernel(
    expression: str, sockets: Kernel, rng: random.Random
) -> None:
    compiled = fastcap.compile(expression)
    program = kernel.exactly(compiled.program, compiled.linktype, SNAPLEN)
    assert program is not None
    sockets.attach(program)
    taken = 0
    for frame in frames(rng):
        expected = frame[:SNAPLEN] if compiled.matches(frame) else None
        assert sockets.pass_on(frame) == expected, frame.hex()
        taken += expected is not None
    assert 0 < taken < 300


@pytest.mark.parametrize("expression", NOT_EXACT)
def test_a_filter_that_the_kernel_would_read_otherwise_stays_in_user_space(expression: str) -> None:
    compiled = fastcap.compile(expression)
    assert kernel.exactly(compiled.program, compiled.linktype, SNAPLEN) is None


def test_only_ethernet_has_addresses_that_nothing_moves() -> None:
    compiled = fastcap.compile("Blob(FrameData, 0, 1) == 0x45", "raw")
    assert kernel.exactly(compiled.program, compiled.linktype, SNAPLEN) is None


@pytest.mark.parametrize(
    ("expression", "needed"),
    [
        ("Blob(FrameData, 26, 4) == 1", 30),
        ("Blob(FrameData, 100, 1) == 1 OR Blob(FrameData, 2, 2) == 1", 101),
        ("ip", 14),
        ("host 10.0.0.1", 42),  # ARP's target address
        ("tcp port 80", 262144),  # behind a header whose length the frame says
    ],
)
def test_the_ring_gets_all_that_a_user_space_filter_may_look_at(
    expression: str, needed: int
) -> None:
    assert kernel.bytes_needed(fastcap.compile(expression).program) == needed


def test_without_a_filter_frames_are_cut_and_nothing_else(sockets: Kernel) -> None:
    sockets.attach(kernel.everything(5))
    assert sockets.pass_on(b"0123456789") == b"01234"
    # a datagram has no direction: for the kernel it is none that goes out
    sockets.attach(kernel.only("in", kernel.everything(5)))
    assert sockets.pass_on(b"0123456789") == b"01234"
    sockets.attach(kernel.only("out", kernel.everything(5)))
    assert sockets.pass_on(b"0123456789") is None
