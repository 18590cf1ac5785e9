"""What a bench found: for a terminal, as JSON, and as Markdown, the same figures in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fastcap.bench.charts import Bars, Lines
from fastcap.bench.machine import in_words

Value = float | str | None  # None: not known here
_BETWEEN = "  "  # two columns


class Figure(NamedTuple):
    """One number. `name` is what JSON calls it, with its unit; `how`, the arithmetic behind it.
    `shown` stands for people in place of the number. Without a label it is in JSON alone. `is_key`:
    it says what a row is about, as the tool does."""

    name: str
    label: str
    value: Value
    unit: str = ""
    how: str = ""
    shown: str = ""
    is_key: bool = False

    @property
    def text(self) -> str:
        if self.shown:
            return self.shown
        return f"{number(self.value)} {self.unit}".rstrip() if self.value is not None else "?"


class Figures(NamedTuple):
    """A table with a figure in each row."""

    name: str
    title: str
    rows: Sequence[Figure]

    @property
    def head(self) -> list[str]:
        return [self.title, "", *([""] if self._has_how else [])]

    @property
    def right(self) -> set[int]:
        """Columns whose cells stand right: numbers."""
        return set() if any(isinstance(row.value, str) for row in self.rows) else {1}

    @property
    def figures(self) -> list[list[Figure]]:
        """Of each row; they stand behind its first cell."""
        return [[row] for row in self.rows]

    @property
    def _has_how(self) -> bool:
        return any(row.how for row in self.rows)

    def cells(self) -> list[list[str]]:
        return [[row.label, row.text, *([row.how] if self._has_how else [])] for row in self.rows]

    def as_json(self) -> dict[str, Value]:
        return {row.name: row.value for row in self.rows}


class Grid(NamedTuple):
    """A table with a tool in each row, and the same figures of every one. `rows` is not empty."""

    name: str
    title: str
    rows: Sequence[tuple[str, Sequence[Figure]]]

    @property
    def head(self) -> list[str]:
        return [self.title, *(figure.label for figure in self.figures[0])]

    @property
    def keys(self) -> set[int]:
        """Columns that say what a row is about; with the tool, the first."""
        return {0, *(at + 1 for at, figure in enumerate(self.figures[0]) if figure.is_key)}

    @property
    def figures(self) -> list[list[Figure]]:
        """Of each row, those that are shown."""
        return [[figure for figure in figures if figure.label] for _, figures in self.rows]

    @property
    def right(self) -> set[int]:
        return set(range(1, len(self.head)))

    def cells(self) -> list[list[str]]:
        return [
            [tool, *(figure.text for figure in figures)]
            for (tool, _), figures in zip(self.rows, self.figures, strict=True)
        ]

    def as_json(self) -> list[dict[str, Value]]:
        return [
            {"tool": tool, **{figure.name: figure.value for figure in figures}}
            for tool, figures in self.rows
        ]


class Report(NamedTuple):
    """`machine` and `versions` are names and what is to be said of them; `command` repeats it.
    `charts` are for the page alone, `more` is what only JSON has."""

    title: str
    command: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    tables: Sequence[Figures | Grid]
    notes: Sequence[str]
    charts: Sequence[Lines | Bars] = ()
    more: Mapping[str, Any] = MappingProxyType({})

    def as_json(self) -> dict[str, Any]:
        tables = {table.name: table.as_json() for table in self.tables}
        return {
            "title": self.title,
            **tables,
            **self.more,
            **({"charts": _plain(self.charts)} if self.charts else {}),
            "notes": list(self.notes),
            "machine": self.machine,
            "versions": self.versions,
            "command": self.command,
        }

    def as_text(self, width: int | None = None) -> str:
        """For a terminal that is `width` columns wide: a grid that is wider stands there in pieces,
        each with the columns that say what a row is about."""
        parts = [self.title]
        for table in self.tables:
            rows = [table.head, *table.cells()]
            if isinstance(table, Grid) and width is not None:
                for columns in _pieces(rows, table.keys, width):
                    right = {at for at, column in enumerate(columns) if column in table.right}
                    parts += ["", *_aligned([[row[at] for at in columns] for row in rows], right)]
            else:
                parts += ["", *_aligned(rows, table.right)]
        parts += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        parts += ["", *(f"{name:<9} {told}" for name, told in self._origin())]
        return "\n".join(parts)

    def as_markdown(self) -> str:
        parts = [f"### {self.title}"]
        for table in self.tables:
            marks = [
                "---:" if column in table.right else "---" for column in range(len(table.head))
            ]
            rows = [[_escaped(cell) for cell in row] for row in [table.head, *table.cells()]]
            lines = [rows[0], marks, *rows[1:]]
            parts += ["", *("| " + " | ".join(line) + " |" for line in lines)]
        parts += ["", *(f"- {note}" for note in self.notes)]
        parts += [f"- {name}: {told}" for name, told in self._origin(code="`")]
        return "\n".join(parts)

    def _origin(self, code: str = "") -> list[tuple[str, str]]:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            ("machine", in_words(self.machine)),
            ("versions", versions),
            ("command", f"{code}{self.command}{code}"),
        ]


def _plain(value: Any) -> Any:
    """Named tuples as JSON has them."""
    if hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def number(value: Value) -> str:
    """For people: whole numbers whole, others with four digits at least.

    >>> number(14_880_952), number(67.2), number(1234.56), number(0.01234), number(0.0)
    ('14,880,952', '67.2', '1,235', '0.01234', '0')
    """
    if isinstance(value, str) or value is None:
        return value or "?"
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def counted(number: int, what: str) -> str:
    """For people.

    >>> counted(1, "run"), counted(2_000, "run")
    ('1 run', '2,000 runs')
    """
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]


def _pieces(rows: list[list[str]], keys: set[int], width: int) -> list[list[int]]:
    """The columns of each piece; all have the keys, and one more at least."""
    widths = [column + len(_BETWEEN) for column in _widths(rows)]
    first = sorted(keys)
    pieces = [list(first)]
    for column in sorted(set(range(len(widths))) - keys):
        used = sum(widths[at] for at in pieces[-1]) - len(_BETWEEN)
        if used + widths[column] > width and pieces[-1] != first:
            pieces.append(list(first))
        pieces[-1].append(column)
    return pieces


def _aligned(rows: list[list[str]], right: set[int]) -> list[str]:
    widths = _widths(rows)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_BETWEEN.join(cells).rstrip())
    return lines


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")
