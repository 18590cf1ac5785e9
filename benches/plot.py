"""Horizontal bars as one SVG file: one scale for all of them, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

WIDTH, MARGIN = 860, 20
LABELS = 250  # where bars begin
NUMBERS = 60  # room behind the longest bar
BAR, STEP = 12, 18  # pixels: a bar, and from one to the next
_FONT = "font-family: system-ui, sans-serif"
# The background is drawn, so that the text is readable wherever the picture stands.
_STYLE = f"""
.page {{ fill: #ffffff }} .ours {{ fill: #1f6feb }} .peer {{ fill: #a3acb5 }}
text {{ {_FONT}; font-size: 12px; fill: #1f2328 }}
.title {{ font-size: 17px; font-weight: 600 }} .section {{ font-size: 15px; font-weight: 600 }}
.group {{ font-weight: 600 }} .label {{ text-anchor: end }}
@media (prefers-color-scheme: dark) {{
.page {{ fill: #0d1117 }} .ours {{ fill: #58a6ff }} .peer {{ fill: #6e7681 }}
text {{ fill: #e6edf3 }}
}}
"""


class Bar(NamedTuple):
    label: str
    value: float
    ours: bool = False


class Group(NamedTuple):
    title: str
    bars: list[Bar]


class Section(NamedTuple):
    title: str
    groups: list[Group]


def draw(title: str, sections: list[Section]) -> str:
    values = [bar.value for section in sections for group in section.groups for bar in group.bars]
    page = _Page(max(values, default=0.0))
    page.text(title, "title", below=10)
    for section in sections:
        page.space(14)
        page.text(section.title, "section", below=2)
        for group in section.groups:
            page.space(8)
            page.text(group.title, "group")
            for bar in group.bars:
                page.bar(bar)
    return "\n".join(page.svg(title)) + "\n"


class _Page:
    """Elements from top to bottom; `y` is where the next one begins."""

    def __init__(self, longest: float) -> None:
        self.pixels = (WIDTH - MARGIN - NUMBERS - LABELS) / longest if longest > 0 else 0.0
        self.elements: list[str] = []
        self.y = MARGIN

    def space(self, pixels: int) -> None:
        self.y += pixels

    def text(self, text: str, kind: str, below: int = 0) -> None:
        self._put(MARGIN, text, kind)
        self.y += STEP + below

    def bar(self, bar: Bar) -> None:
        length = max(1.0, bar.value * self.pixels)
        kind = "ours" if bar.ours else "peer"
        self._put(LABELS - 8, bar.label, "label")
        self.elements.append(
            f'<rect class="{kind}" x="{LABELS}" y="{self.y + 3}" width="{length:.1f}" '
            f'height="{BAR}" rx="2"/>'
        )
        self._put(LABELS + length + 6, f"{bar.value:.3g}", "number")
        self.y += STEP

    def _put(self, x: float, text: str, kind: str) -> None:
        place = f'x="{x:.1f}" y="{self.y + BAR + 1}"'
        self.elements.append(f'<text class="{kind}" {place}>{escape(text)}</text>')

    def svg(self, title: str) -> Iterator[str]:
        height = self.y + MARGIN
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">'
        )
        yield f"<title>{escape(title)}</title>"
        yield f"<style>{_STYLE}</style>"
        yield f'<rect class="page" width="{WIDTH}" height="{height}"/>'
        yield from self.elements
        yield "</svg>"
