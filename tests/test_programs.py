"""Vectors of programs (tests/vectors/programs.txt): both checkers take and refuse the same, and the
interpreter and machine code return the same."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from fastcap._native.program import NativeProgram
from fastcap.errors import ProgramError
from fastcap.language.program import Packed
from tests.conftest import ROOT
from tests.engines import needs_jit


class Vector(NamedTuple):
    """`bad`: the number of the instruction that is refused, or None; `runs`: frame, length on the
    wire, value."""

    line: int
    bad: int | None
    packed: Packed
    runs: list[tuple[bytes, int, int]]


def _wide(text: str) -> tuple[int, bytes]:
    width, _, ranges = text.partition(":")
    return int(width, 16), bytes.fromhex(ranges.replace(",", "").replace("-", ""))


def _set(text: str) -> bytes:
    numbers = [int(end, 16) for pair in text.split(",") for end in pair.split("-")]
    return struct.pack(f"={len(numbers)}I", *numbers)


def _run(text: str) -> tuple[bytes, int, int]:
    frame, wire, value = text.split(":")
    return bytes.fromhex(frame.replace("-", "")), int(wire, 16), int(value, 16)


def vectors() -> Iterator[Vector]:
    lines = (ROOT / "tests" / "vectors" / "programs.txt").read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        verdict, *words = line.split()
        told: dict[str, list[str]] = {"set": [], "wide": [], "pattern": [], "run": [], "": []}
        for word in words:
            name, _, value = word.rpartition("=")
            told[name].append(value)
        code = b"".join(
            struct.pack("=HHIII", *(int(part, 16) for part in word.split(":"))) for word in told[""]
        )
        packed = (
            code,
            tuple(map(_set, told["set"])),
            tuple(map(_wide, told["wide"])),
            tuple(map(bytes.fromhex, told["pattern"])),
            0,
        )
        bad = None if verdict == "ok" else int(verdict.removeprefix("bad="))
        yield Vector(number, bad, packed, list(map(_run, told["run"])))


VECTORS = list(vectors())


def test_the_checker_in_c_takes_and_refuses_what_it_should() -> None:
    assert len(VECTORS) > 500
    for vector in VECTORS:
        if vector.bad is None:
            program = NativeProgram(*vector.packed)
            for frame, wire, value in vector.runs:
                assert program.run(frame, wire) == value, f"line {vector.line}"
            continue
        count = len(vector.packed[0]) // 16
        where = f"instruction {vector.bad}" if vector.bad < count else "its length or its sets"
        with pytest.raises(ProgramError, match=where):
            NativeProgram(*vector.packed)


@needs_jit
def test_the_checker_in_rust_takes_and_refuses_the_same() -> None:
    import fastcap_jit

    for vector in VECTORS:
        if vector.bad is None:
            code = fastcap_jit.MachineCode([vector.packed], False)
            program = NativeProgram(*vector.packed, code)
            for frame, wire, value in vector.runs:
                assert program.run(frame, wire) == value, f"line {vector.line}"
            continue
        with pytest.raises(ValueError, match=rf"number 0, instruction {vector.bad}$"):
            fastcap_jit.MachineCode([vector.packed], False)


def test_the_vectors_are_those_of_their_rules() -> None:
    import subprocess
    import sys

    maker = ROOT / "tests" / "vectors" / "make_programs.py"
    made = subprocess.run([sys.executable, maker], capture_output=True, check=True, text=True)
    assert made.stdout == (maker.parent / "programs.txt").read_text()
