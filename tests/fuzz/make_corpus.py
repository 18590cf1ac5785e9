# SPDX-License-Identifier: Apache-2.0
"""Writes the seed inputs of the fuzz targets: small captures and programs, sound and damaged.

Each target's .c file says how it reads its input. The same bytes come out in every run.
"""

import random
import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

# The settings that scan.c takes from the first eight bytes.
SWAPPED, NANOSECONDS, TO_SWAPPED, TO_NANOSECONDS, PROGRAM, COUNT_ONLY, ROOM, REST = (
    1 << bit for bit in range(8)
)
SIZE_65535, SIZE_262144, SIZE_LARGEST = 251, 252, 255
NO_LIMIT = 255


def settings(
    flags: int = 0,
    *,
    snaplen: int = SIZE_262144,
    longest: int = SIZE_262144,
    to_snaplen: int = SIZE_262144,
    limit: int = NO_LIMIT,
    room: int = 12,
    split: int = 128,
    guess: int = 40,
) -> bytes:
    return bytes([flags, snaplen, longest, to_snaplen, limit, room, split, guess])


def record(
    seconds: int, fraction: int, frame: bytes, wire: int | None = None, order: str = "<"
) -> bytes:
    header = (seconds, fraction, len(frame), len(frame) if wire is None else wire)
    return struct.pack(order + "4I", *header) + frame


def traffic(count: int, order: str = "<", *, nanoseconds: bool = False) -> bytes:
    source = random.Random(count)
    second = 10**9 if nanoseconds else 10**6
    return b"".join(
        record(
            1700000000 + i // 4,
            source.randrange(second),
            source.randbytes(source.randrange(60)),
            60,
            order,
        )
        for i in range(count)
    )


def scan_inputs() -> dict[str, bytes]:
    some = traffic(8)
    header = struct.pack("<4I", 1700000000, 5, 20, 20)
    return {
        "empty": b"",
        "settings-only": settings(),
        "records": settings() + some,
        "many-records": settings(guess=100) + traffic(30),
        "big-endian-to-nanoseconds": settings(SWAPPED | TO_NANOSECONDS) + traffic(8, ">"),
        "nanoseconds-to-big-endian": settings(NANOSECONDS | TO_SWAPPED)
        + traffic(8, nanoseconds=True),
        "program": settings(PROGRAM) + some,
        "program-and-limit": settings(PROGRAM | TO_SWAPPED, limit=2) + some,
        "count-only": settings(PROGRAM | COUNT_ONLY) + some,
        "room": settings(PROGRAM | ROOM | TO_SWAPPED, split=70) + some,
        "rest": settings(PROGRAM | REST) + some,
        "rest-and-limit": settings(PROGRAM | REST | ROOM | TO_NANOSECONDS, limit=5) + some,
        "snaplen": settings(PROGRAM | TO_NANOSECONDS, snaplen=20, to_snaplen=14) + some,
        "cut-by-output": settings(to_snaplen=14) + some,
        "cut-header": settings() + some + header[:15],
        "cut-frame": settings() + some + header + b"x" * 19,
        "too-long": settings(longest=SIZE_65535) + some + struct.pack("<4I", 1, 2, 65536, 65536),
        "longest-length": settings(longest=SIZE_LARGEST) + struct.pack("<4I", 1, 2, 2**32 - 1, 4),
        "zeros": settings() + some + bytes(40),
        "fraction-of-seconds": settings(TO_NANOSECONDS) + record(7, 2**32 - 1, b"frame"),
        "empty-frames": settings(PROGRAM) + record(1, 2, b"", 60) * 5,
        "noise": settings(guess=0) + random.Random(1).randbytes(300),
    }


# In the order of reference_codes in tests/c/reference.h.
CODES = """
    ld ldh ldb  ldx+ ldhx+ ldbx+  ldmsh  ldi ldm ldlen  ldxi ldxm ldxlen  st stx
    addk addx subk subx mulk mulx  divk divx modk modx  ork orx andk andx xork xorx
    lshk lshx rshk rshx neg  ja jeqk jeqx jgtk jgtx jgek jgex  jsetk jsetx
    retk reta tax txa  ldcap jset? jwide? jcontains? jaback
""".split()
AS_IT_IS, MENDED, SPREAD_SETS, TAGS = 1, 2, 4, 8
SKIPPING = 0x80  # with an instruction's code


def packed(*instructions: tuple[str, int, int, int]) -> bytes:
    """A name with a minus before it skips tags."""
    return b"".join(
        bytes([CODES.index(name.lstrip("-")) | (SKIPPING if name[0] == "-" else 0), k, t, f])
        for name, k, t, f in instructions
    )


def tagged(*tags: bytes) -> bytes:
    """An Ethernet frame of IPv4 behind tags."""
    inner = b"\x08\x00\x45" + bytes(range(40))
    return bytes(12) + b"".join(tag + b"\x00\x05" for tag in tags) + inner


def program(flags: int, code: bytes, frame: bytes = bytes(range(40)), sets: bytes = b"") -> bytes:
    return bytes([flags, len(frame), 60]) + sets + frame + code


def program_inputs() -> dict[str, bytes]:
    raw = struct.Struct("<HHIII")
    source = random.Random(7)
    ether_type = packed(
        ("ldh", 12, 0, 2), ("jeqk", 8, 0, 1), ("retk", 255, 0, 0), ("retk", 0, 0, 0)
    )
    ip_header = packed(
        ("ldmsh", 14, 0, 5),
        ("ldhx+", 16, 0, 4),
        ("jgtk", 80, 0, 3),
        ("ldbx+", 255, 0, 2),
        ("jsetk", 1, 0, 1),
        ("reta", 0, 0, 0),
        ("retk", 0, 0, 0),
    )
    shared_tail = packed(
        ("ldb", 12, 0, 8),
        ("jeqk", 12, 1, 0),
        ("ldmsh", 14, 0, 6),
        ("ldh", 26, 0, 5),
        ("jgek", 3, 2, 0),
        ("ldhx+", 14, 0, 3),
        ("jgek", 2, 0, 2),
        ("jgtk", 9, 1, 0),
        ("retk", 1, 0, 0),
        ("retk", 0, 0, 0),
    )
    arithmetic = b"".join(
        packed((name, 33, 0, 0))
        for name in CODES
        if name[-1] in "kx" and name[:3] in {"add", "sub", "mul", "orx", "and", "xor", "lsh", "rsh"}
    )
    memory = packed(
        ("ldi", 9, 0, 0), ("st", 3, 0, 0), ("stx", 15, 0, 0), ("ldm", 3, 0, 0), ("ldxm", 15, 0, 0)
    )
    divide = packed(
        ("ldlen", 0, 0, 0),
        ("divx", 0, 0, 1),
        ("modx", 0, 0, 0),
        ("modk", 7, 0, 0),
        ("divk", 0, 0, 0),
    )
    end = packed(("reta", 0, 0, 0))
    remainder = packed(("ldi", 9, 0, 0), ("modx", 0, 0, 1), ("retk", 1, 0, 0))
    behind_tag = packed(("ld", 14, 0, 1), ("ldxi", 3, 0, 0), ("ldhx+", 20, 0, 0), ("addx", 0, 0, 0))
    wrap = packed(("ldxi", 253, 0, 0), ("ldx+", 5, 0, 1), ("retk", 7, 0, 0), ("retk", 8, 0, 0))
    compare = packed(
        ("ldi", 5, 0, 0), ("ldxi", 5, 0, 0), ("jgex", 0, 1, 0), ("retk", 1, 0, 0), ("jgtx", 0, 0, 1)
    )
    one_set = bytes([4, 1, 5, 9, 255])
    # in the wide set of 3 bytes, in that of 6, which begins with 0 1 2 3 4 5, and behind the end
    in_wide = packed(("ldi", 1, 0, 0), ("jwide?", 0, 0, 1), ("ldi", 0, 0, 0), ("jwide?", 1, 0, 1))
    far_wide = packed(("ldi", 252, 0, 0), ("jwide?", 0, 1, 0), ("ldi", 35, 0, 0))
    contains = packed(("jcontains?", 0, 0, 1), ("jcontains?", 1, 1, 0))
    no_pattern = packed(("jcontains?", 2, 0, 0))
    count_down = packed(
        ("ldi", 9, 0, 0),
        ("subk", 1, 0, 0),
        ("jeqk", 0, 1, 0),
        ("jaback", 3, 0, 0),
        ("txa", 0, 0, 0),
    )
    endless = packed(("ldi", 1, 0, 0), ("jaback", 1, 0, 0))
    skipping = packed(
        ("-ldh", 12, 0, 6),
        ("jeqk", 8, 0, 5),
        ("-ldmsh", 14, 0, 4),
        ("-ldhx+", 14, 0, 3),
        ("-ldlen", 0, 0, 0),
        ("-ldxlen", 0, 0, 0),
        ("-ldcap", 0, 0, 0),
    )
    skipping_wide = packed(("ldi", 15, 0, 0), ("-jwide?", 0, 0, 1), ("ld", 12, 0, 0))
    tags = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
    raw_program = raw.pack(0x28, 0, 12, 0, 1) + raw.pack(0x06, 0, 1, 0, 0) * 2
    return {
        "empty": b"",
        "return": program(0, end),
        "ether-type": program(0, ether_type),
        "ether-type-cut": program(0, ether_type, b"\x08" * 13),
        "shared-tail": program(0, shared_tail, bytes(14) + b"\x45" + bytes(30)),
        "ip-header": program(0, ip_header),
        "arithmetic": program(0, packed(("ldcap", 0, 0, 0), ("ldxi", 5, 0, 0)) + arithmetic + end),
        "memory": program(0, memory + end),
        "divide-by-zero": program(0, divide + end),
        "remainder-by-zero": program(0, remainder + end),
        "behind-tag": program(0, behind_tag + end),
        "offset-wraps": program(0, wrap),
        "compare": program(0, compare + end * 2),
        "header-length": program(0, packed(("ldmsh", 14, 0, 1), ("txa", 0, 0, 0)) + end),
        "shift-by-32": program(
            0, packed(("ldi", 255, 0, 0), ("lshk", 32, 0, 0), ("jeqk", 0, 0, 0)) + end
        ),
        "shift-right-by-32": program(0, packed(("ldi", 255, 0, 0), ("rshk", 32, 0, 0)) + end),
        "no-such-set": program(1 << 4, packed(("jset?", 1, 0, 0)) + end, sets=one_set),
        "load-target-outside": program(0, packed(("ldb", 0, 0, 1)) + end),
        "jump-target-outside": program(0, packed(("jeqk", 0, 1, 0)) + end),
        "set": program(
            1 << 4, packed(("ldb", 5, 0, 1), ("jset?", 0, 1, 0)) + end * 2, sets=one_set
        ),
        "set-of-ranges": program(
            TAGS | 1 << 4, packed(("ldb", 5, 0, 1), ("jset?", 0, 1, 0)) + end * 2, sets=one_set
        ),
        "wide-set": program(0, in_wide + end * 2),
        "wide-set-far": program(0, far_wide + packed(("jwide?", 1, 0, 0)) + end),
        "no-such-wide-set": program(0, packed(("jwide?", 2, 0, 0)) + end),
        "contains": program(0, contains + end * 3),
        "contains-across-tag": program(0, contains + end * 3, bytes(11) + b"\x05\x06" + bytes(20)),
        "contains-at-end": program(0, contains + end * 3, bytes(30) + b"\x81\x00"),
        "no-such-pattern": program(0, no_pattern + end),
        "jump-back": program(0, count_down + end),
        "jump-back-to-itself": program(0, endless + end),
        "jump-back-too-far": program(0, packed(("jaback", 2, 0, 0)) + end),
        "jump-back-nowhere": program(0, packed(("jaback", 0, 0, 0)) + end),
        "skips-no-tag": program(TAGS, skipping + end, tagged()),
        "skips-one-tag": program(TAGS, skipping + end, tagged(tags[0])),
        "skips-three-tags": program(TAGS, skipping + end, tagged(*tags)),
        "skips-half-a-tag": program(TAGS, skipping + end, tagged(tags[1])[:15]),
        "skips-where-there-are-none": program(0, skipping + end, tagged(tags[0])),
        "skips-to-wide-set": program(TAGS, skipping_wide + end * 2, tagged(*tags[:2])),
        "no-tag-to-skip": program(TAGS, packed(("-ldi", 1, 0, 0)) + end),
        "raw-unknown-flag": program(AS_IT_IS, raw.pack(0x20, 2, 0, 0, 0) + raw_program),
        "set-unsorted": program(1 << 4, end, sets=bytes([2, 5, 5])),
        "jump-into-pair": program(
            0, packed(("ja", 0, 1, 0), ("ldb", 0, 0, 1), ("jeqk", 0, 0, 1)) + end * 2
        ),
        "raw": program(AS_IT_IS, raw_program),
        "raw-far-target": program(AS_IT_IS, raw.pack(0x15, 0, 1, 2**32 - 1, 0) + raw_program),
        "raw-reserved": program(AS_IT_IS, raw.pack(0x00, 1, 1, 0, 0) + raw_program),
        "falls-off": program(0, packed(("ldi", 1, 0, 0))),
        "mended-noise": program(
            MENDED | SPREAD_SETS | 2 << 4,
            source.randbytes(200),
            source.randbytes(60),
            bytes([5, 1, 2, 3, 4, 5, 3, 7, 8, 9]),
        ),
        "mended-long": program(MENDED, source.randbytes(500), source.randbytes(90)),
        "mended-tags": program(
            MENDED | TAGS, source.randbytes(300), tagged(*tags, *tags) + source.randbytes(4)
        ),
    }


# Ring blocks: struct tpacket_block_desc and struct tpacket3_hdr of linux/if_packet.h.
BLOCK_HEADER, FRAME_MAC = 48, 82
VLAN_VALID, TPID_VALID = 1 << 4, 1 << 6


def ring_frame(
    data: bytes, *, next_offset: int | None = None, mac: int = FRAME_MAC, tag: int | None = None
) -> bytes:
    size = (FRAME_MAC + len(data) + 7) & ~7
    fields = (size if next_offset is None else next_offset, 1700000000, 5, len(data), len(data))
    status = 0 if tag is None else VLAN_VALID | TPID_VALID
    places = (mac, (mac + 14) & 0xFFFF)
    head = struct.pack("<6I2H2I2H", *fields, status, *places, 0, tag or 0, 0x8100, 0)
    return (head + bytes(FRAME_MAC - len(head)) + data).ljust(size, b"\0")


def block(
    *frames: bytes, count: int | None = None, first: int = BLOCK_HEADER, length: int | None = None
) -> bytes:
    body = b"".join(frames)
    whole = BLOCK_HEADER + len(body) if length is None else length
    fields = (1, 0, 1, len(frames) if count is None else count, first, whole)
    return struct.pack("<6IQ4I", *fields, 7, 1, 2, 3, 4) + body


def ring_inputs() -> dict[str, bytes]:
    frame = ring_frame(bytes(range(60)))
    last = ring_frame(b"x" * 20, next_offset=0)
    both = bytes([3, 20])  # nanoseconds, Ethernet
    return {
        "empty": b"",
        "no-frames": both + block(),
        "frames": both + block(frame, frame, last),
        "microseconds": bytes([2, 20]) + block(frame, last),
        "tagged": both + block(ring_frame(bytes(60), tag=0xA064), last),
        "tagged-no-ethernet": bytes([1, 20]) + block(ring_frame(bytes(60), tag=0xA064), last),
        "tagged-short": both + block(ring_frame(bytes(11), tag=1)),
        "snaplen": bytes([3, 0]) + block(frame, ring_frame(bytes(60), tag=5), last),
        "more-than-there-are": both + block(frame, last, count=2**32 - 1),
        "its-own-successor": both + block(ring_frame(b"y" * 20, next_offset=0), count=9),
        "leads-out": both + block(ring_frame(b"y" * 20, next_offset=2**32 - 8), last),
        "leads-into-itself": both + block(ring_frame(b"y" * 20, next_offset=8), last),
        "far-bytes": both + block(ring_frame(b"y" * 20, mac=65535), last),
        "first-outside": both + block(frame, first=2**32 - 1),
        "longer-than-it-is": both + block(frame, last, length=2**32 - 1),
        "overlapping": both + block(*[ring_frame(b"", next_offset=88)] * 20, length=4096),
        "noise": both + random.Random(3).randbytes(400),
    }


def slice_inputs() -> dict[str, bytes]:
    ethernet, raw = bytes([1, 16, 0, 0]), bytes([0, 16, 0, 0])
    macs, tag = bytes(12), bytes.fromhex("81006064")
    ipv4 = bytes.fromhex("46000050000100004006") + bytes(14)
    tcp = bytes(12) + b"\x80" + bytes(19)
    ipv6 = bytes.fromhex("6000000000500040") + bytes(32)
    hop_by_hop, fragment = bytes.fromhex("2c010000") + bytes(12), bytes.fromhex("1100000100000007")
    gre = bytes.fromhex("b0000800") + bytes(12)
    return {
        "empty": b"",
        "tcp": ethernet + macs + b"\x08\x00" + ipv4 + tcp + b"body",
        "tcp-cut": bytes([1, 16, 200, 0]) + macs + b"\x08\x00" + ipv4 + tcp[:9],
        "tcp-ends": ethernet + macs + b"\x08\x00" + ipv4 + tcp[:24],
        "tags": ethernet + macs + 3 * tag + b"\x08\x00" + ipv4 + tcp,
        "tags-only": ethernet + macs + 60 * tag,
        "extensions": ethernet + macs + b"\x86\xdd" + ipv6 + hop_by_hop + fragment + bytes(20),
        "extensions-far": raw + ipv6 + 80 * bytes(8),
        "arp": ethernet + macs + bytes.fromhex("08060001080006040001") + bytes(40),
        "labels": ethernet + macs + b"\x88\x47" + b"\0\1\0\x40\0\1\1\x40" + ipv4 + tcp,
        "session": ethernet + macs + bytes.fromhex("88641100000100100057") + ipv6 + bytes(8),
        "snap": ethernet + macs + bytes.fromhex("0040aaaa030000000800") + ipv4 + tcp,
        "gre": raw + ipv4.replace(b"\x40\x06", b"\x40\x2f") + gre,
        "dccp": raw + ipv4.replace(b"\x40\x06", b"\x40\x21") + b"\0\0\0\0\5" + bytes(30),
        "ah": raw + ipv4.replace(b"\x40\x06", b"\x40\x33") + b"\x11\4" + bytes(40),
        "noise": ethernet + random.Random(4).randbytes(300),
    }


def summary_inputs() -> dict[str, bytes]:
    ethernet, sll, sll2, raw = b"\1", b"\2", b"\3", b"\4"
    macs, tag = bytes(12), bytes.fromhex("81006064")
    ipv4 = bytes.fromhex("45000050000100004006") + bytes(30)
    ipv6 = bytes.fromhex("6000000000500040") + bytes(32)
    extensions = bytes.fromhex("2c010000") + bytes(12) + bytes.fromhex("3c00000100000007")
    return {
        "empty": b"",
        "unknown": b"\0" + ipv4,
        "ipv4": ethernet + macs + b"\x08\x00" + ipv4,
        "tags": ethernet + macs + 3 * tag + b"\x08\x00" + ipv4,
        "tags-only": ethernet + macs + 60 * tag,
        "length": ethernet + macs + bytes.fromhex("0026424203") + bytes(35),
        "extensions": ethernet + macs + b"\x86\xdd" + ipv6 + extensions + b"\6" + bytes(20),
        "extensions-far": raw + ipv6 + 80 * bytes(8),
        "later-fragment": raw + ipv6[:6] + b"\x2c" + ipv6[7:] + b"\x11\0\0\x08" + bytes(20),
        "ospf": raw + ipv4.replace(b"\x40\x06", b"\x40\x59"),
        "sll": sll + bytes(14) + b"\x08\x06" + bytes(28),
        "sll-tag": sll + bytes(14) + tag + b"\x86\xdd" + ipv6,
        "sll2": sll2 + b"\x08\x00" + bytes(18) + ipv4,
        "sll2-tag": sll2 + b"\x81\x00" + bytes(18) + b"\0\5\x08\x00" + ipv4,
        "noise": ethernet + random.Random(5).randbytes(300),
    }


def main() -> None:
    targets = {
        "scan": scan_inputs(),
        "program": program_inputs(),
        "ring": ring_inputs(),
        "slice": slice_inputs(),
        "summary": summary_inputs(),
    }
    for target, inputs in targets.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in inputs.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
