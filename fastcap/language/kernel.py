"""Program -> the kernel's classic BPF, which runs on every frame before it is cut and copied.

What a filter returns there is how many bytes the ring gets. The kernel has taken the outer VLAN
tag off, so only what lies before the tag is where it was on the wire: exact is a program that looks
at nothing else. The others run in user space, on the frame as it was.
"""

from __future__ import annotations

import struct

from fastcap.formats.linktypes import ETHERNET, LONGEST_FRAME
from fastcap.language.libpcap import ClassicInstruction
from fastcap.language.program import JA, LD_ABS, RET, Program

_LOADS = {code: size for size, code in LD_ABS.items()}
_JUMP = 5  # class
# ld imm, ldx imm, tax, txa, neg, and + - * | & ^ with k and x: the same in both. Not divisions,
# shifts and memory, about which the kernel has rules of its own.
_ALIKE = frozenset([0x00, 0x01, 0x07, 0x87, 0x84]) | {
    operation | source
    for operation in (0x04, 0x14, 0x24, 0x44, 0x54, 0xA4)
    for source in (0x00, 0x08)
}
_BEFORE_TAG = 12  # bytes: the two MAC addresses
_LARGEST_JUMP = 255
_MOST_INSTRUCTIONS = 4096
_PKTTYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
_OUTGOING = 4  # PACKET_OUTGOING


def exactly(program: Program, linktype: int, snaplen: int) -> list[ClassicInstruction] | None:
    """The kernel's program that takes the same frames and cuts them to `snaplen` bytes; None where
    it would not be exact."""
    if linktype != ETHERNET or len(program.instructions) > _MOST_INSTRUCTIONS:
        return None
    lowered = []
    for code, k, on_true, on_false in program.instructions:
        if code == RET:
            lowered.append(ClassicInstruction(RET, 0, 0, snaplen if k else 0))
        elif code == JA:
            lowered.append(ClassicInstruction(JA, 0, 0, on_true))
        elif code in _LOADS and k + _LOADS[code] <= _BEFORE_TAG:
            # an Ethernet device gives no frame without its addresses: nothing can be missing
            lowered.append(ClassicInstruction(code, 0, 0, k))
        elif code in _ALIKE:
            lowered.append(ClassicInstruction(code, 0, 0, k))
        elif code & 7 == _JUMP and code < 0x100 and max(on_true, on_false) <= _LARGEST_JUMP:
            lowered.append(ClassicInstruction(code, on_true, on_false, k))
        else:
            return None
    return lowered


def everything(snaplen: int) -> list[ClassicInstruction]:
    """Takes every frame and cuts it."""
    return [ClassicInstruction(RET, 0, 0, snaplen)]


def bytes_needed(program: Program) -> int:
    """How many bytes of a frame the program may look at, counted on the wire."""
    most = 0
    for code, k, _, _ in program.instructions:
        if code in _LOADS:
            most = max(most, k + _LOADS[code])
        elif code == 0xB1:  # ldx 4*([k]&0xf)
            most = max(most, k + 1)
        elif code & 7 == 0 and code & 0xE0 == 0x40:  # at an offset that the frame decides
            return LONGEST_FRAME
    return min(most, LONGEST_FRAME)


def only(direction: str, instructions: list[ClassicInstruction]) -> list[ClassicInstruction]:
    """The same for the frames of one direction: `in`, `out`, or `both`."""
    if direction == "both":
        return instructions
    if_outgoing, if_not = (1, 0) if direction == "out" else (0, 1)
    return [
        ClassicInstruction(0x20, 0, 0, _PKTTYPE),
        ClassicInstruction(0x15, if_outgoing, if_not, _OUTGOING),
        ClassicInstruction(RET, 0, 0, 0),
        *instructions,
    ]


def packed(instructions: list[ClassicInstruction]) -> bytes:
    """struct sock_filter of linux/filter.h, one behind the other."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
