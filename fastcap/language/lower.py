"""Tree -> program.

Every term is laid out with two labels: where to go when it is true and when it is false. AND, OR
and NOT only choose labels, so missing bytes are handled in one place: each load of a term goes to
the term's own `false`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Union

from fastcap.language.libpcap import ClassicInstruction, compile_text
from fastcap.language.program import (
    ACCEPT,
    IN_SET,
    JA,
    JEQ,
    LD_ABS,
    LD_IMM,
    LDX_IMM,
    RET,
    Builder,
    Label,
    Program,
)
from fastcap.language.tree import And, Blob, Not, Pcap, Tree

# From this many alternatives for the same bytes on, a set is faster than comparing one by one.
SET_FROM = 8


class _InSet(NamedTuple):
    """The bytes are one of these values."""

    offset: int
    length: int
    values: set[int]


_Term = Union[Tree, _InSet]  # noqa: UP007 - Python 3.10 cannot join a forward reference by |
Compile = Callable[[str, int], list[list[ClassicInstruction]]]

_LOAD, _LOAD_X, _ALU, _JUMP = 0, 1, 4, 5  # classes, code & 7
_MODE_ABS, _MODE_IND, _MODE_MSH = 0x20, 0x40, 0xA0  # code & 0xe0
_SOURCE_X = 0x08
_DIVISIONS = (0x30, 0x90)  # code & 0xf0: DIV, MOD
_RETURN_A = 0x16


def lower(tree: Tree, linktype: int, compile_pcap: Compile = compile_text) -> Program:
    """The program of a tree for frames of a link type. FilterError where libpcap refuses a run
    of pcap-filter text; `compile_pcap` stands in for libpcap in tests."""
    return _Lowering(linktype, compile_pcap).program(tree)


class _Lowering:
    def __init__(self, linktype: int, compile_pcap: Compile) -> None:
        self.linktype = linktype
        self.compile_pcap = compile_pcap
        self.builder = Builder()

    def program(self, tree: Tree) -> Program:
        accept, reject = Label(), Label()
        self.term(tree, accept, reject)
        self.builder.place(accept)
        self.builder.emit(RET, ACCEPT)
        self.builder.place(reject)
        self.builder.emit(RET, 0)
        return self.builder.build()

    def term(self, tree: _Term, true: Label, false: Label) -> None:
        """Lays out a term. One of the two labels is placed right behind it or later."""
        if isinstance(tree, Blob):
            self.blob(tree, true, false)
        elif isinstance(tree, Pcap) and not tree.text.strip():
            self.builder.emit(JA, 0, true)  # every frame, also of link types libpcap does not know
        elif isinstance(tree, Pcap):
            self.parts(self.compile_pcap(tree.text, self.linktype), true, false)
        elif isinstance(tree, Not):
            self.term(tree.term, false, true)
        elif isinstance(tree, _InSet):
            self.in_set(tree, true, false)
        elif isinstance(tree, And):
            self.chain(tree.terms, true, false, until=False)
        else:
            self.chain(_with_sets(tree.terms), true, false, until=True)

    def chain(self, terms: Sequence[_Term], true: Label, false: Label, *, until: bool) -> None:
        """Terms one after the other, until one is `until`: true ends an OR, false an AND."""
        for term in terms[:-1]:
            following = Label()
            self.term(term, *((true, following) if until else (following, false)))
            self.builder.place(following)
        self.term(terms[-1], true, false)

    def in_set(self, term: _InSet, true: Label, false: Label) -> None:
        self.builder.emit(LD_ABS[term.length], term.offset, None, false)
        self.builder.emit(IN_SET, self.builder.add_set(term.values), true, false)

    def blob(self, blob: Blob, true: Label, false: Label) -> None:
        """The last word is loaded first: where it is there, all of the blob is, and what is
        missing makes the comparison false whatever the words before it hold."""
        words = _words(blob)
        for number, (offset, size, value) in enumerate(words):
            last = number == len(words) - 1
            following = Label()
            self.builder.emit(LD_ABS[size], offset, None, false)
            if blob.equal:
                self.builder.emit(JEQ, value, true if last else following, false)
            else:
                self.builder.emit(JEQ, value, false if last else following, true)
            self.builder.place(following)

    def parts(self, parts: list[list[ClassicInstruction]], true: Label, false: Label) -> None:
        """Programs of libpcap's of which one must take the frame. They are one text: where one
        would reject the frame at once, none of the others is asked."""
        for part in parts[:-1]:
            following = Label()
            self.pcap(part, true, following, false)
            self.builder.place(following)
        self.pcap(parts[-1], true, false, false)

    def pcap(
        self, classic: list[ClassicInstruction], true: Label, false: Label, reject: Label
    ) -> None:
        """libpcap's program between our labels: it returns to `true` or `false`, and goes to
        `reject` where libpcap would reject the frame at once (bytes missing, a division by 0)."""
        if self.builder.lines:  # what ran before may have left something in A and X
            self.builder.emit(LD_IMM, 0)
            self.builder.emit(LDX_IMM, 0)
        labels = [_label_of(instruction, true, false) for instruction in classic]
        falls_through = True
        for number, instruction in enumerate(classic):
            label = labels[number]
            if label is true or label is false:
                if falls_through:
                    self.builder.emit(JA, 0, label)
                falls_through = False
                continue
            self.builder.place(label)
            if instruction.code == _RETURN_A:
                self.builder.emit(JEQ, 0, false, true)
                falls_through = False
            else:
                falls_through = self.classic(instruction, number, labels, reject)

    def classic(
        self,
        instruction: ClassicInstruction,
        number: int,
        labels: list[Label],
        reject: Label,
    ) -> bool:
        """One instruction; whether the next one can follow it."""
        code, jt, jf, k = instruction
        kind = code & 7
        if code == JA:
            self.builder.emit(JA, 0, labels[number + 1 + k])
        elif kind == _JUMP:
            self.builder.emit(code, k, labels[number + 1 + jt], labels[number + 1 + jf])
        elif _can_fail(code):
            self.builder.emit(code, k, None, reject)
            return True
        else:
            self.builder.emit(code, k)
            return True
        return False


def _label_of(instruction: ClassicInstruction, true: Label, false: Label) -> Label:
    """A return needs no instruction: whoever jumps to it goes where it leads."""
    if instruction.code == RET:
        return true if instruction.k else false
    return Label()


def _can_fail(code: int) -> bool:
    kind = code & 7
    if kind == _LOAD:
        return code & 0xE0 in (_MODE_ABS, _MODE_IND)
    if kind == _LOAD_X:
        return code & 0xE0 == _MODE_MSH
    return kind == _ALU and code & 0xF0 in _DIVISIONS and bool(code & _SOURCE_X)


def _words(blob: Blob) -> list[tuple[int, int, int]]:
    """Offset, size and value of the words that make up a blob, the last one first."""
    words = []
    done = 0
    while done < blob.length:
        left = blob.length - done
        size = 4 if left >= 4 else 2 if left >= 2 else 1
        value = blob.value >> (8 * (left - size)) & (1 << (8 * size)) - 1
        words.append((blob.offset + done, size, value))
        done += size
    return words[::-1]


def _with_sets(terms: Sequence[Tree]) -> list[_Term]:
    """The terms of an OR, with many comparisons of the same bytes made one look-up in a set."""
    values: dict[tuple[int, int], set[int]] = defaultdict(set)
    for term in terms:
        if isinstance(term, Blob) and term.equal and term.length in LD_ABS:
            values[term.offset, term.length].add(term.value)
    sets = {where: found for where, found in values.items() if len(found) >= SET_FROM}
    others = [
        term
        for term in terms
        if not (isinstance(term, Blob) and term.equal and (term.offset, term.length) in sets)
    ]
    return [*(_InSet(*where, found) for where, found in sets.items()), *others]
