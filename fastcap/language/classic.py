"""Classic BPF as the kernel takes it: instructions with labels, laid out so that every jump fits.

A conditional jump of classic BPF reaches 255 instructions; what is farther goes through a `ja`.
Source: Documentation/networking/filter.rst and net/core/filter.c of Linux.
"""

from __future__ import annotations

import struct

from fastcap.language.libpcap import ClassicInstruction
from fastcap.language.program import JA, RET, Label

MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_FARTHEST = 255

_JUMP = 5  # class, code & 7


class ClassicBuilder:
    """Lines of a program; `build` lays them out."""

    def __init__(self, longest: int = MOST_INSTRUCTIONS) -> None:
        self.longest = longest
        self.lines: list[tuple[int, int, Label | None, Label | None]] = []

    def emit(
        self, code: int, k: int = 0, on_true: Label | None = None, on_false: Label | None = None
    ) -> None:
        self.lines.append((code, k & 0xFFFFFFFF, on_true, on_false))

    def place(self, label: Label) -> None:
        label.at = len(self.lines)

    def build(self) -> list[ClassicInstruction] | None:
        """None where it is longer than `longest`."""
        if len(self.lines) > self.longest:
            return None
        sizes = [1] * len(self.lines)
        while True:
            starts = [0]
            for size in sizes:
                starts.append(starts[-1] + size)
            grown = [self.size_of(line, starts, sizes) for line in range(len(self.lines))]
            if grown == sizes:
                break
            sizes = grown
        if starts[-1] > self.longest:
            return None
        return [laid for line in range(len(self.lines)) for laid in self.lay_out(line, starts)]

    def size_of(self, line: int, starts: list[int], sizes: list[int]) -> int:
        """1, and one for each far branch; never less than before, so that this ends."""
        code, _, on_true, on_false = self.lines[line]
        if code & 7 != _JUMP or code == JA:
            return 1
        far = sum(
            _target(label, starts) - starts[line] - 1 > _FARTHEST for label in (on_true, on_false)
        )
        return max(sizes[line], 1 + far)

    def lay_out(self, line: int, starts: list[int]) -> list[ClassicInstruction]:
        code, k, on_true, on_false = self.lines[line]
        at = starts[line]
        if code == JA:
            return [ClassicInstruction(JA, 0, 0, _target(on_true, starts) - at - 1)]
        if code & 7 != _JUMP:
            return [ClassicInstruction(code, 0, 0, k)]
        size = starts[line + 1] - at
        to_true, to_false = _target(on_true, starts) - at - 1, _target(on_false, starts) - at - 1
        behind: list[ClassicInstruction] = []
        if size == 3 or (size == 2 and to_true >= to_false):
            behind.append(ClassicInstruction(JA, 0, 0, to_true - 1))
            to_true = 0
        if len(behind) < size - 1:
            behind.append(ClassicInstruction(JA, 0, 0, to_false - 1 - len(behind)))
            to_false = len(behind) - 1
        return [ClassicInstruction(code, to_true, to_false, k), *behind]


def _target(label: Label | None, starts: list[int]) -> int:
    assert label is not None
    assert label.at is not None, "a label that nobody placed"
    return starts[label.at]


def can_reject(instructions: list[ClassicInstruction]) -> bool:
    """Whether any path through them ends in `ret #0`."""
    reached = {0}
    for number, (code, jt, jf, k) in enumerate(instructions):
        if number not in reached:
            continue
        if code == RET and k == 0:
            return True
        if code == JA:
            reached.add(number + 1 + k)
        elif code & 7 == _JUMP:
            reached |= {number + 1 + jt, number + 1 + jf}
        elif code != RET:
            reached.add(number + 1)
    return False


def packed(instructions: list[ClassicInstruction]) -> bytes:
    """struct sock_filter of linux/filter.h, one behind the other."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
