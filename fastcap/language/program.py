"""Programs as plain data, and the builder that lays them out. csrc/program.h says what they mean.

Classic BPF's codes keep their numbers; these are ours or are named here because code uses them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LD_IMM = 0x00
LDX_IMM = 0x01
LD_ABS = {4: 0x20, 2: 0x28, 1: 0x30}
LD_LEN = 0x80
ADD_K = 0x04
AND_K = 0x54
JA = 0x05
JEQ = 0x15
JGT = 0x25
JGE = 0x35
TXA = 0x87
RET = 0x06
IN_SET = 0x105
IN_WIDE = 0x115
CONTAINS = 0x125
JA_BACK = 0x135

SKIPS_TAGS = 1  # flag

ACCEPT = 0xFFFFFFFF

MOST_INSTRUCTIONS = 1 << 24  # FC_PROGRAM_LONGEST
MOST_SETS = 1 << 16  # FC_PROGRAM_MOST_SETS, of each kind and of patterns

_INSTRUCTION = struct.Struct("=HHIII")

Range = tuple[int, int]
Ranges = tuple[Range, ...]
"""The first and the last number of each range, ascending and apart."""


class Instruction(NamedTuple):
    """`on_true` and `on_false` count instructions from the next one on."""

    code: int
    k: int = 0
    on_true: int = 0
    on_false: int = 0
    flags: int = 0


class Program(NamedTuple):
    """`sets` are of 32-bit numbers; `wide_sets` a width in bytes and ranges of such numbers;
    `patterns` what CONTAINS looks for; `tags_at` where VLAN tags begin in these frames, or 0."""

    instructions: tuple[Instruction, ...]
    sets: tuple[Ranges, ...] = ()
    wide_sets: tuple[tuple[int, Ranges], ...] = ()
    patterns: tuple[bytes, ...] = ()
    tags_at: int = 0

    def packed(self) -> Packed:
        """As fastcap._native.program.NativeProgram takes it."""
        pack = _INSTRUCTION.pack
        code = b"".join(
            pack(code, flags, k, on_true, on_false)
            for code, k, on_true, on_false, flags in self.instructions
        )
        sets = tuple(
            struct.pack(f"={2 * len(ranges)}I", *(end for pair in ranges for end in pair))
            for ranges in self.sets
        )
        wide = tuple(
            (width, b"".join(end.to_bytes(width, "big") for pair in ranges for end in pair))
            for width, ranges in self.wide_sets
        )
        return code, sets, wide, self.patterns, self.tags_at


Packed = tuple[bytes, tuple[bytes, ...], tuple[tuple[int, bytes], ...], tuple[bytes, ...], int]


class Label:
    """A place in a program: known when it is placed, used before that."""

    def __init__(self) -> None:
        self.at: int | None = None


class Builder:
    """Instructions with labels for targets; `build` turns labels into distances."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, int, Label | None, Label | None, int]] = []
        self.sets: list[Ranges] = []
        self.wide_sets: list[tuple[int, Ranges]] = []
        self.patterns: list[bytes] = []

    def emit(
        self,
        code: int,
        k: int = 0,
        on_true: Label | None = None,
        on_false: Label | None = None,
        flags: int = 0,
    ) -> None:
        self.lines.append((code, k, on_true, on_false, flags))

    def place(self, label: Label) -> None:
        label.at = len(self.lines)

    def build(self, tags_at: int = 0) -> Program:
        def distance(label: Label | None, line: int) -> int:
            if label is None:
                return 0
            assert label.at is not None, "a label that nobody placed"
            assert label.at > line, "jumps go forward"
            return label.at - line - 1

        def instruction(line: int) -> Instruction:
            code, k, on_true, on_false, flags = self.lines[line]
            if code == JA and on_true is not None and on_true.at is not None and on_true.at <= line:
                return Instruction(JA_BACK, line + 1 - on_true.at)
            return Instruction(code, k, distance(on_true, line), distance(on_false, line), flags)

        return Program(
            tuple(instruction(line) for line in range(len(self.lines))),
            tuple(self.sets),
            tuple(self.wide_sets),
            tuple(self.patterns),
            tags_at,
        )
