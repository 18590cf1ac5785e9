"""--slice keeps headers by their real length: each record of real frames, byte for byte."""

from __future__ import annotations

import json
import pickle
import random
import struct
import sys
import tempfile
from pathlib import Path

import pytest

from tests.live.network import (
    FAR,
    LONGEST_WAIT,
    NEAR,
    Ended,
    Network,
    opens_without_a_warning,
    read,
    tunnel,
)
from tests.slices import kept, random_frame

SEND = Path(__file__).with_name("run_programs.py")
BODY = bytes(range(200, 250)) * 3

MACS = bytes.fromhex("020000000002 020000000001")
TAG, OUTER = bytes.fromhex("8100 6064"), bytes.fromhex("88a8 7005")
IP, IP6, ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"


def ipv4(protocol: int, options: bytes = b"", fragment: int = 0x4000, rest: int = 200) -> bytes:
    length = 20 + len(options)
    head = struct.pack(
        ">BBHHHBBH", 0x40 + length // 4, 0, length + rest, 7, fragment, 64, protocol, 0
    )
    return head + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options


def ipv6(protocol: int, rest: int = 200) -> bytes:
    return struct.pack(">IHBB", 0x60000000, rest, protocol, 64) + b"\xfd" * 32


def tcp(options: bytes = b"") -> bytes:
    size = 20 + len(options)
    return struct.pack(">HHIIBBHHH", 443, 50000, 1, 2, size // 4 << 4, 0x10, 512, 0, 0) + options


UDP = bytes.fromhex("0035c00000080000")
TIMES = bytes.fromhex("0101080a0000000100000002")
HOP_BY_HOP = bytes.fromhex("3c00010400000000")
DESTINATION = bytes.fromhex("0601010c") + bytes(12)
ARP_PACKET = bytes.fromhex("0001080006040001 020000000001 0a000001 000000000000 0a000002")

# name -> the frame's headers of layer 2, 3, 4
FRAMES: dict[str, tuple[bytes, bytes, bytes]] = {
    "TCP": (MACS + IP, ipv4(6), tcp()),
    "TCP with options": (MACS + IP, ipv4(6), tcp(TIMES)),
    "IPv4 with options": (MACS + IP, ipv4(6, b"\x94\4\0\0" + b"\1" * 8), tcp(TIMES)),
    "a tag": (MACS + TAG + IP, ipv4(6), tcp(TIMES)),
    "two tags": (MACS + OUTER + TAG + IP, ipv4(17), UDP),
    "three tags": (MACS + OUTER + TAG + TAG + IP6, ipv6(17), UDP),
    "IPv6": (MACS + IP6, ipv6(6), tcp(TIMES)),
    "IPv6 with extensions": (MACS + IP6, ipv6(0) + HOP_BY_HOP + DESTINATION, tcp()),
    "IPv6, first fragment": (MACS + IP6, ipv6(44) + b"\x11\0\0\1\0\0\0\7", UDP),
    "IPv6, another fragment": (MACS + IP6, ipv6(44) + b"\x11\0\1\1\0\0\0\7", b""),
    "first fragment": (MACS + IP, ipv4(17, fragment=0x2000), UDP),
    "another fragment": (MACS + IP, ipv4(17, fragment=0x2005), b""),
    "ARP": (MACS + ARP, ARP_PACKET, b""),
    "ARP with a tag": (MACS + TAG + ARP, ARP_PACKET, b""),
    "ICMP": (MACS + IP, ipv4(1), bytes.fromhex("0800000000010001")),
    "SCTP": (MACS + IP, ipv4(132), bytes.fromhex("0b590b590000000100000000")),
    "GRE": (MACS + IP, ipv4(47), bytes.fromhex("2000080000000001")),
    "IP in IP": (MACS + IP, ipv4(4), b""),
    "OSPF": (MACS + IP, ipv4(89), b""),
    "MPLS": (MACS + bytes.fromhex("8847 00010040 00011140"), ipv4(6), tcp()),
    "PPPoE": (MACS + bytes.fromhex("8864 11000001 00ca0021"), ipv4(6), tcp(TIMES)),
    "SNAP": (MACS + bytes.fromhex("00d0 aaaa030000000800"), ipv4(17), UDP),
    "spanning tree": (MACS + bytes.fromhex("00a0"), b"", b""),
    "unknown": (MACS + bytes.fromhex("88b5"), b"", b""),
}  # fmt: skip
SENT = [b"".join(headers) + BODY for headers in FRAMES.values()]


def send(network: Network, frames: list[bytes]) -> None:
    """It returns when the other end has received all of them."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
        pickle.dump(([], frames), given)
        given.seek(0)
        process = network.popen(sys.executable, SEND, NEAR, FAR, stdin=given, stdout=told)
        assert process.wait(LONGEST_WAIT) == 0
        told.seek(0)
        assert pickle.load(told)[0] == len(frames)


def check(ended: Ended, frames: list[bytes], expected: list[bytes]) -> None:
    ended.check_account(sent=len(frames))
    found = ended.frames()
    assert [frame.data for frame in found] == expected
    assert [frame.wire for frame in found] == [len(frame) for frame in frames]
    opens_without_a_warning(ended.paths)


@pytest.mark.parametrize("more", [0, 16])
@pytest.mark.parametrize("layer", [2, 3, 4])
def test_frames_end_behind_the_headers_that_were_asked_for(
    network: Network, tmp_path: Path, layer: int, more: int
) -> None:
    text = f"l{layer}+{more}" if more else f"l{layer}"
    capture = network.capture(tmp_path / "x.pcap", "--slice", text)
    send(network, SENT)
    ended = capture.end()
    ends = [len(b"".join(headers[: layer - 1])) + more for headers in FRAMES.values()]
    check(ended, SENT, [frame[:end] for frame, end in zip(SENT, ends, strict=True)])
    assert ended.json["slice"] == text
    beside = json.loads((tmp_path / "x.pcap.json").read_text())
    assert beside["capture"]["slice"] == text
    assert f"headers ({text})" in ended.err


@pytest.mark.parametrize("snaplen", [1, 12, 14, 16, 20, 40, 60, 80])
def test_a_snaplen_cuts_as_well(network: Network, tmp_path: Path, snaplen: int) -> None:
    capture = network.capture(tmp_path / "x.pcap", "--slice", "l4", "-s", snaplen)
    send(network, SENT)
    ends = [min(snaplen, len(b"".join(headers))) for headers in FRAMES.values()]
    check(capture.end(), SENT, [frame[:end] for frame, end in zip(SENT, ends, strict=True)])


@pytest.mark.parametrize("expression", ["", "ether[0] >= 0", "ContainsBin(FrameData, HEX, '02')"])
def test_headers_are_looked_for_in_512_bytes_and_those_behind_them_are_there(
    network: Network, tmp_path: Path, expression: str
) -> None:
    """Whatever a filter wanted of the frame."""
    long = MACS + TAG + IP6 + ipv6(0, 2500) + b"\x06\xff" + bytes(2046) + tcp() + bytes(3000)
    frames = [MACS + TAG + IP + ipv4(6) + tcp(TIMES) + bytes(3000), long]
    capture = network.capture(tmp_path / "x.pcap", "--slice", "l4+1000", expression)
    send(network, frames)
    ended = capture.end()
    ends = (14 + 4 + 20 + 32 + 1000, 512 + 1000)
    expected = [frame[:end] for frame, end in zip(frames, ends, strict=True)]
    check(ended, frames, expected)


@pytest.mark.parametrize(
    ("expression", "runs_in"),
    [("tcp", "kernel"), ("ip[40:2] >= 0", "kernel"),
     ("ContainsBin(FrameData, HEX, 'f7f8f9')", "user space"),
     ("tcp and ContainsBin(FrameData, HEX, 'f7f8f9')", "kernel, then user space")],
)  # fmt: skip
def test_a_filter_sees_frames_before_they_are_sliced(
    network: Network, tmp_path: Path, expression: str, runs_in: str
) -> None:
    sliced = network.capture(tmp_path / "x.pcap", "--slice", "l3", expression)
    whole = network.capture(tmp_path / "all.pcap", expression)
    send(network, SENT)
    all_of_it = whole.end().frames()
    ended = sliced.end()
    assert ended.json["filter_runs_in"] == runs_in
    assert len(all_of_it) > 3
    assert [(frame.wire, frame.data) for frame in ended.frames()] == [
        (frame.wire, kept(frame.data, frame.wire, 3)) for frame in all_of_it
    ]


@pytest.mark.parametrize("words", ["", "-C 5k", "-C 20k --precision micro", "-s 70", "-c 300"])
def test_random_frames_end_where_the_slow_reference_says(
    network: Network, tmp_path: Path, rng: random.Random, words: str
) -> None:
    layer, more = rng.choice((2, 3, 4)), rng.choice((0, 5, 500))
    frames = [frame for frame in (random_frame(rng) for _ in range(600)) if 60 < len(frame) < 8000]
    capture = network.capture(tmp_path / "x.pcap", "--slice", f"l{layer}+{more}", *words.split())
    send(network, frames)
    limited = words.startswith("-c")
    ended = capture.end(None) if limited else capture.end()
    taken = frames[: 300 if limited else None]
    snaplen = 70 if "-s" in words else 262144
    ended.check_account()
    found = [frame for path in ended.paths for frame in read(path)]
    assert [frame.wire for frame in found] == [len(frame) for frame in taken]
    assert [frame.data for frame in found] == [
        kept(frame[:snaplen], len(frame), layer, more) for frame in taken
    ]
    if "-C" in words:
        most = int(words.split()[1][:-1]) << 10
        assert len(ended.paths) > 1
        assert all(path.stat().st_size <= most for path in ended.paths)
    opens_without_a_warning(ended.paths)


@pytest.mark.parametrize(("text", "ends"), [("l2", 0), ("l2+3", 3), ("l3", 24), ("l4+2", 58)])
def test_a_tunnels_packets_have_no_link_header(
    network: Network, tmp_path: Path, text: str, ends: int
) -> None:
    packet = ipv4(6, b"\1" * 4) + tcp(TIMES) + BODY
    with tunnel(network) as write:
        capture = network.capture(tmp_path / "x.pcap", "--slice", text, interface="tun0")
        write(packet)
        check(capture.end(), [packet], [packet[:ends]])


def test_without_it_the_json_says_null(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap")
    network.send(3)
    ended = capture.end()
    assert ended.json["slice"] is None
    assert json.loads((tmp_path / "x.pcap.json").read_text())["capture"]["slice"] is None
