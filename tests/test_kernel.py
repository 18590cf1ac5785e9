"""Filters that run in the kernel take there what they take on a file: the kernel is asked."""

from __future__ import annotations

import random

import pytest

import fastcap
from fastcap.language import kernel
from tests import pcaps, reference
from tests.sockets import KernelFilters

SNAPLEN = 40

EXACT = [
    "ether host 02:00:00:00:00:01",
    "not ether multicast",
    "ether[0] & 1 = 0 and ether[6:4] != 0x02000000",
    "ether[5] * 2 + 1 = 3",
    "ip",
    "vlan",
    "vlan and ip",
    "not tcp port 443",
    "host 10.35.69.103 and udp",
    "len > 100",
    "ether[14] << 1 = 0x8a",
    "1 / (ether[19] - 1) = 0 or ip6",
    "Blob(FrameData, 0, 6) == 0x020000000001",
    "Blob(FrameData, 26, 4) == 10.35.69.103",
    "NOT Blob(FrameData, 50, 1) == 0",
    "Blob(FrameData, 11, 8) != 0",
    "Blob(FrameData, 14, 1) & 0xF0 == 0x40 AND NOT ether[60] = 1",
    " OR ".join(f"Blob(FrameData, 26, 4) == {i << 24 | 1}" for i in range(3, 250)),
    "IPv4.Address IN {10.0.0.0/8, 8.8.8.8}",
    "IPv6.Address == fe80::5",
    "IPv6.Address IN {2001:db8::7, fe80::4-fe80::9}",
    "NOT IPv6.SourceAddress IN {2001:db8::1, fe80::5}",
    "Ethernet.Address IN {02:00:00:00:00:01, 02:00:00:00:00:07}",
    "TCP.Port < 1024",
    "FrameLength >= 64",
]
# What the kernel takes is more than the filter does: user space decides.
SUPERSETS = [
    "ContainsBin(FrameData, HEX, '0000')",
    "ip and not ContainsBin(FrameData, HEX, '0000')",
    " OR ".join(f"Blob(FrameData, 26, 4) == {i << 18 | 1}" for i in range(3000)),
    "NOT (" + " OR ".join(f"Blob(FrameData, 26, 4) == {i << 18 | 1}" for i in range(3000)) + ")",
    "IPv6.Address IN {fe80::5, 2001:db8::/32}",
    "Blob(FrameData, 0, 6) IN {" + ", ".join(map(str, range(100))) + ", 02:00:00:00:00:01}",
    "ip protochain 6",
    "len <= 60 or ether[len - 1] = 0",  # where a tag is in the way, that is not known before
    " or ".join(f"(tcp port {port} and host 10.0.0.1)" for port in range(1, 900)),
]


def frames(rng: random.Random, count: int = 300) -> list[bytes]:
    """As Ethernet devices give them: not without the addresses and a type."""
    return [frame + bytes(max(0, 14 - len(frame)))
            for frame in (pcaps.ethernet_frame(rng)[:rng.choice((60, 90, 2000))]
                          for _ in range(count))]  # fmt: skip


def many_tags(rng: random.Random) -> bytes:
    packet, kind = pcaps.ip_packet(rng)
    tpids = [rng.choice((0x8100, 0x88A8, 0x9100)) for _ in range(rng.randrange(1, 6))]
    return pcaps.ethernet(packet, kind, [(tpid, rng.randrange(1 << 16)) for tpid in tpids])


def lowered(expression: str, vlan: str = "wire") -> kernel.KernelFilter:
    return fastcap.compile(expression, vlan=vlan).classic(SNAPLEN, live=True)


@pytest.mark.parametrize("expression", EXACT, ids=lambda text: text[:50])
def test_an_exact_filter_takes_the_same_frames_in_the_kernel(
    expression: str, sockets: KernelFilters, rng: random.Random
) -> None:
    compiled = fastcap.compile(expression)
    found = lowered(expression)
    assert (found.exact, found.snaplen) == (True, SNAPLEN)
    sockets.attach(found.instructions)
    taken = 0
    for frame in frames(rng):
        expected = frame[:SNAPLEN] if compiled.matches(frame) else None
        assert sockets.pass_on(frame) == expected, frame.hex()
        taken += expected is not None
    assert 0 < taken < 300


@pytest.mark.parametrize("expression", SUPERSETS, ids=lambda text: text[:50])
def test_a_superset_passes_what_the_filter_takes_with_all_the_bytes_it_can_look_at(
    expression: str, sockets: KernelFilters, rng: random.Random
) -> None:
    compiled = fastcap.compile(expression)
    found = lowered(expression)
    assert not found.exact
    sockets.attach(found.instructions)
    for frame in frames(rng, 100):
        passed = sockets.pass_on(frame)
        if compiled.matches(frame):
            assert passed is not None, frame.hex()
        if passed is not None:
            assert compiled.matches(passed, len(frame)) == compiled.matches(frame)


def test_a_superset_is_as_narrow_as_it_can_be(sockets: KernelFilters) -> None:
    hosts = " OR ".join(
        f"Blob(FrameData, 26, 4) == 10.1.{i >> 8}.{2 * i & 255}" for i in range(2000)
    )
    sockets.attach(
        lowered(f"tcp and ({hosts}) and ContainsBin(FrameData, ASCII, 'GET')").instructions
    )
    inside = pcaps.ethernet(pcaps.ipv4(bytes(40), 6, "10.1.3.7", "9.9.9.9"), 0x0800)
    outside = pcaps.ethernet(pcaps.ipv4(bytes(40), 6, "10.200.0.2", "9.9.9.9"), 0x0800)
    other = pcaps.ethernet(pcaps.ipv4(bytes(40), 17, "10.1.3.2", "9.9.9.9"), 0x0800)
    assert sockets.pass_on(inside) is not None
    assert sockets.pass_on(outside) is None
    assert sockets.pass_on(other) is None


def test_a_superset_of_mac_addresses_compares_their_first_bytes(sockets: KernelFilters) -> None:
    for field, at in (("Destination", [0]), ("Source", [6]), ("", [0, 6])):
        found = lowered(f"Ethernet.{field}Address IN {{02:00:00:00:00:01-02:00:00:00:00:ff}}")
        assert not found.exact
        sockets.attach(found.instructions)
        for place in (0, 6):
            frame = bytearray(60)
            frame[place : place + 6] = bytes.fromhex("020000000009")
            assert (sockets.pass_on(bytes(frame)) is not None) == (place in at)


@pytest.mark.parametrize("vlan", ["wire", "skip"])
def test_random_expressions_agree_with_the_reference_in_the_kernel(
    vlan: str, sockets: KernelFilters, rng: random.Random
) -> None:
    """Exactly, or as a superset with all the bytes that the filter looks at."""
    some = frames(rng) + [many_tags(rng) for _ in range(150)]
    exact = 0
    for _ in range(300):
        tree = reference.random_tree(rng, fields=True)
        text = reference.as_text(tree, rng)
        compiled = fastcap.compile(text, vlan=vlan)
        found = compiled.classic(SNAPLEN, live=True)
        sockets.attach(found.instructions)
        exact += found.exact
        for frame in rng.sample(some, 45):
            expected = reference.matches(tree, frame, vlan=vlan)
            passed = sockets.pass_on(frame)
            if found.exact:
                assert passed == (frame[:SNAPLEN] if expected else None), (text, frame.hex())
            elif passed is None:
                assert not expected, (text, frame.hex())
            else:
                assert compiled.matches(passed, len(frame)) == expected, (text, frame.hex())
    assert exact > 100 or vlan == "skip"


def test_a_superset_that_lost_what_skips_tags_passes_tagged_frames_whole(
    sockets: KernelFilters,
) -> None:
    """User space still skips them, so it looks further back than without tags."""
    text = "Blob(FrameData, 0, 1) == 2 AND NOT IPv6.Address IN {2001:db8::2, 2001:db8::9, ::/32}"
    compiled = fastcap.compile(text, vlan="skip")
    sockets.attach(compiled.classic(64, live=True).instructions)
    packet = pcaps.ipv6(b"", 17, 1 << 120, 0x20010DB8 << 96 | 2)
    for tags in range(6):
        for tpid in (0x8100, 0x88A8, 0x9100):
            frame = pcaps.ethernet(packet, 0x86DD, [(tpid, 5)] * tags)
            passed = sockets.pass_on(frame)
            assert not compiled.matches(frame)
            assert passed is None or not compiled.matches(passed, len(frame)), (tags, tpid)


@pytest.mark.parametrize("live", [True, False])
def test_offsets_that_mean_something_else_in_the_kernel_are_missing_bytes_there_too(
    live: bool, sockets: KernelFilters
) -> None:
    far = [f"ether[{0xFFFFF000 + 48}:4] = 0", f"not ether[{0xFFFFF004}:4] = 0",
           f"ip6 or ether[{0xFFFFF000}:2] = 0 or ip"]  # fmt: skip
    computed = ["ether[ether[12:4] * 1000 - 1] = 0 or ip"] if live else []
    for text in far + computed:
        compiled = fastcap.compile(text)
        sockets.attach(compiled.classic(SNAPLEN, live=live).instructions)
        for frame in (bytes(60), b"\xff" * 60, bytes(12) + b"\x86\xdd" + bytes(46)):
            assert compiled.matches(frame) == (sockets.pass_on(frame) is not None), text


def test_a_filter_that_a_capture_does_not_try_in_the_kernel_is_not_said_to_run_there() -> None:
    """4,044 instructions: the kernel would take them, but for what a direction adds."""
    compiled = fastcap.compile(" AND ".join(f"Blob(FrameData, 0, 4) != {i}" for i in range(1390)))
    assert compiled.classic().exact
    assert not compiled.classic(live=True).exact
    assert "While capturing it runs in user space." in compiled.explain()


def test_long_jumps_reach_where_they_should(sockets: KernelFilters) -> None:
    """Hundreds of terms between a test and where it leads."""
    middle = " and ".join(f"ether[20] != {i}" for i in range(1, 250))
    text = f"(ip and {middle}) or (arp and {middle}) or Blob(FrameData, 0, 1) == 7"
    sockets.attach(lowered(text).instructions)
    for kind in (0x0800, 0x0806, 0x86DD):
        for value in (0, 1, 249, 250):
            for first in (2, 7):
                frame = bytes([first]) + bytes(11) + kind.to_bytes(2, "big") + bytes(6)
                frame += bytes([value]) + bytes(20)
                right = (kind != 0x86DD and value in (0, 250)) or first == 7
                assert (sockets.pass_on(frame) is not None) == right


@pytest.mark.parametrize(
    ("expression", "needed"),
    [
        ("Blob(FrameData, 26, 4) == 1", 30),
        ("Blob(FrameData, 100, 1) == 1 OR Blob(FrameData, 2, 2) == 1", 101),
        ("ip", 14),
        ("host 10.0.0.1", 42),  # ARP's target address
        ("tcp port 80", 78),  # behind a header of at most 60 bytes
        ("ether[ether[20]] = 1", 262144),
        ("Blob(FrameData, 40, 6) IN {" + ", ".join(map(str, range(20))) + ", 99}", 46),
        ("ContainsBin(FrameData, HEX, '00')", 262144),
    ],
)
def test_the_ring_gets_all_that_a_user_space_filter_may_look_at(
    expression: str, needed: int
) -> None:
    assert fastcap.compile(expression).bytes_needed == needed


def test_without_a_filter_frames_are_cut_and_nothing_else(sockets: KernelFilters) -> None:
    sockets.attach(kernel.everything(5))
    assert sockets.pass_on(b"0123456789") == b"01234"
    # a datagram has no direction: for the kernel it is none that goes out
    sockets.attach(kernel.only("in", kernel.everything(5)))
    assert sockets.pass_on(b"0123456789") == b"01234"
    sockets.attach(kernel.only("out", kernel.everything(5)))
    assert sockets.pass_on(b"0123456789") is None
