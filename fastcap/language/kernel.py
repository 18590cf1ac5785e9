"""Program -> the kernel's classic BPF, which runs on every frame before it is cut and copied.

What a filter returns there is how many bytes the ring gets. The kernel has taken the outer VLAN tag
off, so a filter that looks behind the MAC addresses is laid out twice: for frames without such a
tag, and for those with one, where it is read from the ancillary loads and all behind it is 4 bytes
nearer. `ld len` is the length of the uncut frame, so it guards the loads whose missing bytes must
not reject the frame.

What cannot be decided there is let through whole, for the same filter in user space: then the
kernel's is a superset. Source: net/core/filter.c of Linux.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from fastcap.formats.linktypes import ETHERNET, LONGEST_FRAME
from fastcap.language.classic import MOST_INSTRUCTIONS, ClassicBuilder, can_reject
from fastcap.language.fields import FIELDS
from fastcap.language.libpcap import ClassicInstruction, compile_text
from fastcap.language.lower import MOST_ONE_BY_ONE, lower, with_sets
from fastcap.language.program import (
    CONTAINS,
    IN_SET,
    IN_WIDE,
    JA,
    JA_BACK,
    JEQ,
    JGE,
    JGT,
    LD_ABS,
    LD_IMM,
    LD_LEN,
    LDX_IMM,
    RET,
    TXA,
    Instruction,
    Label,
    Program,
)
from fastcap.language.ranges import Ranges, count, covered, joined
from fastcap.language.tree import Among, And, Blob, Contains, Field, Not, Or, Pcap, Tree

_LD_IND = {4: 0x40, 2: 0x48, 1: 0x50}
_LD_MEM, _LDX_MEM, _ST, _STX = 0x60, 0x61, 0x02, 0x03
_LDX_MSH, _LDX_LEN, _LD_CAPTURED = 0xB1, 0x81, 0x100
_ADD_K, _SUB_K, _OR_X, _AND_K, _LSH_K, _RSH_K = 0x04, 0x14, 0x4C, 0x54, 0x64, 0x74
_TAX = 0x07
_JGE_X = 0x3D
_ABS = {code: size for size, code in LD_ABS.items()}
_IND = {code: size for size, code in _LD_IND.items()}
_SHIFTS_BY_X = (0x6C, 0x7C)
_DIVISIONS_BY_X = (0x3C, 0x9C)
_WRITES_X = frozenset([_LDX_MSH, _LDX_LEN, _LDX_MEM, LDX_IMM, _TAX])
_MEMORY = frozenset([_LD_MEM, _LDX_MEM, _ST, _STX])
_JUMP, _RETURN = 5, 6  # classes

_LONGEST_HEADER = 60  # what 4 * ([k] & 0xf) can be
_FARTHEST = 0x7FFFFFFF  # offsets from here on mean something else in the kernel
_TAG_AT, _TAG = 12, 4
_TAG_PRESENT = 0xFFFFF000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
_TCI = 0xFFFFF000 + 44  # SKF_AD_VLAN_TAG
_TPID = 0xFFFFF000 + 60  # SKF_AD_VLAN_TPID
_PKTTYPE = 0xFFFFF000 + 4  # SKF_AD_PKTTYPE
_OUTGOING = 4  # PACKET_OUTGOING
_STRIPPED = (0x8100, 0x88A8)  # TPIDs of tags that the kernel takes off
_TPIDS = (*_STRIPPED, 0x9100)

# A user-space filter gets at least so much of a frame, so that a tag has its place in it.
_SHORTEST = 64
# Instructions of a live filter, in turn, less what a direction adds: what net.core.optmem_max
# allows by default now, and before Linux 6.3.
LONGEST_LIVE = (4000, 2000)
_FEWER = (512, 128, 32)  # ranges of a set that is too large, in turn


class KernelFilter(NamedTuple):
    """`instructions` return at most `snaplen` bytes. `exact`: they take what the filter takes and
    nothing else, and cut; else the filter must run again on what they take."""

    instructions: list[ClassicInstruction]
    exact: bool
    snaplen: int


def everything(snaplen: int) -> list[ClassicInstruction]:
    """Takes every frame and cuts it."""
    return [ClassicInstruction(RET, 0, 0, snaplen)]


def lower_live(
    tree: Tree,
    program: Program,
    linktype: int,
    snaplen: int,
    vlan: str,
    longest: int = LONGEST_LIVE[0],
) -> KernelFilter:
    """The kernel's filter for a tree and its program: exact if it can be, else a superset that is
    as narrow as fits into `longest` instructions; at worst it takes everything."""
    return _lower(tree, program, linktype, snaplen, vlan, longest, live=True)


def lower_whole(
    tree: Tree, program: Program, linktype: int, snaplen: int, vlan: str
) -> KernelFilter:
    """The same for frames in one piece. pcap-filter text alone gives libpcap's program as it is,
    but where the kernel would take an offset for something else."""
    if isinstance(tree, Pcap) and tree.text.strip() and not program.tags_at:
        parts = compile_text(tree.text, linktype)
        if len(parts) == 1 and not any(_is_far(one.code, one.k) for one in parts[0]):
            taken = [
                one._replace(k=snaplen) if one.code == RET and one.k else one for one in parts[0]
            ]
            return KernelFilter(taken, True, snaplen)
    return _lower(tree, program, linktype, snaplen, vlan, MOST_INSTRUCTIONS, live=False)


def _lower(
    tree: Tree,
    program: Program,
    linktype: int,
    snaplen: int,
    vlan: str,
    longest: int,
    *,
    live: bool,
) -> KernelFilter:
    if isinstance(tree, Pcap) and not tree.text.strip():
        return KernelFilter(everything(snaplen), True, snaplen)
    needed = max(snaplen, bytes_needed(program), _SHORTEST)
    tags_at = program.tags_at if _skips(program) else 0
    exact = _lowered(program, linktype, snaplen, longest, tags_at, live=live)
    if exact is not None and exact.exact:
        return exact
    found = None
    if exact is not None:
        found = _lowered(program, linktype, needed, longest, tags_at, live=live)
    for most in _FEWER if found is None else ():
        loose = lower(relaxed(tree, most), linktype, vlan=vlan)
        found = _lowered(loose, linktype, needed, longest, tags_at, live=live)
        if found is not None:
            break
    if found is None or not can_reject(found.instructions):
        needed = LONGEST_FRAME if program.tags_at else needed
        return KernelFilter(everything(needed), False, needed)
    return found._replace(exact=False)


def bytes_needed(program: Program) -> int:
    """How many bytes of a frame the program may look at, counted on the wire; of frames without
    tags where it skips these."""
    small = _x_is_small(program.instructions)
    most, behind_x = 0, 0
    before = Instruction(RET)
    for instruction in program.instructions:
        code, k = instruction.code, instruction.k
        if code in _ABS:
            most = max(most, k + _ABS[code])
        elif code == _LDX_MSH:
            most = max(most, k + 1)
        elif code in _IND:
            behind_x = max(behind_x, k + _IND[code])
        elif code == IN_WIDE:
            end = before.k + program.wide_sets[k][0]
            most, behind_x = (max(most, end), behind_x) if before.code == LD_IMM else (
                most, max(behind_x, end))  # fmt: skip
        elif code == CONTAINS:
            return LONGEST_FRAME
        before = instruction
    if behind_x:
        most = max(most, behind_x + _LONGEST_HEADER) if small else LONGEST_FRAME
    return min(most, LONGEST_FRAME)


def only(direction: str, instructions: list[ClassicInstruction]) -> list[ClassicInstruction]:
    """The same for the frames of one direction: `in`, `out`, or `both`."""
    if direction == "both":
        return instructions
    if_outgoing, if_not = (1, 0) if direction == "out" else (0, 1)
    return [
        ClassicInstruction(LD_ABS[4], 0, 0, _PKTTYPE),
        ClassicInstruction(JEQ, if_outgoing, if_not, _OUTGOING),
        ClassicInstruction(RET, 0, 0, 0),
        *instructions,
    ]


# ---- Relaxing ---------------------------------------------------------------------------------

_TRUE: Tree = Pcap("")
_FALSE: Tree = Not(Pcap(""))


def relaxed(tree: Tree, most: int, *, wanted: bool = True) -> Tree:
    """A tree of terms that the kernel can decide, with sets of at most so many ranges. It takes
    all that `tree` takes, and more; with `wanted` False nothing that `tree` does not take."""
    if isinstance(tree, Not):
        return Not(relaxed(tree.term, most, wanted=not wanted))
    if isinstance(tree, And):
        return And(tuple(relaxed(term, most, wanted=wanted) for term in tree.terms))
    if isinstance(tree, Or):
        return Or(tuple(relaxed(term, most, wanted=wanted) for term in with_sets(tree.terms)))
    if isinstance(tree, Contains):
        return _TRUE if wanted else _FALSE
    if not isinstance(tree, Among) or _fits(tree, most):
        return tree
    return _wider(tree, most) if wanted else _FALSE


def _fits(term: Among, most: int) -> bool:
    if _width(term.operand) in LD_ABS:
        return len(term.ranges) <= most
    return count(term.ranges) <= MOST_ONE_BY_ONE


def _width(operand: Blob | Field) -> int:
    return operand.length if isinstance(operand, Blob) else FIELDS[operand.name.lower()].length


def _wider(term: Among, most: int) -> Tree:
    width = _width(term.operand)
    if width in LD_ABS:
        return term._replace(ranges=covered(term.ranges, 8 * width, most))
    if isinstance(term.operand, Field):
        if width == 16:
            return Pcap("ip6")
        row = FIELDS[term.operand.name.lower()]
        at = [6, 0] if row.directions else [row.blob or 0]  # source, destination
        return Or(tuple(_wider(term._replace(operand=Blob(one, width)), most) for one in at))
    first = 4 if width > 4 else 2
    shift = 8 * (width - first)
    words = joined((low >> shift, high >> shift) for low, high in term.ranges)
    return Among(Blob(term.operand.offset, first), covered(words, 8 * first, most))


# ---- One program ------------------------------------------------------------------------------


def _x_is_small(instructions: Sequence[Instruction]) -> bool:
    """X is never more than the length of a header."""
    return all(
        code == _LDX_MSH or (code == LDX_IMM and k <= _LONGEST_HEADER)
        for code, k, *_ in instructions
        if code in _WRITES_X
    )


def _skips(program: Program) -> bool:
    return any(instruction.flags for instruction in program.instructions)


def _lowered(
    program: Program, linktype: int, snaplen: int, longest: int, tags_at: int, *, live: bool
) -> KernelFilter | None:
    """None where it has what the kernel has not, or is too long for it. `tags_at`: where tags would
    be that are skipped in user space, or 0; also by terms that `program` does not have any more."""
    if len(program.instructions) > longest or any(
        instruction.code in (IN_WIDE, CONTAINS, JA_BACK) for instruction in program.instructions
    ):
        return None
    builder = ClassicBuilder(longest)
    undecided = Label()
    plain, tagged = Label(), Label()
    copy = _Copy(program, builder, undecided, snaplen, ethernet=live and linktype == ETHERNET)
    try:
        if tags_at:
            copy.pass_on_inner_tags(tags_at)
        if live and linktype == ETHERNET and copy.sees_tag:
            builder.emit(LD_ABS[4], _TAG_PRESENT)
            builder.emit(JEQ, 0, plain, tagged)
            builder.place(tagged)
            copy.lay_out(tagged=True)
        builder.place(plain)
        copy.lay_out(tagged=False)
    except _CannotError:
        return None
    if copy.leaves_undecided:
        builder.place(undecided)
        builder.emit(RET, LONGEST_FRAME)
    instructions = builder.build()
    if instructions is None:
        return None
    longest = LONGEST_FRAME if copy.leaves_undecided else snaplen
    return KernelFilter(instructions, not copy.leaves_undecided, longest)


class _CannotError(Exception):
    """The kernel has no way to say this."""


class _Copy:
    """Lays out the program for frames whose outer tag the kernel took off, or for the others.

    A load that fails leaves A and X as they were; nothing that `lower` makes reads them then.
    """

    def __init__(
        self,
        program: Program,
        builder: ClassicBuilder,
        undecided: Label,
        snaplen: int,
        *,
        ethernet: bool,
    ) -> None:
        self.program = program
        self.instructions = program.instructions
        self.builder = builder
        self.undecided = undecided
        self.snaplen = snaplen
        self.ethernet = ethernet
        self.leaves_undecided = False
        self.small_x = _x_is_small(program.instructions)
        used = {k for code, k, *_ in program.instructions if code in _MEMORY}
        self.spare = [slot for slot in range(16) if slot not in used]
        self.tagged = False
        self.labels: list[Label] = []

    @cached_property
    def sees_tag(self) -> bool:
        """Whether it looks at what the tag is in, behind, or counted in."""
        return any(
            not flags and (_is_length(code) or code in _IND or (
                (code in _ABS or code == _LDX_MSH) and k + _ABS.get(code, 1) > _TAG_AT))
            for code, k, _, _, flags in self.instructions
        )  # fmt: skip

    # ---- The whole ----------------------------------------------------------------------------

    def pass_on_inner_tags(self, at: int) -> None:
        """Tags that are still in the frame are skipped in user space."""
        long, none = Label(), Label()
        self.builder.emit(LD_LEN)
        self.builder.emit(JGE, at + 2, long, none)
        self.builder.place(long)
        self.builder.emit(LD_ABS[2], at)
        self.leaves_undecided = True
        for tpid in _TPIDS:
            following = Label()
            self.builder.emit(JEQ, tpid, self.undecided, following)
            self.builder.place(following)
        self.builder.place(none)

    def lay_out(self, *, tagged: bool) -> None:
        self.tagged = tagged
        self.labels = [Label() for _ in self.instructions]
        for slot in sorted({k for code, k, *_ in self.instructions if code in (_LD_MEM, _LDX_MEM)}):
            self.builder.emit(LD_IMM, 0)  # the kernel takes no read of what may not be written
            self.builder.emit(_ST, slot)
        if self.builder.lines and self.instructions[0].code & 7:
            self.builder.emit(LD_IMM, 0)  # what chose the copy has left something in A
        for number, types in self.reached():
            self.builder.place(self.labels[number])
            self.instruction(number, self.instructions[number], types)

    def reached(self) -> list[tuple[int, bool]]:
        """The instructions that can be reached, and whether A surely holds the outer TPID there:
        then it is no other type, and what lies behind such a test is not laid out."""
        types: dict[int, bool] = {0: False}
        found = []

        def go(target: int, is_type: bool) -> None:
            types[target] = types.get(target, True) and is_type

        for number, (code, k, on_true, on_false, flags) in enumerate(self.instructions):
            if number not in types:
                continue
            is_type = types[number]
            found.append((number, is_type))
            following = number + 1
            if code & 7 == _RETURN:
                continue
            if code == JA:
                go(following + on_true, is_type)
            elif code & 7 == _JUMP:
                if not (is_type and code == JEQ and k not in _STRIPPED):
                    go(following + on_true, is_type)
                go(following + on_false, is_type)
            else:
                keeps = code in (LDX_IMM, _LDX_MSH, _STX, _ST, _TAX)
                reads = self.tagged and not flags and code == LD_ABS[2] and k == _TAG_AT
                go(following, reads or (keeps and is_type))
                if code in _ABS or code in _IND or code == _LDX_MSH or code in _DIVISIONS_BY_X:
                    go(following + on_false, False)
        return found

    def instruction(self, number: int, instruction: Instruction, is_type: bool) -> None:
        code, k, on_true, on_false, flags = instruction
        emit = self.builder.emit
        if code == RET:
            emit(RET, self.snaplen if k else 0)
        elif code == JA:
            emit(JA, 0, self.labels[number + 1 + on_true])
        elif code == IN_SET:
            self.in_ranges(self.program.sets[k], self.labels[number + 1 + on_true],
                           self.labels[number + 1 + on_false])  # fmt: skip
        elif code & 7 == _JUMP and is_type and code == JEQ and k not in _STRIPPED:
            emit(JA, 0, self.labels[number + 1 + on_false])
        elif code & 7 == _JUMP:
            emit(code, k, self.labels[number + 1 + on_true], self.labels[number + 1 + on_false])
        elif code in _ABS or code in _IND or code == _LDX_MSH:
            self.load(number, instruction)
        elif _is_length(code):
            self.length(code, with_tag=self.tagged and not flags)
        elif code in _DIVISIONS_BY_X:
            self.divide(instruction, self.labels[number + 1 + on_false])
        elif code in _SHIFTS_BY_X:
            self.shift(instruction)
        elif code in (_LSH_K, _RSH_K) and k > 31:
            emit(LD_IMM, 0)
        else:
            emit(code, k)

    # ---- Loads --------------------------------------------------------------------------------

    def load(self, number: int, instruction: Instruction) -> None:
        code, k, _, on_false, flags = instruction
        missing = self.labels[number + 1 + on_false]
        size = _size(code)
        if _is_far(code, k):
            self.builder.emit(JA, 0, missing)
            return
        shifted = self.tagged and not flags
        guarded = not self.rejects(number + 1 + on_false)
        if code in _IND:
            self.load_indirect(code, k, size, missing, shifted=shifted, guarded=guarded)
        elif shifted and k + size > _TAG_AT and k < _TAG_AT + _TAG:
            self.load_around_tag(code, k, size, missing, guarded=guarded)
        else:
            if guarded and not (self.ethernet and k + size <= _TAG_AT):
                # an Ethernet device gives no frame without its addresses
                self.guard(number, code, k + size - (_TAG if shifted and k >= _TAG_AT else 0),
                           missing)  # fmt: skip
            self.builder.emit(code, k - _TAG if shifted and k >= _TAG_AT else k)

    def rejects(self, number: int) -> bool:
        """Whether the program rejects the frame from here on: so does the kernel, where the bytes
        of a load are missing."""
        while self.instructions[number].code == JA:
            number += 1 + self.instructions[number].on_true
        code, k, *_ = self.instructions[number]
        return code == RET and k == 0

    def guard(self, number: int, code: int, end: int, missing: Label) -> None:
        """Goes to `missing` where the frame has fewer than `end` bytes. Uses A, which a load into X
        must keep where it is still needed."""
        needs_a = code == _LDX_MSH and self.instructions[number + 1].code & 7 != 0
        there = Label()
        if needs_a:
            self.builder.emit(_ST, self.slot(0))
        self.builder.emit(LD_LEN)
        self.builder.emit(JGE, end, there, missing)
        self.builder.place(there)
        if needs_a:
            self.builder.emit(_LD_MEM, self.slot(0))

    def slot(self, number: int) -> int:
        if number >= len(self.spare):
            raise _CannotError
        return self.spare[number]

    def load_indirect(
        self, code: int, k: int, size: int, missing: Label, *, shifted: bool, guarded: bool
    ) -> None:
        """At X + k. The kernel reads large sums as negative, and something else there."""
        emit, place = self.builder.emit, self.builder.place
        if guarded or not self.small_x:
            long, there = Label(), Label()
            emit(LD_LEN)
            if shifted:
                emit(_ADD_K, _TAG)
            emit(JGE, k + size, long, missing)
            place(long)
            emit(_SUB_K, k + size)
            emit(_JGE_X, 0, there, missing)
            place(there)
        if shifted and k < _TAG_AT + _TAG:
            behind, before = Label(), Label()
            emit(TXA)
            emit(JGE, _TAG_AT + _TAG - k, behind, before)
            place(before)
            if k + size <= _TAG_AT:
                in_front = Label()
                self.leaves_undecided = True
                emit(JGT, _TAG_AT - size - k, self.undecided, in_front)
                place(in_front)
                done = Label()
                emit(code, k)
                emit(JA, 0, done)
                place(behind)
                emit(code, k - _TAG)
                place(done)
                return
            self.leaves_undecided = True
            emit(JA, 0, self.undecided)
            place(behind)
        emit(code, k - _TAG if shifted else k)

    def load_around_tag(
        self, code: int, k: int, size: int, missing: Label, *, guarded: bool
    ) -> None:
        """Bytes of which some are in the tag. Ethernet frames have those in front of it."""
        emit = self.builder.emit
        end = k + size
        if code == _LDX_MSH:
            self.header_length_in_tag(k)
            return
        if guarded and end > _TAG_AT + _TAG:
            there = Label()
            emit(LD_LEN)
            emit(JGE, end - _TAG, there, missing)
            self.builder.place(there)
        pieces = _pieces(k, end)
        if len(pieces) > 1:
            emit(_STX, self.slot(1))
        for number, (source, offset, length) in enumerate(pieces):
            self.load_piece(source, offset, length)
            done = offset + length if source == "frame" and offset < _TAG_AT else 0
            left = end - (done or _end_on_wire(source, offset, length))
            if left:
                emit(_LSH_K, 8 * left)
            if number:
                emit(_LDX_MEM, self.slot(0))
                emit(_OR_X)
            if number < len(pieces) - 1:
                emit(_ST, self.slot(0))
        if len(pieces) > 1:
            emit(_LDX_MEM, self.slot(1))

    def load_piece(self, source: str, offset: int, length: int) -> None:
        emit = self.builder.emit
        if source == "frame":
            emit(LD_ABS[length], offset)
            return
        if source == "tci" and not _whole_tci():
            self.leaves_undecided = True
            emit(JA, 0, self.undecided)
        emit(LD_ABS[4], _TPID if source == "tpid" else _TCI)
        if length == 1 and offset == 0:
            emit(_RSH_K, 8)
        if length == 1:
            emit(_AND_K, 0xFF)

    def header_length_in_tag(self, k: int) -> None:
        emit = self.builder.emit
        emit(_ST, self.slot(0))
        self.load_piece("tpid" if k < _TAG_AT + 2 else "tci", k % 2, 1)
        emit(_AND_K, 0xF)
        emit(_LSH_K, 2)
        emit(_TAX)
        emit(_LD_MEM, self.slot(0))

    # ---- Others -------------------------------------------------------------------------------

    def length(self, code: int, *, with_tag: bool) -> None:
        emit = self.builder.emit
        if code != _LDX_LEN:
            emit(LD_LEN)
            if with_tag:
                emit(_ADD_K, _TAG)
        elif not with_tag:
            emit(_LDX_LEN)
        else:
            emit(_ST, self.slot(0))
            emit(LD_LEN)
            emit(_ADD_K, _TAG)
            emit(_TAX)
            emit(_LD_MEM, self.slot(0))

    def divide(self, instruction: Instruction, by_zero: Label) -> None:
        emit = self.builder.emit
        sound = Label()
        emit(_ST, self.slot(0))
        emit(TXA)
        emit(JEQ, 0, by_zero, sound)
        self.builder.place(sound)
        emit(_LD_MEM, self.slot(0))
        emit(instruction.code)

    def shift(self, instruction: Instruction) -> None:
        """By 32 and more gives 0."""
        emit = self.builder.emit
        far, near, done = Label(), Label(), Label()
        emit(_ST, self.slot(0))
        emit(TXA)
        emit(JGE, 32, far, near)
        self.builder.place(far)
        emit(LD_IMM, 0)
        emit(JA, 0, done)
        self.builder.place(near)
        emit(_LD_MEM, self.slot(0))
        emit(instruction.code)
        self.builder.place(done)

    def in_ranges(self, ranges: Ranges, true: Label, false: Label) -> None:
        """A search by halves."""
        if len(ranges) > 1:
            middle = len(ranges) // 2
            low, high = Label(), Label()
            self.builder.emit(JGE, ranges[middle][0], high, low)
            self.builder.place(low)
            self.in_ranges(ranges[:middle], true, false)
            self.builder.place(high)
            self.in_ranges(ranges[middle:], true, false)
            return
        ((first, last),) = ranges
        if first == last:
            self.builder.emit(JEQ, first, true, false)
            return
        there = Label()
        self.builder.emit(JGE, first, there, false)
        self.builder.place(there)
        self.builder.emit(JGT, last, false, true)


def _size(code: int) -> int:
    """How many bytes a load takes."""
    return _ABS.get(code) or _IND.get(code) or 1


def _is_far(code: int, k: int) -> bool:
    is_load = code in _ABS or code in _IND or code == _LDX_MSH
    return is_load and k + _size(code) > _FARTHEST


def _is_length(code: int) -> bool:
    return code in (LD_LEN, _LDX_LEN, _LD_CAPTURED)


def _pieces(start: int, end: int) -> list[tuple[str, int, int]]:
    """Where the bytes from `start` to `end` of a frame with its outer tag are: in the frame without
    it, in the TPID, in the TCI; offset there and length, of 1, 2 or 4 bytes."""
    pieces: list[tuple[str, int, int]] = []
    at = start
    while at < end:
        if at < _TAG_AT:
            source, offset, room = "frame", at, _TAG_AT - at
        elif at < _TAG_AT + _TAG:
            source, offset = ("tpid", at - 12) if at < 14 else ("tci", at - 14)
            room = 2 - offset
        else:
            source, offset, room = "frame", at - _TAG, end - at
        length = min(room, end - at)
        length = 2 if length == 3 else length
        pieces.append((source, offset, length))
        at += length
    return pieces


def _end_on_wire(source: str, offset: int, length: int) -> int:
    return offset + length + {"frame": _TAG, "tpid": 12, "tci": 14}[source]


def _whole_tci() -> bool:
    """Before 5.0 one bit of the TCI said that there is a tag, and DEI was lost."""
    return int(os.uname().release.split(".")[0]) >= 5
