"""A report as one HTML page, for those who would rather look than read.

All that it needs is in it: the browser is told to fetch nothing, and to run no script but plotly's
and ours.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import json
import os
import tempfile
import textwrap
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcap._native.writer import publish
from fastcap.bench.charts import Lines, tool_of, tools_of
from fastcap.bench.machine import in_words
from fastcap.bench.report import number
from fastcap.errors import UsageError
from fastcap.outputs import STANDARD_OUTPUT, refusal, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcap.bench.charts import Bar, Bars, Series
    from fastcap.bench.report import Figure, Figures, Grid, Report

# Okabe and Ito's colours, which everybody can tell apart, on white and on black.
_COLOURS = {
    "fastcap": "#d55e00", "tcpdump": "#0072b2", "dumpcap": "#009e73", "netsniff-ng": "#cc79a7",
}  # fmt: skip
_OTHERS = ("#e69f00", "#56b4e9", "#808080")
_SYMBOLS = {  # plotly's name, and the same in a legend's 34 by 12 pixels
    "circle": "M13,6a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "M13,2h8v8h-8z",
    "diamond": "M17,1l5,5l-5,5l-5,-5z",
    "triangle-up": "M17,1l5,9h-10z",
}
_DASHES = {"solid": "", "dash": "8 4", "dot": "2 3", "dashdot": "8 3 2 3"}
_MOST_SYMBOLS = 60  # points of a line; with more they hide it
_ROW = 30  # pixels
_LETTER = 7.5  # pixels, of the widest fonts
_LABEL = 14  # letters of a line of a bar's label: more leave no room for the bar on a phone
_TITLE = 36  # the same of a group of bars, which begins at the left edge
_LINE = 0.55  # rows, of text
_APART = {"ticks": "outside", "ticklen": 5, "tickcolor": "rgba(0,0,0,0)"}  # labels from the axis


_KIND = {True: ' class="number"', False: ""}


class _Look(NamedTuple):
    colour: str
    symbol: str


class _Drawing(NamedTuple):
    """What plotly.js takes, and what stands around it in HTML."""

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    above: str = ""
    below: str = ""


# ---- The file ---------------------------------------------------------------------------------


def check(path: str, force: bool) -> None:
    """Before anything is measured: UsageError for what is no file, and where plotly is missing;
    OutputError where it exists or could not be written."""
    target = _target(path, force)
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(target) or "."):
            pass
    except OSError as error:
        raise refusal(path, error) from error
    try:
        importlib.import_module("plotly.offline")
    except ImportError:
        raise UsageError("--html needs plotly: pip install 'fastcap-pcap[html]'") from None


def write(path: str, report: Report, force: bool) -> int:
    """How many bytes it has. It has its name when it is complete."""
    target = _target(path, force)
    # names of files may hold surrogates, which UTF-8 has not
    content = as_page(report).encode("utf-8", "backslashreplace")
    hidden = f".fastcap-{os.getpid()}-{os.urandom(4).hex()}.html"
    temporary = os.path.join(os.path.dirname(target), hidden)
    try:
        with open(temporary, "xb") as file:
            file.write(content)
        publish(temporary, target, replace=force)
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # it has its name, mostly
            os.unlink(temporary)
    return len(content)


def _target(path: str, force: bool) -> str:
    """Behind links. It is a file, or not there."""
    other = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
    if path != STANDARD_OUTPUT and not other:
        target = resolve(path, (), series=False, force=force)
        if not target.in_place:
            return target.name
    raise UsageError(f"--html {path}: a page is a file; name one")


# ---- The page ---------------------------------------------------------------------------------


def as_page(report: Report) -> str:
    """The whole document. ImportError without plotly."""
    from plotly.offline import get_plotlyjs

    scripts = [get_plotlyjs(), _SCRIPT] if report.charts else [_SCRIPT]
    looks = _looks(report.charts)
    title = escape(report.title)
    return "\n".join([
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<link rel="icon" href="data:,">',
        f"<title>fastcap bench: {title}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<header><p>fastcap bench</p><h1>{title}</h1></header>",
        *(_chart(chart, looks) for chart in report.charts),
        *(_table(table) for table in report.tables),
        _notes(report.notes),
        _origin(report),
        "</main>",
        f'<script type="application/json" id="report">{_json(report.as_json())}</script>',
        *(f"<script>{script}</script>" for script in scripts),
        "</body>",
        "</html>",
        "",
    ])  # fmt: skip


def _policy(scripts: list[str]) -> str:
    """What the browser holds the page to, whatever names of files and filters say."""
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"


def _json(value: Any) -> str:
    """For a script element, which neither a tag nor a comment in it can end."""
    return json.dumps(value).replace("<", "\\u003c")


def _table(table: Figures | Grid) -> str:
    head = "".join(
        f'<th scope="col"{_KIND[column in table.right]}>{escape(cell)}</th>'
        for column, cell in enumerate(table.head)
    )
    rows = [
        _row(cells, figures, table.right)
        for cells, figures in zip(table.cells(), table.figures, strict=True)
    ]
    return (
        f'<div class="scroll" tabindex="0"><table id="table-{escape(table.name)}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _row(cells: list[str], figures: list[Figure], right: set[int]) -> str:
    """The first cell is the row's name, figures follow, and then how they come about."""
    parts = [f'<th scope="row">{escape(cells[0])}</th>']
    for column, cell in enumerate(cells[1:], 1):
        kind = ' class="how"'
        if column <= len(figures):
            figure = figures[column - 1]
            value = escape(json.dumps(figure.value))
            kind = (
                f'{_KIND[column in right]} data-name="{escape(figure.name)}" data-value="{value}"'
            )
        parts.append(f"<td{kind}>{escape(cell)}</td>")
    return f"<tr>{''.join(parts)}</tr>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"


def _origin(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    # a line ends between words, not behind the first hyphen of --html
    command = " ".join(f"<span>{escape(word)}</span>" for word in report.command.split(" "))
    return f"""<footer>
<dl>
<dt>machine</dt><dd>{escape(in_words(report.machine))}</dd>
<dt>versions</dt><dd>{escape(versions)}</dd>
<dt>command</dt><dd><code id="command">{command}</code>
<button type="button" id="copy">Copy</button></dd>
</dl>
<p>All figures are in this file as JSON too, in its element <code>#report</code>.</p>
</footer>"""


# ---- Charts -----------------------------------------------------------------------------------


def _looks(charts: Sequence[Lines | Bars]) -> dict[str, _Look]:
    """Of each tool, the same on the whole page; what is known has the same on every page."""
    unknown = [tool for tool in tools_of(charts) if tool not in _COLOURS]
    others = {tool: _OTHERS[index % len(_OTHERS)] for index, tool in enumerate(unknown)}
    symbols = list(_SYMBOLS)
    return {
        tool: _Look(colour, symbols[index % len(symbols)])
        for index, (tool, colour) in enumerate({**_COLOURS, **others}.items())
    }


def _chart(chart: Lines | Bars, looks: dict[str, _Look]) -> str:
    drawing = _lines(chart, looks) if isinstance(chart, Lines) else _bars(chart, looks)
    figure = _json({"data": drawing.data, "layout": drawing.layout})
    parts = [
        f'<figure id="chart-{escape(chart.name)}">',
        f"<figcaption>{escape(chart.title)}</figcaption>",
        drawing.above,
        f'<div class="plot" style="min-height: {drawing.layout["height"]}px"></div>',
        f'<script type="application/json">{figure}</script>',
        drawing.below,
        f'<p class="note">{escape(chart.note)}</p>' if chart.note else "",
        "</figure>",
    ]
    return "\n".join(filter(None, parts))


def _lines(chart: Lines, looks: dict[str, _Look]) -> _Drawing:
    data: list[dict[str, Any]] = []
    entries: list[str] = []
    marks: list[dict[str, Any]] = []
    seen: list[str] = []
    for series in chart.series:
        tool = tool_of(series.label)
        dashes = list(_DASHES)
        dash = dashes[seen.count(tool) % len(dashes)]
        seen.append(tool)
        indices = [len(data)]
        data.append(_line(series, looks[tool], dash, above=tool == "fastcap"))
        if series.marks:
            indices.append(len(chart.series) + len(marks))
            marks.append(_marks(series, looks[tool], len(marks)))
        entries.append(_entry(series, looks[tool], dash, indices))
    strip = 14 * len(marks)
    height = 330 + strip
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 14, "t": 10, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {**_APART, "automargin": True, "zeroline": False, "exponentformat": "SI",
                  **(_logarithmic(chart) if chart.logarithmic else {"rangemode": "nonnegative"})},
        "yaxis": {**_APART, "automargin": True, "rangemode": "tozero", "exponentformat": "SI",
                  "domain": [strip / height, 1]},
    }  # fmt: skip
    if marks:
        layout["xaxis"]["anchor"] = "y2"
        layout["yaxis2"] = {
            "domain": [0, strip / height], "range": [len(marks) - 0.5, -0.5], "fixedrange": True,
            "showgrid": False, "zeroline": False, "showticklabels": False,
        }  # fmt: skip
    below = f'<p class="axis below">{escape(chart.x)}</p><ul class="legend">{"".join(entries)}</ul>'
    if chart.marked:
        below += f'<p class="note">Below the lines: {escape(chart.marked)}.</p>'
    # the titles of axes are HTML: plotly's are cut off where they are too long
    return _Drawing([*data, *marks], layout, f'<p class="axis">{escape(chart.y)}</p>', below)


def _line(series: Series, look: _Look, dash: str, *, above: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": _plain(series.label),
        "x": [x for x, _ in series.points],
        "y": [y for _, y in series.points],
        "line": {"color": look.colour, "dash": dash, "width": 2},
        "zorder": int(above),
        "hovertemplate": "%{x:,}<br>%{y:,}",
    }
    if len(series.points) <= _MOST_SYMBOLS:
        line |= {
            "mode": "lines+markers", "cliponaxis": False,
            "marker": {"color": look.colour, "symbol": look.symbol, "size": 8},
        }  # fmt: skip
    if series.spread is not None:
        between = list(zip(series.points, series.spread, strict=True))
        line["customdata"] = [[least, most] for least, most in series.spread]
        line["hovertemplate"] += " (%{customdata[0]:,} to %{customdata[1]:,})"
        line["error_y"] = {
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 4,
            "array": [most - y for (_, y), (_, most) in between],
            "arrayminus": [y - least for (_, y), (least, _) in between],
        }  # fmt: skip
    return line


def _marks(series: Series, look: _Look, lane: int) -> dict[str, Any]:
    """Intervals, in a lane of their own below the lines. A short one is seen by its ends."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": _plain(series.label),
        "x": [x for start, end in series.marks for x in (start, end, None)],
        "y": [y for _ in series.marks for y in (lane, lane, None)],
        "yaxis": "y2",
        "line": {"color": look.colour, "width": 7},
        "marker": {"color": look.colour, "symbol": "line-ns-open", "size": 7},
        "hovertemplate": "%{x:,}",
    }


def _logarithmic(chart: Lines) -> dict[str, Any]:
    """An axis with powers of ten, and over a short way 2 and 5 of each."""
    values = [x for series in chart.series for x, _ in series.points] or [1]
    steps = (1, 2, 5) if max(values) / min(values) < 200 else (1,)
    ticks = [
        step * 10.0**power
        for power in range(-9, 16)
        for step in steps
        if min(values) <= step * 10.0**power <= max(values)
    ] or [min(values)]
    return {
        "type": "log", "tickvals": ticks, "ticktext": list(map(_short, ticks)), "tickangle": 0,
    }  # fmt: skip


def _short(tick: float) -> str:
    """As plotly writes the others.

    >>> _short(500_000), _short(2e9), _short(0.5)
    ('500k', '2G', '0.5')
    """
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if tick >= size:
            return f"{tick / size:g}{letter}"
    return f"{tick:g}"


def _entry(series: Series, look: _Look, dash: str, indices: list[int]) -> str:
    symbol = f'<path d="{_SYMBOLS[look.symbol]}" fill="{look.colour}"/>'
    return (
        f'<li><label><input type="checkbox" checked data-traces="{json.dumps(indices)}">'
        '<svg width="34" height="12" aria-hidden="true">'
        f'<path d="M0,6h34" stroke="{look.colour}" stroke-width="2" '
        f'stroke-dasharray="{_DASHES[dash]}"/>'
        f"{symbol if len(series.points) <= _MOST_SYMBOLS else ''}</svg>"
        f"<span>{escape(series.label)}</span></label></li>"
    )


def _bars(chart: Bars, looks: dict[str, _Look]) -> _Drawing:
    """Rows from the top: a group's title, and its bars. What a bar is worth stands behind it, in
    the margin for the longest."""
    rows: list[tuple[float, Bar]] = []
    labels = [_wrapped(bar.label, _LABEL) for group in chart.groups for bar in group.bars]
    left = _LETTER * max((len(line) for label in labels for line in label), default=0) + 8
    texts: list[dict[str, Any]] = []
    at = 0.0
    for group in chart.groups:
        if group.title:
            title = _wrapped(group.title, _TITLE)
            at += _LINE * (len(title) - 1) / 2
            texts.append({
                "text": f"<b>{_joined(title)}</b>", "x": 0, "xref": "paper", "xanchor": "left",
                "xshift": -left, "y": at, "align": "left", "showarrow": False,
            })  # fmt: skip
            at += 1 + _LINE * (len(title) - 1) / 2
        for bar in group.bars:
            extra = max(0, _LINE * len(labels[len(rows)]) - 1) / 2  # a long label takes more
            rows.append((at + extra, bar))
            at += 1 + 2 * extra
        at += 0.3
    told = [_told(bar.value, chart.unit) for _, bar in rows]
    for (y, bar), text in zip(rows, told, strict=True):
        furthest = max(bar.value or 0, bar.most or 0)
        texts.append({
            "text": _plain(text), "x": furthest, "xanchor": "left", "y": y, "xshift": 4,
            "showarrow": False,
        })  # fmt: skip
    data = {
        "type": "bar",
        "orientation": "h",
        "x": [bar.value for _, bar in rows],
        "y": [y for y, _ in rows],
        "width": 0.64,
        "marker": {"color": [looks[tool_of(bar.label)].colour for _, bar in rows]},
        "customdata": [[bar.least, bar.most] for _, bar in rows],
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 4,
            "array": [_beyond(bar.most, bar.value) for _, bar in rows],
            "arrayminus": [_beyond(bar.value, bar.least) for _, bar in rows],
        },
        "hovertext": [
            _plain(f"{bar.label}: {text}{_between(bar)}")
            for (_, bar), text in zip(rows, told, strict=True)
        ],
        "hoverinfo": "text",
    }  # fmt: skip
    longest = max((max(bar.value or 0, bar.most or 0) for _, bar in rows), default=0) or 1
    layout = {
        "height": round(_ROW * (at - 0.3)) + 16,
        "margin": {"l": left, "r": 12 + _LETTER * max(map(len, told), default=0), "t": 8, "b": 8},
        "showlegend": False,
        "annotations": texts,
        "xaxis": {"range": [0, longest], "fixedrange": True, "visible": False},
        "yaxis": {
            "range": [at - 0.8, -0.5], "fixedrange": True, "automargin": True, "showgrid": False,
            "tickvals": [y for y, _ in rows],
            "ticktext": list(map(_joined, labels)),
            **_APART,
        },
    }  # fmt: skip
    return _Drawing([data], layout)


def _told(value: float | None, unit: str) -> str:
    return "?" if value is None else f"{number(value)} {unit}".rstrip()


def _between(bar: Bar) -> str:
    if bar.least is None or bar.most is None:
        return ""
    return f" ({number(bar.least)} to {number(bar.most)})"


def _beyond(more: float | None, less: float | None) -> float:
    return 0 if more is None or less is None else more - less


def _plain(text: str) -> str:
    """plotly takes some of HTML in its texts."""
    return escape(text, quote=False)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]


def _joined(lines: list[str]) -> str:
    return "<br>".join(map(_plain, lines))


_STYLE = """
:root { --ink: #1b1f24; --faint: #57606a; --line: #d8dee4; --paper: #fff; --box: #f6f8fa;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --faint: #9aa4af; --line: #343b44; --paper: #14171a; --box: #1e2227; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.45;
  font-family: system-ui, sans-serif; -webkit-text-size-adjust: 100%; overflow-wrap: anywhere; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
header p { margin: 0; color: var(--faint); }
h1 { margin: 0 0 1.5rem; font-size: 1.5rem; line-height: 1.25; }
figure { margin: 0 0 2.5rem; }
figcaption { font-size: 1.15rem; font-weight: 600; }
.axis { margin: .15rem 0; font-size: .85rem; color: var(--faint); }
.below { text-align: right; }
.plot { width: 100%; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.2rem; margin: .4rem 0; padding: 0;
  list-style: none; font-size: .9rem; }
.legend label { display: flex; align-items: center; gap: .45rem; min-height: 1.75rem; }
.legend input { margin: 0; flex: none; accent-color: var(--faint); }
.legend svg { flex: none; }
.note { margin: .4rem 0 0; font-size: .9rem; color: var(--faint); }
.scroll { overflow-x: auto; margin: 0 0 2rem; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { padding: .35rem .8rem .35rem 0; text-align: left; font-weight: normal;
  vertical-align: top; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-weight: 600; vertical-align: bottom; }
tbody th { min-width: 6rem; }
.how { min-width: 9rem; color: var(--faint); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
ul { padding-left: 1.2rem; }
footer { margin-top: 2rem; border-top: 1px solid var(--line); font-size: .9rem; }
dt { margin-top: .8rem; color: var(--faint); }
dd { margin: 0; }
dd code { display: block; margin: .2rem 0 .4rem; padding: .6rem .7rem; border-radius: 4px;
  background: var(--box); white-space: pre-wrap; user-select: all; }
dd code span { display: inline-block; max-width: 100%; }
code { font-family: ui-monospace, monospace; font-size: .95em; }
"""

_SCRIPT = """
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const plots = [...document.querySelectorAll(".plot")].map(
  (plot) => ({plot, ...JSON.parse(plot.nextElementSibling.textContent)}));

function template() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line, paper] =
    ["--ink", "--line", "--paper"].map((name) => style.getPropertyValue(name).trim());
  const fine = matchMedia("(pointer: fine)").matches;  // a finger on a chart scrolls the page
  const axis = {gridcolor: line, zerolinecolor: line, linecolor: line, fixedrange: !fine};
  return {data: {bar: [{error_x: {color: ink}}]}, layout: {
    font: {family: getComputedStyle(document.body).fontFamily, size: 13, color: ink},
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
    hoverlabel: {bgcolor: paper, bordercolor: line, font: {color: ink}, namelength: -1},
    dragmode: fine && "zoom",
  }};
}

function draw() {
  for (const {plot, data, layout} of plots) {
    Plotly.react(plot, data, {...layout, template: template()},
      {responsive: true, displayModeBar: false});
  }
}

draw();
dark.addEventListener("change", draw);

for (const box of document.querySelectorAll(".legend input")) {
  box.addEventListener("change", () => {
    const plot = box.closest("figure").querySelector(".plot");
    Plotly.restyle(plot, {visible: box.checked}, JSON.parse(box.dataset.traces));
  });
}

document.getElementById("copy").addEventListener("click", async (event) => {
  const command = document.getElementById("command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    event.target.textContent = "Copied";
  } catch {  // not allowed here: then it is selected at least
    getSelection().selectAllChildren(command);
  }
});
"""
