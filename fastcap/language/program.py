"""Programs as plain data, and the builder that lays them out. csrc/program.h says what they mean.

Classic BPF's codes keep their numbers; these are ours or are named here because code uses them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LD_IMM = 0x00
LDX_IMM = 0x01
LD_ABS = {4: 0x20, 2: 0x28, 1: 0x30}
JA = 0x05
JEQ = 0x15
RET = 0x06
IN_SET = 0x105

ACCEPT = 0xFFFFFFFF

_INSTRUCTION = struct.Struct("=HHIII")


class Instruction(NamedTuple):
    """`on_true` and `on_false` count instructions from the next one on."""

    code: int
    k: int = 0
    on_true: int = 0
    on_false: int = 0


class Program(NamedTuple):
    """`sets` hold 32-bit numbers in ascending order."""

    instructions: tuple[Instruction, ...]
    sets: tuple[tuple[int, ...], ...] = ()

    def packed(self) -> tuple[bytes, tuple[bytes, ...]]:
        """As fastcap._native.program.NativeProgram takes it."""
        pack = _INSTRUCTION.pack
        code = b"".join(
            pack(code, 0, k, on_true, on_false) for code, k, on_true, on_false in self.instructions
        )
        return code, tuple(struct.pack(f"={len(values)}I", *values) for values in self.sets)


class Label:
    """A place in a program: known when it is placed, used before that."""

    def __init__(self) -> None:
        self.at: int | None = None


class Builder:
    """Instructions with labels for targets; `build` turns labels into distances."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, int, Label | None, Label | None]] = []
        self.sets: list[tuple[int, ...]] = []

    def emit(
        self, code: int, k: int = 0, on_true: Label | None = None, on_false: Label | None = None
    ) -> None:
        self.lines.append((code, k, on_true, on_false))

    def place(self, label: Label) -> None:
        label.at = len(self.lines)

    def add_set(self, values: set[int]) -> int:
        """The number of a set of these values."""
        self.sets.append(tuple(sorted(values)))
        return len(self.sets) - 1

    def build(self) -> Program:
        def distance(label: Label | None, line: int) -> int:
            if label is None:
                return 0
            assert label.at is not None, "a label that nobody placed"
            assert label.at > line, "jumps go forward"
            return label.at - line - 1

        return Program(
            tuple(
                Instruction(code, k, distance(on_true, line), distance(on_false, line))
                for line, (code, k, on_true, on_false) in enumerate(self.lines)
            ),
            tuple(self.sets),
        )
