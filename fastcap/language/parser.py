"""Filter text -> tree: Blob comparisons, field names, pcap-filter text, and all of them joined.

Text without a term of ours is libpcap's alone and goes to it as it is. Of the rest, our terms, AND,
OR, NOT and the parentheses around them are read here; what lies between is pcap-filter text, passed
on in the longest runs that there are: chunks.

libpcap gives `and` and `or` equal rank, Network Monitor ranks AND higher. Where pcap-filter text
takes part and the two rules read an expression differently, it is refused with both readings.
"""

from __future__ import annotations

import re
from bisect import bisect
from itertools import groupby
from typing import NoReturn, TypeVar

from fastcap.errors import FilterError
from fastcap.language import values
from fastcap.language.fields import FIELDS, FieldRow, meant
from fastcap.language.ranges import Ranges, count, joined
from fastcap.language.text import fault, plain
from fastcap.language.tree import (
    Among,
    And,
    Blob,
    Compare,
    Contains,
    Field,
    Not,
    Or,
    Pcap,
    Tree,
    terms_of,
)
from fastcap.language.words import (
    first_that_moves,
    last_qualifier,
    lead_of,
    moves_offsets,
    starts_primitive,
)
from fastcap.patterns import pattern

LONGEST_TEXT = 16 << 20  # characters
DEEPEST = 100  # parentheses and NOTs inside each other
LONGEST_BLOB = 16  # bytes
LAST_OFFSET = 0x7FFFFFFF
LONGEST_PATTERN = 1024  # bytes
MOST_MASKED = 64  # values of a set of masked blobs that are no numbers of 1, 2 or 4 bytes
_MOST_JOINS_SHOWN = 12
_LONGEST_READING = 400  # characters

# Where a term of ours may begin: a Blob, a search, a name with an operator behind it. Names are of
# ASCII's letters, hence (?a): by Unicode's rules "ſ" is an S too. No name begins behind a dot: from
# each one to look for the end of the name would take a time that grows with their square.
_OURS = pattern(
    r"\b(?:(?ai:blob|containsbin)\s*\(|(?<!\.)(?ai:[a-z]\w*(?:\.\w+)+|framelength|protocol)\s*"
    r"(?:[=<>]|!=|&(?!&)|(?ai:in)(?![\w.:-])))"
)
_FUNCTION = pattern(r"((?ai:blob|containsbin))\s*\(")
_NAME = pattern(r"(?ai:[a-z]\w*(?:\.\w+)*)")
_OPERATOR = pattern(r"==|!=|<=|>=|<|>")
_IN = pattern(r"(?ai:in)(?![\w.:-])")
_MASK = pattern(r"&(?!&)")
_AT = pattern("@")
_FILE = pattern(r"@(?:\"([^\"]+)\"|'([^']+)'|([^\s()\"']+))")
_LITERAL = pattern(r"[\w.:/%-]+")
_QUOTED = pattern(r"\"([^\"]*)\"|'([^']*)'")
_SPACE = pattern(r"\s*")
_JOIN = pattern(r"&&|\|\||(?:and|or)(?![\w.:-])", re.IGNORECASE)
_NOT = pattern(r"!(?!=)|not(?![\w.:-])", re.IGNORECASE)
_WORD = pattern(r"\\?[\w.:/-]+")
_FRAME_DATA = pattern("(?ai:FrameData)")
_COMMA = pattern(",")
_OPEN = pattern(r"\(")
_CLOSE = pattern(r"\)")
_OPEN_BRACE = pattern(r"\{")
_COMMA_OR_BRACE = pattern(r"[,}]")
_COMMA_OR_CLOSE = pattern(r"[,)]")
_MOST_SHOWN = 200  # characters of an expression that a message repeats
_SINGLE_EQUAL = pattern("=(?!=)")
_NUMBER = pattern(r"0[xX][0-9a-fA-F]+|[0-9]+")
_WORD_END = pattern(r"[\w.:]")
_UPPER = pattern(r"(?<![\w.:\\-])(?:and|or|not)(?![\w.:-])", re.IGNORECASE)
_Part = TypeVar("_Part")
_OPERATORS = {"and": "and", "&&": "and", "or": "or", "||": "or"}
_DIRECTIONS = {"src", "dst"}
# netsh's form: Key=Value, and nothing but space between them
_NETSH = pattern(r"^\s*(?ai:[a-z]\w*(?:\.\w+)+|protocol)\s*=(?!=)")


def parse(text: str) -> Tree:
    """The tree of an expression. FilterError for what is not one, or is not plain.

    >>> parse("tcp port 443")
    Pcap(text='tcp port 443', at=0)
    >>> parse("Blob(FrameData, 0, 2) == 0x0a23").operand
    Blob(offset=0, length=2)
    """
    if len(text) > LONGEST_TEXT:
        raise FilterError(f"filter: longer than {LONGEST_TEXT:,} characters")
    if not _OURS.search(text):
        return Pcap(text)
    if _NETSH.search(text):
        return _Parser(text).netsh()
    return _Parser(text).parse()


def alternatives(text: str) -> list[str]:
    """The terms of pcap-filter text that are joined by nothing but OR and can stand alone, so that
    the text means the same when they are compiled one by one. The text itself where that is not
    so: it holds an AND outside parentheses, a bare value that takes its qualifier from the term
    before, a word that moves what comes after it, or it is not plain.

    >>> alternatives("host 10.0.0.1 or (tcp and port 80) or udp")
    ['host 10.0.0.1', '(tcp and port 80)', 'udp']
    >>> alternatives("port 80 or 443"), alternatives("tcp or udp and port 53")
    (['port 80 or 443'], ['tcp or udp and port 53'])
    """
    try:
        terms, joins = _Parser(text).pcap_terms()
    except FilterError:
        return [text]
    alone = all(starts_primitive(term) and not moves_offsets(term) for term in terms)
    return terms if alone and set(joins) <= {"or"} else [text]


class _Level:
    """The terms of one level of parentheses, and the operators between them."""

    def __init__(self) -> None:
        self.terms: list[Tree] = []
        self.spans: list[tuple[int, int]] = []
        self.joins: list[str] = []

    def add(self, term: Tree, span: tuple[int, int]) -> None:
        self.terms.append(term)
        self.spans.append(span)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.before = 0  # where what was read last begins
        self.depth = 0
        self.runs = 0  # of pcap-filter text that were read
        self.ours = [match.start() for match in _OURS.finditer(text)]
        self.closing = _matching_parentheses(text)

    def parse(self) -> Tree:
        tree = self.level()
        if self.at < len(self.text):
            self.fail("this parenthesis was not opened")
        chunks = [term for term in terms_of(tree) if isinstance(term, Pcap)]
        self.check_qualifiers(chunks)
        for chunk in chunks[:-1]:
            if moves_offsets(chunk.text):
                self.at = chunk.at
                self.fail(
                    "vlan, mpls, pppoes and the like move what comes after them, but not across "
                    "another kind of term: write all of the pcap-filter text in one piece"
                )
        self.check_fields(tree, chunks)
        return tree

    def check_fields(self, tree: Tree, chunks: list[Pcap]) -> None:
        """`vlan and IPv4.Address == A` would look for A where only untagged frames have it."""
        moving = next((chunk for chunk in chunks if moves_offsets(chunk.text)), None)
        field = next((row for row in map(_field_of, terms_of(tree)) if row and row.moves), None)
        if moving is None or field is None:
            return
        self.at = moving.at
        word, text = first_that_moves(moving.text), (field.pcap or "ether proto {}").format("…")
        skip = ", or leave vlan out and use --vlan skip" if word == "vlan" else ""
        self.fail(
            f"{word} moves what comes after it, but no field: write {field.name} as pcap-filter "
            f"text ({word} and {text}){skip}"
        )

    def pcap_terms(self) -> tuple[list[str], list[str]]:
        """Text without Blob comparisons: its terms outside parentheses, and what joins them."""
        terms: list[str] = []
        joins: list[str] = []
        while True:
            self.skip_space()
            terms.append(self.pcap(self.at).text)
            join = self.take(_JOIN)
            if join is None:
                break
            joins.append(_OPERATORS[join])
        if self.at < len(self.text):
            self.fail("this parenthesis was not opened")
        return terms, joins

    # ---- One level -------------------------------------------------------------------------

    def level(self) -> Tree:
        level = _Level()
        runs = self.runs
        while True:
            self.term(level)
            join = self.take(_JOIN)
            if join is None:
                break
            level.joins.append(_OPERATORS[join])
        self.skip_space()
        if self.at < len(self.text) and self.text[self.at] != ")":
            self.fail("expected AND, OR or the end here")
        if self.runs > runs:
            self.check_reading(level)
        return _tree(level)

    def check_reading(self, level: _Level) -> None:
        """Both rules read `a AND b OR c` alike. With an AND behind an OR they do not: FilterError
        with both readings, of many terms up to that AND."""
        if "or" not in level.joins:
            return
        rest = level.joins[level.joins.index("or") :]
        if "and" not in rest:
            return
        joins = level.joins
        if len(joins) > _MOST_JOINS_SHOWN:
            joins = joins[: len(joins) - len(rest) + rest.index("and") + 1]
        terms = [self.text[start:end] for start, end in level.spans[: len(joins) + 1]]
        more = " …" if len(terms) < len(level.terms) else ""
        left, high = _left_to_right(terms, joins) + more, _and_first(terms, joins) + more
        self.at = level.spans[0][0]
        self.fail(
            "AND and OR without parentheses can be read two ways here:\n"
            f"    {plain(left, _LONGEST_READING)}\n    {plain(high, _LONGEST_READING)}\n "
            " Write the parentheses you mean."
        )

    def term(self, level: _Level) -> None:
        self.skip_space()
        start = self.at
        negations = 0
        while self.take(_NOT) is not None:
            negations += 1
            self.skip_space()
        self.enter(negations)
        if self.is_ours():
            term: Tree = self.our_term()
        elif self.text.startswith("(", self.at) and self.holds_ours(self.at):
            term = self.group()
        else:
            term, negations = self.pcap(start), 0
        self.depth -= negations
        for _ in range(negations):
            term = Not(term)
        level.add(term, (start, self.at))

    def group(self) -> Tree:
        opened = self.at
        self.enter(1)
        self.at += 1
        term = self.level()
        if self.at >= len(self.text):
            self.at = opened
            self.fail("this parenthesis is not closed")
        self.at += 1
        self.depth -= 1
        return term

    def enter(self, levels: int) -> None:
        self.depth += levels
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} levels of parentheses and NOT")

    # ---- pcap-filter text ------------------------------------------------------------------

    def pcap(self, start: int) -> Pcap:
        """Everything up to the next AND or OR that joins, or to the end of the level.
        Parentheses inside are pcap-filter's own; `src or dst` is one qualifier."""
        words: list[str] = []
        end = self.at
        while self.at < len(self.text):
            self.skip_space()
            if self.at >= len(self.text) or self.text[self.at] == ")":
                break
            if self.is_ours():
                self.fail("expected AND or OR before this")
            if _JOIN.match(self.text, self.at) and not self.is_direction(words):
                break
            words.append(self.pcap_piece())
            end = self.at
        if not words:
            self.fail(
                "expected a comparison here: Blob(…) == …, IPv4.Address == …, or pcap-filter text"
            )
        self.at = end
        self.runs += 1
        # libpcap knows these three in small letters only
        text = _UPPER.sub(lambda match: match.group().lower(), self.text[start:end])
        return Pcap(text, start)

    def pcap_piece(self) -> str:
        start = self.at
        if self.text[start] == "(":
            self.at = self.closing.get(start, -1) + 1
            if self.at == 0:
                self.at = start
                self.fail("this parenthesis is not closed")
        elif self.text[start] == "[":
            end = self.text.find("]", start)
            self.at = len(self.text) if end < 0 else end + 1
        else:
            match = _WORD.match(self.text, start)
            self.at = match.end() if match else start + 1
        return self.text[start : self.at]

    def is_direction(self, words: list[str]) -> bool:
        match = _JOIN.match(self.text, self.at)
        if not match or not words or words[-1] not in _DIRECTIONS:
            return False
        space = _SPACE.match(self.text, match.end())
        following = _WORD.match(self.text, space.end() if space else match.end())
        return following is not None and following.group() in _DIRECTIONS - {words[-1]}

    def is_ours(self) -> bool:
        return _OURS.match(self.text, self.at) is not None

    def holds_ours(self, opened: int) -> bool:
        following = bisect(self.ours, opened)
        closed = self.closing.get(opened, len(self.text))
        return following < len(self.ours) and self.ours[following] < closed

    def check_qualifiers(self, chunks: list[Pcap]) -> None:
        """A bare `443` would take its `port` from the term before: not across a term of ours."""
        before = ""
        for chunk in chunks:
            if not starts_primitive(chunk.text):
                self.fail_unqualified(chunk, before)
            before = last_qualifier(chunk.text) or before

    def fail_unqualified(self, term: Pcap, before: str) -> NoReturn:
        self.at = term.at
        words = (
            "say what this is, as in 'host …' or 'port …': beside other kinds of terms nothing is "
            "taken over from the term before"
        )
        if before and len(self.text) <= _MOST_SHOWN:
            at = term.at + lead_of(self.text[term.at :])
            start, rest = self.text[:at], self.text[at:].rstrip()
            own = "host" if before != "host" else "port"
            for number, word in enumerate((before, own)):
                reading = plain(f"{start}{word} {rest}", 2 * _MOST_SHOWN)
                words += f"\n    {reading}" if number else f". It could be\n    {reading}"
        self.fail(words)

    # ---- Our terms ---------------------------------------------------------------------------

    def our_term(self) -> Tree:
        at = self.at
        match = _FUNCTION.match(self.text, at)
        if match and match.group(1).lower() == "containsbin":
            self.at = match.end()
            return self.contains(at)
        operand: Blob | Field
        if match:
            self.at = match.end()
            operand = self.blob()
        else:
            operand = Field(self.field().name)
        return self.comparison(operand, at)

    def blob(self) -> Blob:
        self.expect(_FRAME_DATA, "FrameData")
        self.expect(_COMMA, "a comma")
        offset = self.number("the offset, in bytes from the start of the frame")
        if offset > LAST_OFFSET:
            self.fail(f"the offset is at most {LAST_OFFSET:,}", back=True)
        self.expect(_COMMA, "a comma and the length in bytes")
        length = self.number("the length in bytes")
        if not 1 <= length <= LONGEST_BLOB:
            self.fail(f"the length is 1 to {LONGEST_BLOB} bytes", back=True)
        self.expect(_CLOSE, "a closing parenthesis")
        return Blob(offset, length)

    def field(self) -> FieldRow:
        self.before = self.at
        name = self.take(_NAME) or ""
        row = FIELDS.get(name)
        if row is None and (near := meant(name)):
            self.fail(f"no field that fastcap knows; did you mean {near}?", back=True)
        if row is None:
            known = ", ".join(row.name for row in FIELDS.values())
            self.fail(
                "no field that fastcap knows (all others: Blob, or pcap-filter text); it knows "
                + known,
                back=True,
            )
        return row

    def comparison(self, operand: Blob | Field, at: int) -> Tree:
        mask = None
        if self.take(_MASK) is not None:
            mask = self.mask(operand)
        if self.take(_IN) is not None:
            return self.among(operand, mask, at)
        what = "== != < <= > >= or IN {…}" if mask else "== != < <= > >= & or IN {…}"
        operator = self.expect(_OPERATOR, what)
        value = self.value(operand)
        self.check_mask(operator, value, mask)
        return Compare(operand, operator, value, mask, at)

    def mask(self, operand: Blob | Field) -> int | None:
        if isinstance(operand, Field):
            self.fail("a mask is for Blobs: Blob(FrameData, …) & 0xF0 == 0x40", back=True)
        mask = self.number("a mask such as 0xF0")
        most = (1 << 8 * operand.length) - 1
        if mask > most:
            self.fail(f"the mask is wider than the blob, whose length is {operand.length}",
                      back=True)  # fmt: skip
        return None if mask == most else mask

    def check_mask(self, operator: str, value: int, mask: int | None) -> None:
        if mask is not None and operator in ("==", "!=") and value & ~mask:
            self.fail(f"it has bits that the mask 0x{mask:x} takes away: never equal", back=True)

    def value(self, operand: Blob | Field) -> int:
        """One value of the operand's kind."""
        ranges = self.literal(operand, networks=False)
        return ranges[0]

    def literal(self, operand: Blob | Field, *, networks: bool) -> tuple[int, int]:
        kind = values.kind_of(operand)
        self.skip_space()
        self.before = self.at
        quoted = _QUOTED.match(self.text, self.at)
        match = quoted or _LITERAL.match(self.text, self.at)
        if match is None:
            hint = "; a file of values is a set: IN @FILE" if self.take(_AT) else ""
            self.fail(f"expected {kind.expected}{hint}", back=True)
        self.at = match.end()
        try:
            if quoted:
                return values.of_text(quoted[1] if quoted[1] is not None else quoted[2], kind)
            return values.of_word(match.group(), kind, networks=networks)
        except ValueError as error:
            self.fail(str(error), back=True)

    def among(self, operand: Blob | Field, mask: int | None, at: int) -> Tree:
        self.skip_space()
        self.before = self.at
        ranges: Ranges
        source = ""
        if file := _FILE.match(self.text, self.at):
            self.at = file.end()
            source = file[1] or file[2] or file[3]
            try:
                ranges = values.of_file(source, values.kind_of(operand))
            except ValueError as error:
                self.fail(str(error), back=True)
        else:
            ranges = self.braces(operand, mask)
        if mask is not None and isinstance(operand, Blob) and operand.length not in (1, 2, 4):
            return self.masked_one_by_one(operand, mask, ranges, at)
        return Among(operand, ranges, mask, source, at)

    def braces(self, operand: Blob | Field, mask: int | None) -> Ranges:
        self.expect(_OPEN_BRACE, "{…} or @FILE behind IN")
        found = []
        while True:
            found.append(self.literal(operand, networks=True))
            if found[-1][0] == found[-1][1]:
                self.check_mask("==", found[-1][0], mask)
            if self.expect(_COMMA_OR_BRACE, "a comma or }") == "}":
                return joined(found)

    def masked_one_by_one(self, operand: Blob, mask: int, ranges: Ranges, at: int) -> Tree:
        if count(ranges) > MOST_MASKED:
            self.fail(
                f"a mask, a blob of {operand.length} bytes and more than {MOST_MASKED} values: "
                "only blobs of 1, 2 or 4 bytes can have these",
                back=True,
            )
        alone = [value for first, last in ranges for value in range(first, last + 1)]
        return Or(tuple(Compare(operand, "==", value, mask, at) for value in alone))

    def contains(self, at: int) -> Contains:
        self.expect(_FRAME_DATA, "FrameData")
        self.expect(_COMMA, "a comma")
        form = self.expect(re.compile("(?ai:hex|ascii)"), "HEX or ASCII")
        self.expect(_COMMA, "a comma")
        self.expect(_QUOTED, 'what to look for, in quotes: "0A23"')
        text = self.text[self.before + 1 : self.at - 1]
        try:
            pattern = values.bytes_of_hex(text) if form == "hex" else values.bytes_of_text(text)
        except ValueError as error:
            self.fail(str(error), back=True)
        if not 1 <= len(pattern) <= LONGEST_PATTERN:
            self.fail(f"what to look for is 1 to {LONGEST_PATTERN:,} bytes", back=True)
        self.expect(_CLOSE, "a closing parenthesis")
        return Contains(pattern, at)

    def number(self, what: str) -> int:
        text = self.expect(_NUMBER, what)
        if _WORD_END.match(self.text, self.at):
            self.fail(f"expected {what}", back=True)
        if len(text) > 2 * LONGEST_BLOB + 8:
            self.fail("a number this long fits nowhere", back=True)
        return int(text, 16 if text[:2] in ("0x", "0X") else 10)

    # ---- netsh's form ------------------------------------------------------------------------

    def netsh(self) -> Tree:
        """Key=Value, Key=(Value, Value), Key=!Value …, all of which must hold."""
        terms: list[Tree] = []
        while True:
            self.skip_space()
            if self.at >= len(self.text):
                return terms[0] if len(terms) == 1 else And(tuple(terms))
            at = self.at
            if _JOIN.match(self.text, at):
                self.fail("netsh's form joins by a space alone; with AND, OR and NOT write ==")
            row = self.field()
            self.expect(_SINGLE_EQUAL, "= (netsh's form is Key=Value, with spaces between; in any "
                        "other filter write ==)")  # fmt: skip
            negated = self.take(re.compile("!")) is not None
            term = self.netsh_value(Field(row.name), at)
            terms.append(Not(term) if negated else term)

    def netsh_value(self, operand: Field, at: int) -> Tree:
        if self.take(_OPEN) is None:
            first, last = self.literal(operand, networks=True)
            if first == last:
                return Compare(operand, "==", first, None, at)
            return Among(operand, ((first, last),), None, "", at)
        found = []
        while True:
            found.append(self.literal(operand, networks=True))
            if self.expect(_COMMA_OR_CLOSE, "a comma or )") == ")":
                return Among(operand, joined(found), None, "", at)

    # ---- Reading the text ------------------------------------------------------------------

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, pattern: re.Pattern[str]) -> str | None:
        self.skip_space()
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group().lower()

    def expect(self, pattern: re.Pattern[str], what: str) -> str:
        self.skip_space()
        self.before = self.at
        found = self.take(pattern)
        if found is None:
            self.fail(f"expected {what}")
        return found

    def fail(self, message: str, *, back: bool = False) -> NoReturn:
        """`back` points at what was read last."""
        raise fault(self.text, self.before if back else self.at, message)


# ---- Readings ------------------------------------------------------------------------------


def _groups(parts: list[_Part], joins: list[str]) -> list[list[_Part]]:
    """Network Monitor's rule: AND ranks higher. What the ORs join, each as what its ANDs join."""
    groups = [parts[:1]]
    for join, part in zip(joins, parts[1:], strict=True):
        if join == "and":
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _and_first(terms: list[str], joins: list[str]) -> str:
    """The terms with the parentheses of Network Monitor's rule."""
    return " or ".join(
        f"({' and '.join(group)})" if len(group) > 1 else group[0]
        for group in _groups(terms, joins)
    )


def _left_to_right(terms: list[str], joins: list[str]) -> str:
    """The same with those of libpcap's rule: and, or of equal rank."""
    shown, opened = [terms[0]], 0
    for number, join in enumerate(joins):
        if number and join != joins[number - 1]:
            shown.append(")")
            opened += 1
        shown.append(f" {join} {terms[number + 1]}")
    return "(" * opened + "".join(shown)


def _tree(level: _Level) -> Tree:
    return _joined("or", [_joined("and", group) for group in _groups(level.terms, level.joins)])


def _joined(join: str, terms: list[Tree]) -> Tree:
    """What `join` joins, with neighbours that are pcap-filter text made one run of it: where there
    are any, the ORs stand behind the ANDs, so that only the first of them is composite."""
    found: list[Tree] = []
    for is_pcap, neighbours in groupby(terms, lambda term: isinstance(term, Pcap)):
        if is_pcap:
            runs = [term for term in neighbours if isinstance(term, Pcap)]
            found.append(Pcap(f" {join} ".join(run.text for run in runs), runs[0].at))
        else:
            found += neighbours
    if len(found) == 1:
        return found[0]
    return And(tuple(found)) if join == "and" else Or(tuple(found))


def _field_of(term: Tree) -> FieldRow | None:
    operand = getattr(term, "operand", None)
    return FIELDS[operand.name.lower()] if isinstance(operand, Field) else None


def _matching_parentheses(text: str) -> dict[int, int]:
    """Where each parenthesis that is opened is closed."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"[()]", text):
        if match.group() == "(":
            opened.append(match.start())
        elif opened:
            closing[opened.pop()] = match.start()
    return closing
