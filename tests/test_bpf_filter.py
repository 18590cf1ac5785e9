"""Random valid programs of classic BPF take the same frames here as in libpcap's bpf_filter."""

from __future__ import annotations

import ctypes
import ctypes.util
import random
import struct

import pytest

from fastcap._native.program import NativeProgram
from fastcap.language.libpcap import ClassicInstruction as Line
from fastcap.language.lower import lower
from fastcap.language.tree import Pcap

PROGRAMS, FRAMES = 5000, 8

# The codes of csrc/program.c's enum, by what is to be known about k and the targets.
LD_IMM, LDX_IMM, ADD_X, MUL_K, AND_K = 0x00, 0x01, 0x0C, 0x24, 0x54
JA, RET_K, RET_A = 0x05, 0x06, 0x16
INDIRECT = (0x40, 0x48, 0x50)  # 4, 2, 1 bytes at X + k
LOADS = (0x20, 0x28, 0x30, *INDIRECT, 0xB1)  # at k; ldx msh
LOADS_MEMORY, STORES = (0x60, 0x61), (0x02, 0x03)
MEMORY = LOADS_MEMORY + STORES
DIVISIONS, SHIFTS = (0x34, 0x94), (0x64, 0x74)  # by k; those by X may be by 0, or by 32 and more
ARITHMETIC = (0x04, 0x14, 0x24, 0x44, 0x54, 0xA4)
X = 0x08  # in an operation or a jump: with X, not k
WITH_X = tuple(code | X for code in (*ARITHMETIC, *DIVISIONS, *SHIFTS))
PLAIN = (LD_IMM, LDX_IMM, 0x80, 0x81, 0x84, 0x07, 0x87)  # the wire's length, neg, tax, txa
JUMPS = (0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x45, 0x4D)
PREPARED = {*LOADS_MEMORY, *INDIRECT, *JUMPS, *WITH_X} - {ADD_X}
ALL = {*LOADS, *MEMORY, *DIVISIONS, *SHIFTS, *ARITHMETIC, *WITH_X, *PLAIN, *JUMPS, JA, RET_K, RET_A}

# 0xfffff000 is SKF_AD_OFF, from where the kernel has the outer tag at 44 and 48. bpf_filter knows
# these two, but is not told the tag, and rejects the frame, as for any byte that is not there.
FAR = (0x7FFFFFFF, 0xFFFFF000, 0xFFFFF000 + 44, 0xFFFFF000 + 48, 0xFFFFFFFC, 0xFFFFFFFF)


@pytest.fixture(params=["system", "pcapy"])
def libpcap(request: pytest.FixtureRequest) -> ctypes.CDLL:
    """The system's, and the one that pcapy brings: a look-up in pcapy includes what it needs."""
    if request.param == "system":
        path = ctypes.util.find_library("pcap")
        if path is None:
            pytest.skip("the system has no libpcap")
    else:
        path = pytest.importorskip("pcapy").__file__
    library = ctypes.CDLL(path)
    if not hasattr(library, "bpf_filter") or not hasattr(library, "bpf_validate"):
        pytest.skip(f"{path} does not export bpf_filter and bpf_validate")
    library.pcap_lib_version.restype = ctypes.c_char_p
    print(f"{path}: {library.pcap_lib_version().decode()}")
    library.bpf_validate.argtypes = ctypes.c_char_p, ctypes.c_int
    library.bpf_filter.argtypes = *[ctypes.c_char_p] * 2, *[ctypes.c_uint] * 2
    library.bpf_filter.restype = ctypes.c_uint
    return library


def number(rng: random.Random) -> int:
    """Small enough to be met in a frame, or one bit, or anything."""
    some = (rng.randrange(4), rng.randrange(90), 1 << rng.randrange(32), rng.randrange(1 << 32))
    return rng.choice((*some, some[0], some[1], 0x7FFFFFFF, 0xFFFFFFFF))


def offset(rng: random.Random, length: int) -> int:
    """In a frame of this length, mostly; around its end; far behind any frame."""
    kind = rng.random()
    if kind < 0.9:
        return rng.randrange(length // 2 + 1)
    return max(0, length - rng.randrange(-1, 5)) if kind < 0.94 else rng.choice(FAR)


def instruction(rng: random.Random, left: int, length: int) -> Line:
    """One that may have `left` others behind it, in a program for frames of about this length."""
    if left == 0 or rng.random() < 0.01:
        return Line(rng.choice((RET_K, RET_A)), 0, 0, rng.choice((0, number(rng))))
    kinds = (LOADS, MEMORY, DIVISIONS + SHIFTS, ARITHMETIC, WITH_X, PLAIN, JUMPS, (JA,))
    code = rng.choice(rng.choices(kinds, weights=(5, 3, 3, 4, 7, 4, 7, 1))[0])
    near = rng.choice((min(4, left), left))
    jt, jf, k = rng.randrange(near), rng.randrange(near), number(rng)
    if code in LOADS:
        k = offset(rng, length)
    elif code in MEMORY:
        k %= rng.choice((4, 4, 16))
    elif code in DIVISIONS:
        k = k or 1
    elif code in SHIFTS:
        k %= 32  # more is undefined in bpf_filter, and newer ones' bpf_validate refuses it
    elif code == JA:
        k = jt
    return Line(code, *((jt, jf) if code in JUMPS else (0, 0)), k)


def preparation(rng: random.Random, line: Line) -> Line:
    """What makes it likely that something depends on this one, when it runs before it."""
    if line.code in LOADS_MEMORY:
        return Line(rng.choice(STORES), 0, 0, line.k)
    if line.code in INDIRECT:  # the sum may be more than 32 bits
        small = rng.randrange(12)
        return Line(LDX_IMM, 0, 0, rng.choice((small, small, (small - line.k) % (1 << 32))))
    if line.code & X:
        return Line(LDX_IMM, 0, 0, rng.randrange(40) if line.code & ~X in SHIFTS else number(rng))
    return Line(LD_IMM, 0, 0, (line.k + rng.randrange(-1, 2)) % (1 << 32))


def random_program(rng: random.Random, length: int) -> list[Line]:
    """From 2 to 40 instructions, and before them 0 stored in each word of memory that is loaded:
    libpcap's memory holds anything at the start."""
    size = rng.randrange(2, rng.choice((10, 20, 41)))
    body = [instruction(rng, left, length) for left in reversed(range(size))]
    if size > 4 and rng.random() < 0.8:  # one bit that depends on all of A and X
        odd = Line(MUL_K, 0, 0, rng.randrange(1 << 32) | 1)
        body[-4:] = Line(ADD_X, 0, 0, 0), odd, Line(AND_K, 0, 0, 1 << 31), Line(RET_A, 0, 0, 0)
    for i, line in enumerate(body[1:]):
        if line.code in PREPARED and rng.random() < 0.6:
            body[i] = preparation(rng, line)
    slots = sorted({line.k for line in body if line.code in LOADS_MEMORY})
    return [*(Line(rng.choice(STORES), 0, 0, slot) for slot in slots), *body]


def random_frame(rng: random.Random, length: int) -> tuple[bytes, int]:
    """Some bytes, and a length on the wire that is not less."""
    size = rng.choice((length, length, rng.randrange(81)))
    most = rng.choice((2, 4, 256))
    wire = rng.choice((size, size + rng.randrange(100), rng.randrange(size, 1 << 32)))
    return bytes(rng.randrange(most) for _ in range(size)), wire


def compiled(program: list[Line]) -> NativeProgram:
    return NativeProgram(*lower(Pcap("x"), 1, lambda _text, _linktype: [program]).packed())


def test_random_valid_programs_take_the_same_frames_as_with_libpcaps_bpf_filter(
    libpcap: ctypes.CDLL, rng: random.Random
) -> None:
    occurred, taken = set(), 0
    for _ in range(PROGRAMS):
        length = rng.randrange(81)
        program = random_program(rng, length)
        packed = b"".join(struct.pack("=HBBI", *line) for line in program)
        assert libpcap.bpf_validate(packed, len(program)), program
        occurred |= {line.code for line in program}
        ours = compiled(program)
        for _ in range(FRAMES):
            frame, wire = random_frame(rng, length)
            theirs = libpcap.bpf_filter(packed, frame, wire, len(frame)) != 0
            assert (ours.run(frame, wire) != 0) == theirs, (program, frame.hex(), wire, theirs)
            taken += theirs
    assert occurred == ALL
    assert 0.2 < taken / (PROGRAMS * FRAMES) < 0.8
