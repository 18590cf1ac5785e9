"""Tree -> program.

Every term is laid out with two labels: where to go when it is true and when it is false. AND, OR
and NOT only choose labels, so missing bytes are handled in one place: each load of a term goes to
the term's own `false`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from fastcap.errors import FilterError
from fastcap.formats.linktypes import ETHERNET, TAGS_AT, name_of
from fastcap.language.fields import FIELDS, FieldRow
from fastcap.language.libpcap import ClassicInstruction, compile_text
from fastcap.language.primitives import Primitive, primitive_of
from fastcap.language.program import (
    ACCEPT,
    ADD_K,
    AND_K,
    CONTAINS,
    IN_SET,
    IN_WIDE,
    JA,
    JEQ,
    JGE,
    JGT,
    LD_ABS,
    LD_IMM,
    LD_LEN,
    LDX_IMM,
    MOST_INSTRUCTIONS,
    MOST_SETS,
    RET,
    SKIPS_TAGS,
    TXA,
    Builder,
    Label,
    Program,
)
from fastcap.language.ranges import Ranges, count, joined, others, where
from fastcap.language.tree import (
    Among,
    And,
    Blob,
    Compare,
    Contains,
    Field,
    Not,
    Pcap,
    Tree,
    terms_of,
)
from fastcap.language.values import kind_of, written
from fastcap.language.words import asks_for_tags

# From this many ranges on, a look-up in a set is faster than comparing one by one.
SET_FROM = 8
# So many single values that are wide are compared word by word, which the kernel can do too.
MOST_ONE_BY_ONE = 8
VLAN_MODES = ("wire", "skip")

Compile = Callable[[str, int], list[list[ClassicInstruction]]]

_LOAD, _LOAD_X, _ALU, _JUMP = 0, 1, 4, 5  # classes, code & 7
_MODE_ABS, _MODE_IND, _MODE_MSH, _MODE_LEN = 0x20, 0x40, 0xA0, 0x80  # code & 0xe0
_SOURCE_X = 0x08
_DIVISIONS = (0x30, 0x90)  # code & 0xf0: DIV, MOD
_RETURN_A = 0x16


def lower(
    tree: Tree, linktype: int, compile_pcap: Compile = compile_text, *, vlan: str = "wire"
) -> Program:
    """The program of a tree for frames of a link type. With `vlan` "skip", pcap-filter text and
    fields see frames without their VLAN tags. FilterError where libpcap refuses a run of
    pcap-filter text, or frames of this link type have no such field; `compile_pcap` stands in for
    libpcap in tests."""
    if vlan == "skip":
        _check_skips(tree)
    return _Lowering(linktype, compile_pcap, skips=vlan == "skip").program(tree)


def _check_skips(tree: Tree) -> None:
    if any(isinstance(term, Pcap) and asks_for_tags(term.text) for term in terms_of(tree)):
        raise FilterError(
            "filter: 'vlan' asks for tags, which are not seen with --vlan skip: leave it out, or "
            "filter with --vlan wire"
        )


def asks_about_untagged(tree: Tree) -> bool:
    """Whether it holds terms that tags keep from matching, and none that asks for tags itself."""
    sees = [
        term
        for term in terms_of(tree)
        if (isinstance(term, Pcap) and term.text.strip())
        or (isinstance(term, (Compare, Among)) and isinstance(term.operand, Field))
    ]
    return bool(sees) and not any(
        isinstance(term, Pcap) and asks_for_tags(term.text) for term in sees
    )


class _Lowering:
    def __init__(self, linktype: int, compile_pcap: Compile, *, skips: bool) -> None:
        self.linktype = linktype
        self.compile_pcap = compile_pcap
        self.tags_at = TAGS_AT.get(linktype, 0) if skips else 0
        self.flags = SKIPS_TAGS if self.tags_at else 0  # of what is not a Blob
        self.builder = Builder()

    def program(self, tree: Tree) -> Program:
        accept, reject = Label(), Label()
        self.term(tree, accept, reject)
        self.check_size()
        self.builder.place(accept)
        self.builder.emit(RET, ACCEPT)
        self.builder.place(reject)
        self.builder.emit(RET, 0)
        return self.builder.build(self.tags_at)

    def check_size(self) -> None:
        """csrc/program.h has the limits."""
        builder = self.builder
        most = max(len(builder.sets), len(builder.wide_sets), len(builder.patterns))
        if most > MOST_SETS:
            raise FilterError(f"filter: more than {MOST_SETS:,} sets or searches are too many")
        if len(builder.lines) + 2 > MOST_INSTRUCTIONS:
            raise FilterError(f"filter: it needs more than {MOST_INSTRUCTIONS:,} instructions")

    def term(self, tree: Tree, true: Label, false: Label) -> None:
        """Lays out a term. One of the two labels is placed right behind it or later."""
        if isinstance(tree, Pcap) and not tree.text.strip():
            self.builder.emit(JA, 0, true)  # every frame, also of link types libpcap does not know
        elif isinstance(tree, Pcap):
            self.parts(self.compile_pcap(tree.text, self.linktype), true, false)
        elif isinstance(tree, Not):
            self.term(tree.term, false, true)
        elif isinstance(tree, Contains):
            self.builder.patterns.append(tree.pattern)
            self.builder.emit(CONTAINS, len(self.builder.patterns) - 1, true, false)
        elif isinstance(tree, (Compare, Among)):
            self.comparison(tree, true, false)
        elif isinstance(tree, And):
            self.chain(tree.terms, true, false, until=False)
        else:
            self.chain(with_sets(tree.terms), true, false, until=True)

    def chain(self, terms: Sequence[Tree], true: Label, false: Label, *, until: bool) -> None:
        """Terms one after the other, until one is `until`: true ends an OR, false an AND."""
        for term in terms[:-1]:
            following = Label()
            self.term(term, *((true, following) if until else (following, false)))
            self.builder.place(following)
        self.term(terms[-1], true, false)

    # ---- Comparisons --------------------------------------------------------------------------

    def comparison(self, term: Compare | Among, true: Label, false: Label) -> None:
        if isinstance(term.operand, Field):
            self.field(term, FIELDS[term.operand.name.lower()], true, false)
        elif term.operand.length in LD_ABS:
            most = (1 << 8 * term.operand.length) - 1
            self.builder.emit(LD_ABS[term.operand.length], term.operand.offset, None, false)
            if term.mask is not None:
                self.builder.emit(AND_K, term.mask)
            self.test(_ranges(term, most), most, true, false)
        elif isinstance(term, Compare):
            self.wide_compare(term.operand, term, true, false)
        else:
            self.wide_among(term.operand, term.ranges, true, false)

    def test(self, ranges: Ranges, most: int, true: Label, false: Label) -> None:
        """Whether A, which is at most `most`, is in one of the ranges."""
        rest = others(ranges, most)
        if len(rest) < len(ranges) or (len(rest) == 1 and rest[0][0] == rest[0][1]):
            ranges, true, false = rest, false, true
        if len(ranges) >= SET_FROM:
            self.builder.sets.append(ranges)
            self.builder.emit(IN_SET, len(self.builder.sets) - 1, true, false)
            return
        for number, (first, last) in enumerate(ranges):
            is_last = number == len(ranges) - 1
            following = false if is_last else Label()
            if first == last:
                self.builder.emit(JEQ, first, true, following)
            elif last == most:
                self.builder.emit(JGE, first, true, following)
            elif first == 0:
                self.builder.emit(JGT, last, following, true)
            else:
                reached = Label()
                self.builder.emit(JGE, first, reached, false)  # those that follow are larger
                self.builder.place(reached)
                self.builder.emit(JGT, last, following, true)
            if not is_last:
                self.builder.place(following)
        if not ranges:
            self.builder.emit(JA, 0, false)

    def wide_compare(self, blob: Blob, term: Compare, true: Label, false: Label) -> None:
        """Word by word, those that weigh most first. The last one is loaded before all others:
        where it is there, all of the blob is; what is missing makes the comparison false whatever
        the words before it hold."""
        words = _words(blob, term)
        offset, size, _, _ = words[-1]
        if term.operator in ("==", "!="):
            words = words[::-1]
        else:
            self.builder.emit(LD_ABS[size], offset, None, false)
        equal = true if term.operator in ("==", "<=", ">=") else false
        less = true if term.operator in ("<", "<=", "!=") else false
        greater = true if term.operator in (">", ">=", "!=") else false
        for number, (offset, size, value, mask) in enumerate(words):
            is_last = number == len(words) - 1
            following = equal if is_last else Label()
            self.builder.emit(LD_ABS[size], offset, None, false)
            if mask is not None:
                self.builder.emit(AND_K, mask)
            if less is not greater:
                same = Label()
                self.builder.emit(JGT, value, greater, same)
                self.builder.place(same)
            self.builder.emit(JEQ, value, following, less)
            if not is_last:
                self.builder.place(following)

    def wide_among(self, blob: Blob, ranges: Ranges, true: Label, false: Label) -> None:
        if count(ranges) <= MOST_ONE_BY_ONE:
            terms = [Compare(blob, "==", value) for value in _values(ranges)]
            self.chain(terms, true, false, until=True)
            return
        self.builder.emit(LD_IMM, blob.offset)
        self.in_wide(blob.length, ranges, true, false, 0)

    def in_wide(self, width: int, ranges: Ranges, true: Label, false: Label, flags: int) -> None:
        self.builder.wide_sets.append((width, ranges))
        self.builder.emit(IN_WIDE, len(self.builder.wide_sets) - 1, true, false, flags)

    # ---- Fields -------------------------------------------------------------------------------

    def field(self, term: Compare | Among, row: FieldRow, true: Label, false: Label) -> None:
        apart = isinstance(term, Compare) and term.operator == "!="
        if isinstance(term, Compare) and apart and row.repeats:
            absent = Label()
            self.primitive(term._replace(operator="=="), row, false, absent, missing=false)
            self.builder.place(absent)
            self.primitive(term._replace(operator=">=", value=0), row, true, false)
        elif row.directions and (apart or not row.pcap):
            either = tuple(term._replace(operand=Field(name)) for name in row.directions)
            self.chain(either, true, false, until=not apart)
        elif row.blob is not None:
            self.ethernet(term, row, true, false)
        elif row.pcap == "len":
            self.builder.emit(LD_LEN, 0, flags=self.flags)
            self.test(_ranges(term, 0xFFFFFFFF), 0xFFFFFFFF, true, false)
        else:
            self.primitive(term, row, true, false)

    def ethernet(self, term: Compare | Among, row: FieldRow, true: Label, false: Label) -> None:
        if self.linktype != ETHERNET:
            raise FilterError(
                f"filter: {row.name}: frames of link type {name_of(self.linktype)} have no such "
                "field"
            )
        assert row.blob is not None
        if row.length in LD_ABS:
            most = (1 << 8 * row.length) - 1
            self.builder.emit(LD_ABS[row.length], row.blob, None, false, self.flags)
            self.test(_ranges(term, most), most, true, false)
        else:  # the MAC addresses, which no tag moves
            self.comparison(term._replace(operand=Blob(row.blob, row.length)), true, false)

    def primitive(
        self,
        term: Compare | Among,
        row: FieldRow,
        true: Label,
        false: Label,
        missing: Label | None = None,
    ) -> None:
        """libpcap's program of the row, with our test in place of its comparisons; where that is
        not found, and the values are few, libpcap's program for each. `missing`: where to go
        without the bytes, if not to `false`."""
        most = (1 << 8 * row.length) - 1
        ranges = _ranges(term, most)
        try:
            primitive = primitive_of(row.name, self.linktype, self.compile_pcap)
        except FilterError:
            if not 0 < count(ranges) <= MOST_ONE_BY_ONE:
                raise
            kind = kind_of(Field(row.name))
            texts = tuple(Pcap(row.pcap.format(written(value, kind))) for value in _values(ranges))
            self.chain(texts, true, false, until=True)
            return
        tests = _Tests(self, primitive, ranges, most)
        self.pcap(primitive.program, true, false, missing or false, tests)

    def parts(self, parts: list[list[ClassicInstruction]], true: Label, false: Label) -> None:
        """Programs of libpcap's of which one must take the frame. They are one text: where one
        would reject the frame at once, none of the others is asked."""
        for part in parts[:-1]:
            following = Label()
            self.pcap(part, true, following, false)
            self.builder.place(following)
        self.pcap(parts[-1], true, false, false)

    def pcap(
        self,
        classic: list[ClassicInstruction],
        true: Label,
        false: Label,
        reject: Label,
        tests: _Tests | None = None,
    ) -> None:
        """libpcap's program between our labels: it returns to `true` or `false`, and goes to
        `reject` where libpcap would reject the frame at once (bytes missing, a division by 0).
        `tests` lays out comparisons of its own in place of some."""
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
            if tests is not None and tests.replaces(number):
                tests.lay_out(number, labels)
                falls_through = False
            elif instruction.code == _RETURN_A:
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
        if code == JA:  # protochain's go back
            self.builder.emit(JA, 0, labels[number + 1 + (k if k < 1 << 31 else k - (1 << 32))])
        elif kind == _JUMP:
            self.builder.emit(code, k, labels[number + 1 + jt], labels[number + 1 + jf])
        elif _can_fail(code):
            self.builder.emit(code, k, None, reject, self.flags if kind != _ALU else 0)
            return True
        else:
            self.builder.emit(code, k, flags=self.flags if _is_length(code) else 0)
            return True
        return False


class _Tests:
    """The comparisons of a primitive with the values of a term in place of its own."""

    def __init__(
        self, lowering: _Lowering, primitive: Primitive, ranges: Ranges, most: int
    ) -> None:
        self.lowering = lowering
        self.primitive = primitive
        self.ranges = ranges
        self.most = most

    def replaces(self, number: int) -> bool:
        return number in self.primitive.tests or number in self.primitive.rest

    def lay_out(self, number: int, labels: list[Label]) -> None:
        if number in self.primitive.rest:  # words behind the first one, which stands for all
            return
        last = self.primitive.tests[number]
        instruction = self.primitive.program[last]
        true = labels[last + 1 + instruction.jt]
        false = labels[last + 1 + instruction.jf]
        if last == number:
            self.lowering.test(self.ranges, self.most, true, false)
        else:
            self.wide(number, true, false)

    def wide(self, number: int, true: Label, false: Label) -> None:
        """Addresses of IPv6; the first word of the frame's is in A."""
        lowering, load = self.lowering, self.primitive.program[number - 1]
        emit, flags = lowering.builder.emit, lowering.flags
        if 0 < count(self.ranges) <= MOST_ONE_BY_ONE:
            values = _values(self.ranges)
            for which, value in enumerate(values):
                other = false if which == len(values) - 1 else Label()
                for word in range(4):
                    following = Label() if word < 3 else true
                    if word or which:
                        emit(load.code, load.k + 4 * word, None, false, flags)
                    emit(JEQ, value >> 32 * (3 - word) & 0xFFFFFFFF, following, other)
                    if word < 3:
                        lowering.builder.place(following)
                if other is not false:
                    lowering.builder.place(other)
            return
        if load.code == LD_ABS[4]:
            emit(LD_IMM, load.k)
        else:
            emit(TXA)
            emit(ADD_K, load.k)
        lowering.in_wide(16, self.ranges, true, false, flags)


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


def _is_length(code: int) -> bool:
    return code & 7 in (_LOAD, _LOAD_X) and code & 0xE0 == _MODE_LEN


def _ranges(term: Compare | Among, most: int) -> Ranges:
    if isinstance(term, Among):
        return term.ranges
    return where(term.operator, term.value, most)


def _values(ranges: Ranges) -> list[int]:
    return [value for first, last in ranges for value in range(first, last + 1)]


def _words(blob: Blob, term: Compare) -> list[tuple[int, int, int, int | None]]:
    """Offset, size, value and mask of the words that make up a blob, the first one first."""
    words = []
    done = 0
    while done < blob.length:
        left = blob.length - done
        size = 4 if left >= 4 else 2 if left >= 2 else 1
        most = (1 << 8 * size) - 1
        shift = 8 * (left - size)
        mask = None if term.mask is None else term.mask >> shift & most
        words.append((blob.offset + done, size, term.value >> shift & most,
                      None if mask == most else mask))  # fmt: skip
        done += size
    return words


def with_sets(terms: Sequence[Tree]) -> list[Tree]:
    """The terms of an OR, with those that ask for values of the same bytes made one."""
    found: dict[Blob | Field, list[Compare | Among]] = defaultdict(list)
    for term in terms:
        if _asks_for_values(term):
            assert isinstance(term, (Compare, Among))
            found[term.operand].append(term)
    merged = {operand: _merged(alike) for operand, alike in found.items() if len(alike) > 1}
    result: list[Tree] = []
    for term in terms:
        if not _asks_for_values(term) or term.operand not in merged:  # type: ignore[union-attr]
            result.append(term)
        elif term is found[term.operand][0]:  # type: ignore[union-attr]
            result.append(merged[term.operand])
    return result


def _asks_for_values(term: Tree) -> bool:
    if isinstance(term, Compare):
        return term.operator == "==" and term.mask is None
    return isinstance(term, Among) and term.mask is None


def _merged(terms: Sequence[Compare | Among]) -> Among:
    ranges = joined(
        pair
        for term in terms
        for pair in (term.ranges if isinstance(term, Among) else ((term.value, term.value),))
    )
    return Among(terms[0].operand, ranges)
