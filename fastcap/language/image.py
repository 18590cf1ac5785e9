"""Classic BPF as text, in the three forms that tcpdump -d, -dd and -ddd have (libpcap,
bpf_image.c and bpf_dump.c)."""

from __future__ import annotations

from collections.abc import Sequence

from fastcap.language.libpcap import ClassicInstruction

_SIZES = {0x00: "", 0x08: "h", 0x10: "b"}
_ALU = {
    0x00: ("add", "#{}"),
    0x10: ("sub", "#{}"),
    0x20: ("mul", "#{}"),
    0x30: ("div", "#{}"),
    0x40: ("or", "#0x{:x}"),
    0x50: ("and", "#0x{:x}"),
    0x60: ("lsh", "#{}"),
    0x70: ("rsh", "#{}"),
    0x80: ("neg", ""),
    0x90: ("mod", "#{}"),
    0xA0: ("xor", "#0x{:x}"),
}
_JUMPS = {0x10: "jeq", 0x20: "jgt", 0x30: "jge", 0x40: "jset"}
_SOURCE_X = 0x08
# What the kernel has beside the frame's bytes, as libpcap calls it: SKF_AD_* of linux/filter.h.
_BESIDE = 0xFFFFF000
_BESIDE_NAMES = {4: "type", 44: "vlan_tci", 48: "vlanp", 60: "vlan_tpid"}


def image(instructions: Sequence[ClassicInstruction], form: int = 1) -> str:
    """`form` 1: assembler; 2: initialisers of C; 3: numbers, the count first.

    >>> print(image([ClassicInstruction(0x28, 0, 0, 12), ClassicInstruction(6, 0, 0, 80)]))
    (000) ldh      [12]
    (001) ret      #80
    """
    if form == 1:
        return "\n".join(_line(number, one) for number, one in enumerate(instructions))
    if form == 2:
        return "\n".join(f"{{ 0x{code:x}, {jt}, {jf}, 0x{k:08x} }},"
                         for code, jt, jf, k in instructions)  # fmt: skip
    lines = [str(len(instructions)), *(" ".join(map(str, one)) for one in instructions)]
    return "\n".join(lines)


def _line(number: int, instruction: ClassicInstruction) -> str:
    code, jt, jf, k = instruction
    if code & 7 == 5 and code != 0x05:
        operand = "x" if code & _SOURCE_X else f"#0x{k:x}"
        name = _JUMPS[code & 0xF0]
        return f"({number:03d}) {name:<8} {operand:<16} jt {number + 1 + jt}\tjf {number + 1 + jf}"
    name, operand = _words(number, code, k)
    return f"({number:03d}) {name:<8} {operand}"


def _words(number: int, code: int, k: int) -> tuple[str, str]:
    kind = code & 7
    if kind in (0, 1):
        return _load(code, k)
    if kind in (2, 3):
        return ("st", "stx")[kind - 2], f"M[{k}]"
    if kind == 4:
        name, operand = _ALU[code & 0xF0]
        return name, "x" if code & _SOURCE_X and operand else operand.format(k)
    if code == 0x05:
        return "ja", str(number + 1 + _signed(k))
    if kind == 6:
        return "ret", "" if code == 0x16 else f"#{k}"
    return ("tax", "") if code == 0x07 else ("txa", "")


def _load(code: int, k: int) -> tuple[str, str]:
    name = ("ld", "ldx")[code & 7]
    mode = code & 0xE0
    if mode == 0x00:
        return name, f"#0x{k:x}"
    if mode == 0x60:
        return name, f"M[{k}]"
    if mode == 0x80:
        return name, "#pktlen"
    if mode == 0xA0:
        return "ldxb", f"4*([{_signed(k)}]&0xf)"
    if mode == 0x20:
        return name + _SIZES[code & 0x18], f"[{_BESIDE_NAMES.get(k - _BESIDE, _signed(k))}]"
    return name + _SIZES[code & 0x18], f"[x + {_signed(k)}]"


def _signed(k: int) -> int:
    return k if k < 1 << 31 else k - (1 << 32)
