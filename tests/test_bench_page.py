"""The page of `fastcap bench … --html`, in a browser: what it shows, says, asks for, and holds."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastcap.bench import page
from fastcap.bench.charts import Bars, Lines
from fastcap.bench.report import Report
from tests.benching import bench, told
from tests.browser import Browser, browser, drawn, embedded
from tests.conftest import needs
from tests.pages import HOSTILE, comparison, hostile

pytestmark = pytest.mark.usefixtures("only_bench")

PLAN = ("plan", "--pps", "1000")
REPORTS = {"comparison": comparison, "hostile": hostile}


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("profile")
    programs = needs("chromium"), needs("chromedriver")
    with browser(*programs, folder, width=390, height=844, phone=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("profile")
    with browser(
        needs("chromium"), needs("chromedriver"), folder, width=1280, height=900
    ) as opened:
        yield opened


@pytest.fixture(params=["phone", "desktop"])
def opened(request: pytest.FixtureRequest) -> Browser:
    found: Browser = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=REPORTS)
def report(request: pytest.FixtureRequest) -> Report:
    return REPORTS[request.param]()


def show(opened: Browser, report: Report, folder: Path) -> None:
    path = folder / "page.html"
    page.write(str(path), report, force=True)
    opened.open(path.as_uri())


def numbers(value: object) -> set[float]:
    """All that are somewhere in a JSON."""
    if isinstance(value, dict | list | tuple):
        inside = value.values() if isinstance(value, dict) else value
        return {number for each in inside for number in numbers(each)}
    return {value} if isinstance(value, int | float) else set()


def test_nothing_is_fetched_and_the_console_is_silent(
    opened: Browser, report: Report, tmp_path: Path
) -> None:
    show(opened, report, tmp_path)
    assert opened.messages() == []
    assert opened.requests() == [(tmp_path / "page.html").as_uri()]
    content = (tmp_path / "page.html").read_text()
    assert content.count("plotly.js v") == 1
    assert content == page.as_page(report)


def test_all_charts_are_drawn_as_wide_as_the_page_and_high_enough(
    opened: Browser, report: Report, tmp_path: Path
) -> None:
    show(opened, report, tmp_path)
    width = opened.run("return document.querySelector('main').clientWidth")
    sizes = opened.run("""return [...document.querySelectorAll('figure')].map((figure) => {
      const box = figure.querySelector('.main-svg').getBoundingClientRect();
      const plot = figure.querySelector('.nsewdrag').getBoundingClientRect();
      return [box.width, plot.width, plot.height,
              figure.querySelectorAll('.trace').length];
    })""")
    assert len(sizes) == len(report.charts)
    for chart, (box, plot, height, traces) in zip(report.charts, sizes, strict=True):
        assert width - 40 < box <= width
        assert plot > box / 4
        assert height > 180
        if isinstance(chart, Lines):
            marked = sum(bool(series.marks) for series in chart.series)
            assert traces == len(chart.series) + marked
        else:
            assert traces == 1


def test_plotly_knows_all_that_it_is_told(desktop: Browser, report: Report, tmp_path: Path) -> None:
    show(desktop, report, tmp_path)
    assert not any(
        desktop.run("""return [...document.querySelectorAll('.plot')].map(
      (plot) => (Plotly.validate(plot.data, plot.layout) ?? []).map((error) => error.msg))""")
    )


def test_the_page_is_no_wider_than_a_phone_and_wide_tables_scroll_by_themselves(
    phone: Browser, report: Report, tmp_path: Path
) -> None:
    show(phone, report, tmp_path)
    assert phone.run("return innerWidth") == 390
    assert phone.run("return document.documentElement.scrollWidth") <= 390
    assert phone.run("""return [...document.querySelectorAll('.scroll')].some(
      (box) => box.scrollWidth > box.clientWidth)""")


def test_texts_of_a_chart_are_inside_of_it_and_not_on_top_of_each_other(
    opened: Browser, report: Report, tmp_path: Path
) -> None:
    show(opened, report, tmp_path)
    for texts in opened.run("""return [...document.querySelectorAll('.plot')].map((plot) => {
      const outer = plot.getBoundingClientRect();
      return [...plot.querySelectorAll('text')].filter((text) => text.textContent).map((text) => {
        const box = text.getBoundingClientRect();
        return [text.textContent, box.left - outer.left, outer.right - box.right,
                box.top - outer.top, outer.bottom - box.bottom, box.width, box.height];
      });
    })"""):
        assert texts
        for text, left, right, top, bottom, *_ in texts:
            assert min(left, right, top, bottom) >= -1, text
        for index, (text, left, _, top, _, width, height) in enumerate(texts):
            for other, left_2, _, top_2, _, width_2, height_2 in texts[:index]:
                across = min(left + width, left_2 + width_2) - max(left, left_2)
                along = min(top + height, top_2 + height_2) - max(top, top_2)
                assert min(across, along) < 3, (text, other)


def test_a_finger_on_a_chart_scrolls_the_page(phone: Browser, tmp_path: Path) -> None:
    show(phone, comparison(), tmp_path)
    x, y = phone.run("""const box = document.querySelector('.plot').getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2]""")
    phone.drag(x, y, up=150)
    assert phone.run("""return new Promise((done) => {
      const look = () => scrollY > 50 ? done(true) : requestAnimationFrame(look);
      look(); setTimeout(() => done(false), 5000);
    })""")


def test_the_figures_of_the_tables_and_the_json_inside_are_those_of_the_report(
    desktop: Browser, report: Report, tmp_path: Path
) -> None:
    show(desktop, report, tmp_path)
    expected = json.loads(json.dumps(report.as_json()))
    assert embedded(desktop) == expected
    tables = desktop.run("""return [...document.querySelectorAll('table')].map((table) =>
      [...table.rows].map((row) => [...row.cells].map(
        (cell) => [cell.textContent, cell.dataset.name, cell.dataset.value])))""")
    assert len(tables) == len(report.tables)
    for table, (head, *rows) in zip(report.tables, tables, strict=True):
        assert [text for text, *_ in head] == table.head
        assert [[text for text, *_ in row] for row in rows] == table.cells()
        found = [
            {name: json.loads(value) for _, name, value in row if name is not None} for row in rows
        ]
        if isinstance(expected[table.name], dict):
            assert {name: value for row in found for name, value in row.items()} == expected[
                table.name
            ]
        else:
            named = [{"tool": row[0][0], **told} for row, told in zip(rows, found, strict=True)]
            assert named == expected[table.name]


def test_the_figures_of_the_charts_are_those_of_the_json(
    desktop: Browser, report: Report, tmp_path: Path
) -> None:
    show(desktop, report, tmp_path)
    known = numbers(embedded(desktop))
    for chart, traces in zip(report.charts, drawn(desktop), strict=True):
        if isinstance(chart, Bars):
            bars = [bar for group in chart.groups for bar in group.bars]
            assert traces[0]["x"] == [bar.value for bar in bars]
            assert traces[0]["customdata"] == [[bar.least, bar.most] for bar in bars]
            assert numbers([traces[0]["x"], traces[0]["customdata"]]) <= known
            continue
        marked = [series for series in chart.series if series.marks]
        for series, trace in zip(chart.series, traces[: len(chart.series)], strict=True):
            assert list(zip(trace["x"], trace["y"], strict=True)) == list(series.points)
            if series.spread is not None:
                assert trace["customdata"] == [list(pair) for pair in series.spread]
                assert numbers(trace["customdata"]) <= known
            assert numbers([trace["x"], trace["y"]]) <= known
        for series, trace in zip(marked, traces[len(chart.series) :], strict=True):
            ends = [x for x in trace["x"] if x is not None]
            assert list(zip(ends[::2], ends[1::2], strict=True)) == list(series.marks)
            assert numbers(ends) <= known


def test_a_tool_has_one_colour_in_all_charts_and_no_other_has_it(
    desktop: Browser, tmp_path: Path
) -> None:
    show(desktop, comparison(), tmp_path)
    colours: dict[str, set[str]] = {}
    for traces in drawn(desktop):
        for trace in traces:
            if trace["type"] == "bar":
                tools = [text.split(":")[0] for text in trace["hovertext"]]
                for tool, colour in zip(tools, trace["marker"]["color"], strict=True):
                    colours.setdefault(tool, set()).add(colour)
            else:
                colours.setdefault(trace["name"], set()).add(trace["line"]["color"])
    assert set(colours) == {"fastcap", "tcpdump", "dumpcap", "netsniff-ng"}
    assert len(set.union(*colours.values())) == len(colours)


def test_a_line_goes_and_comes_back_with_its_box_and_its_marks_with_it(
    desktop: Browser, tmp_path: Path
) -> None:
    show(desktop, comparison(), tmp_path)
    seen = """return [...document.querySelectorAll('#chart-waiting .trace')].length"""
    click = "document.querySelectorAll('#chart-waiting input')[1].click()"
    assert desktop.run(seen) == 7  # four tools, three of which stood still
    desktop.run(click)
    assert desktop.run(seen) == 5
    desktop.run(click)
    assert desktop.run(seen) == 7
    assert desktop.messages() == []


def test_names_of_files_and_filters_are_text_wherever_they_stand(
    desktop: Browser, tmp_path: Path
) -> None:
    show(desktop, hostile(), tmp_path)
    assert desktop.run("return document.scripts.length") == 2 + 1 + 2  # charts, JSON, what runs
    assert desktop.run("return document.querySelectorAll('b, main > script').length") == 0
    assert desktop.run("return document.querySelector('h1').textContent") == HOSTILE[0]
    assert desktop.run("return document.title") == f"fastcap bench: {HOSTILE[0]}"
    legend = desktop.run("return document.querySelector('.legend').textContent")
    titles = desktop.run("""return [...document.querySelectorAll('#chart-evil-bars .annotation')]
      .map((text) => text.textContent)""")
    for word in HOSTILE:
        assert word in legend
        assert word in titles
    assert desktop.run("return document.getElementById('command').textContent") == (
        f"fastcap bench filter '{' '.join(HOSTILE)}'"
    )
    desktop.run("""Plotly.Fx.hover(document.querySelector('#chart-evil-lines .plot'),
      [{curveNumber: 0, pointNumber: 1}])""")
    hover = desktop.run("return document.querySelector('.hoverlayer').textContent")
    assert " ".join(HOSTILE) in hover


def test_a_name_that_is_no_unicode_is_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"net\xff.pcap")
    page.write(str(tmp_path / "page.html"), comparison(name), force=False)
    assert "<h1>net\\udcff.pcap</h1>" in (tmp_path / "page.html").read_text()


def test_the_button_copies_the_command_or_selects_it(desktop: Browser, tmp_path: Path) -> None:
    show(desktop, comparison(), tmp_path)
    told = desktop.run("""document.getElementById('copy').click();
      return new Promise((done) => {
        const look = () => {
          const told = document.getElementById('copy').textContent + getSelection();
          told == 'Copy' ? setTimeout(look, 10) : done(told);
        };
        look();
      })""")
    assert told in ("Copied", f"Copy{comparison().command}")  # without a clipboard it is selected
    assert desktop.messages() == []


# ---- The flag ---------------------------------------------------------------------------------


def test_the_command_writes_a_page_beside_what_it_prints(desktop: Browser, tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    done = bench(*PLAN, "--json", "--html", path)
    assert f"fastcap: the page, {path.stat().st_size:,} bytes, in {path}\n" in done.stderr
    assert os.listdir(tmp_path) == ["plan.html"]
    desktop.open(path.as_uri())
    assert embedded(desktop) == json.loads(done.stdout)
    assert desktop.messages() == []
    assert desktop.requests() == [path.as_uri()]
    assert f"--html {path}" in desktop.run("return document.getElementById('command').textContent")


def test_the_pages_of_filter_and_disk_draw_what_json_says(desktop: Browser, tmp_path: Path) -> None:
    path = tmp_path / "filter.html"
    found = told("filter", "--size", "1M", "--html", path)
    desktop.open(path.as_uri())
    ((bars,),) = drawn(desktop)
    assert bars["x"] == [row["median_seconds"] for row in found["tools"]]
    assert bars["customdata"] == [
        [row["min_seconds"], row["max_seconds"]] for row in found["tools"]
    ]
    path = tmp_path / "disk.html"
    found = told("disk", tmp_path, "--seconds", 1.2, "--size", "64M", "--html", path)
    desktop.open(path.as_uri())
    ((line,),) = drawn(desktop)
    assert line["x"] == [*range(1, len(found["mb_in_each_second"]) + 1)]
    assert line["y"] == found["mb_in_each_second"]
    assert desktop.messages() == []


def test_the_table_and_markdown_go_with_a_page(tmp_path: Path) -> None:
    assert "frames a second" in bench(*PLAN, "--html", tmp_path / "a.html").stdout
    text = bench(*PLAN, "--markdown", "--html", tmp_path / "b.html").stdout
    assert text.startswith("### ")
    assert len(os.listdir(tmp_path)) == 2


def test_a_page_that_is_there_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    path.write_text("mine")
    assert "exists; choose another name" in bench(*PLAN, "--html", path, status=1).stderr
    assert path.read_text() == "mine"
    bench(*PLAN, "--html", path, "--force")
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_where_a_page_cannot_be_written_nothing_is_measured(tmp_path: Path) -> None:
    filtered = ("filter", "--runs", 1000, "--size", "4G")  # would take minutes
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for name, says, status in [
        ("none/page.html", "create it first", 1),
        ("file/page.html", "Not a directory", 1),
        (".", "a directory", 1),
        ("fifo", "a page is a file", 2),
        (f"{'x' * 300}.html", "File name too long", 1),
    ]:
        done = bench(*filtered, "--html", tmp_path / name, status=status, timeout=60)
        assert says in done.stderr
    for name in ("-", "/dev/null", "/dev/stdout"):
        done = bench(*filtered, "--html", name, status=2, timeout=60)
        assert "a page is a file" in done.stderr
    assert "--force is for --html" in bench(*filtered, "--force", status=2, timeout=60).stderr


def test_a_directory_that_takes_no_files_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    done = bench("plan", "--pps", "1000", "--html", "/proc/page.html", status=1)
    assert "/proc/page.html: " in done.stderr
    if os.geteuid() != 0:
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        done = bench(*PLAN, "--html", tmp_path / "page.html", status=1)
        assert "Permission denied; write elsewhere" in done.stderr


def test_without_plotly_a_page_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "plotly.py").write_text("raise ImportError")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    path = tmp_path / "page.html"
    done = bench(*PLAN, "--html", path, status=2, env=environment)
    assert done.stderr == "fastcap: --html needs plotly: pip install 'fastcap-pcap[html]'\n"
    assert not path.exists()
    assert told(*PLAN, env=environment)["versions"]


def test_a_reader_that_leaves_does_not_cost_the_page(tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    command = [sys.executable, "-m", "fastcap", "bench", *PLAN, "--html", str(path)]
    read, write = os.pipe()
    os.close(read)
    subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert path.read_text().endswith("</html>\n")
