"""`fastcap bench plan`: the arithmetic, by hand, and what it refuses."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from fastcap.bench.plan import CaptureCost, FilterCost, Question, notes, tables
from fastcap.bench.report import Figure, Figures, Grid, Report
from tests.benching import assert_shows, bench, ctrl_c_leaves_nothing, tables_of, told

pytestmark = pytest.mark.usefixtures("only_bench")

MACHINE: dict[str, str | int] = {
    "processor": "P", "processors": 2, "memory_mib": 1, "system": "Linux",
}  # fmt: skip
CAPTURE = CaptureCost(40, "--capture-ns")
COST = FilterCost(ns=8.0, frames=1000, captured=80, runs=3, engine="jit")
ISSUE = "--rate 10G --frame 512 --snaplen 80 --days 30 --hit 1%".split()


def question(**changes: Any) -> Question:
    """The worst of 10 Gbit/s."""
    worst = Question(
        bits=1e10, pps=None, frame=64, snaplen=80, utilisation=1, days=30, hit=0.01, stall=2,
        behind=600, file_bytes=1 << 30, disk_bytes=None, capture_ns=40,
    )  # fmt: skip
    return worst._replace(**changes)


def figures(asked: Question, cost: FilterCost = COST) -> dict[str, Any]:
    return {row.name: row.value for table in tables(asked, cost, CAPTURE) for row in table.rows}


def test_the_shortest_frames_of_10_gbit_are_14_880_952_a_second_every_67_2_ns() -> None:
    found = figures(question())
    assert found["wire_bits_per_frame"] == 672
    assert found["frames_per_second"] == 14_880_952
    assert found["ns_between_frames"] == 67.2


def test_a_record_holds_no_more_than_the_frame_had_without_its_fcs() -> None:
    assert figures(question(frame=64, snaplen=80))["record_bytes"] == 16 + 60
    assert figures(question(frame=84, snaplen=80))["record_bytes"] == 16 + 80
    assert figures(question(frame=1518, snaplen=0))["record_bytes"] == 16 + 1514


def test_the_figures_of_the_example_are_those_of_a_calculator() -> None:
    found = figures(question(frame=512))
    # 10^10 / (532 * 8) = 2,349,624.06 frames a second, of 96 bytes: 225,563,909.77 bytes
    assert found["frames_per_second"] == 2_349_624
    assert found["ns_between_frames"] == 425.6
    assert found["written_mb_per_second"] == 225.56
    assert found["files_per_hour"] == 756.3  # × 3,600 / 1,073,741,824
    assert found["seconds_per_file"] == 4.76
    assert found["originals_gb"] == 138.56  # 3 × 1.0737 + 225,563,909.77 × 600
    assert found["matches_gb"] == 5846.62  # × 86,400 × 30 × 0.01
    assert found["disk_gb"] == 5985.18
    assert found["ring_bytes_per_frame"] == 168  # 82 + 80 = 162, up to a multiple of 8
    assert found["ring_mib"] == 753  # 2,349,624.06 × 168 × 2 / 1,048,576 = 752.9
    assert found["buffer_mib"] == 431  # 225,563,909.77 × 2 / 1,048,576 = 430.2
    assert found["capture_cores"] == 0.094  # × 40 ns
    assert found["filter_cores"] == 0.019  # × 8 ns
    assert found["cores"] == 0.113


def test_every_input_moves_the_figures_that_depend_on_it() -> None:
    base = figures(question())
    half = figures(question(utilisation=0.5))
    assert half["frames_per_second"] == 7_440_476
    assert half["cores"] == pytest.approx(base["cores"] / 2, abs=0.002)
    assert figures(question(days=60))["matches_gb"] == pytest.approx(2 * base["matches_gb"])
    assert figures(question(hit=0.02))["matches_gb"] == pytest.approx(2 * base["matches_gb"])
    assert figures(question(stall=4))["ring_mib"] == pytest.approx(2 * base["ring_mib"], abs=1)
    assert figures(question(file_bytes=1 << 29))["files_per_hour"] == 2 * base["files_per_hour"]
    assert figures(question(behind=1))["originals_gb"] < base["originals_gb"]
    disk = figures(question(disk_bytes=1_130_952_381))
    assert disk["disk_used_percent"] == 100


def test_frames_a_second_may_be_given_and_tell_the_wire_that_they_need() -> None:
    found = figures(question(bits=None, pps=1_500_000.0, frame=300))
    assert found["frames_per_second"] == 1_500_000
    assert found["wire_gbit_per_second"] == 3.84  # × 320 × 8


def test_what_was_not_measured_is_said_and_what_a_box_does_not_carry_too() -> None:
    cheap = "\n".join(notes(question(), COST, CAPTURE, 64))
    assert "capture's cost was not measured" not in cheap
    assert "disk was not measured" in cheap
    assert "does not carry" not in cheap
    assumed = CaptureCost(45, "assumed, NOT measured here", False)
    assert "capture's cost was not measured here" in "\n".join(notes(question(), COST, assumed, 64))
    rows = [row for table in tables(question(), COST, assumed) for row in table.rows]
    assert [row.how for row in rows if row.name == "capture_ns"] == ["assumed, NOT measured here"]
    slow = notes(question(disk_bytes=10**9), COST, CaptureCost(500, "--capture-ns"), 2)
    assert sum("does not carry that" in note for note in slow) == 2


def test_the_command_measures_filter_and_capture_and_shows_all_arithmetic(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    text = bench("plan", *ISSUE, "--filter", "udp", env=environment).stdout
    assert "10,000,000,000 bit/s / 4256 bits" in text
    assert "2,349,624 /s × 96 bytes" in text
    assert text.count("measured here: median of") == 2
    assert "frames from a simulated ring" in text
    assert "filter: udp" in text
    assert "fastcap bench plan --rate 10G --frame 512" in text
    assert os.listdir(tmp_path) == []


def test_table_json_and_markdown_have_the_same_figures() -> None:
    text = bench("plan", *ISSUE).stdout
    markdown = tables_of(bench("plan", *ISSUE, "--markdown").stdout)
    found = told("plan", *ISSUE)
    for rows, name in zip(markdown, ("wire", "files", "disk", "memory", "cores"), strict=True):
        assert len(rows) == 1 + len(found[name])
        if name != "cores":  # measured in each run
            assert_shows(text, found[name])
            assert_shows("\n".join(row[1] for row in rows), found[name])
    assert found["versions"]["fastcap"]
    assert found["machine"]["processors"] >= 1
    assert found["command"] == f"fastcap bench plan {' '.join(ISSUE)} --json"


def test_a_report_shows_what_is_not_known_and_text_that_markdown_would_take_for_its_own() -> None:
    row = [Figure("a_s", "a", 0.5, "s"), Figure("b_s", "b", None, "s")]
    table = Figures("filter", "what", [Figure("filter", "filter", "ip[0] & 1 | 2")])
    report = Report("title", "command", MACHINE, {}, [Grid("tools", "tool", [("x", row)]), table],
                    ["noted"])  # fmt: skip
    assert report.as_json()["tools"] == [{"tool": "x", "a_s": 0.5, "b_s": None}]
    assert "| x | 0.5 s | ? |" in report.as_markdown()
    assert "ip[0] & 1 \\| 2" in report.as_markdown()
    assert "- noted" in report.as_text()


def test_a_wide_grid_is_in_pieces_no_wider_than_the_terminal_and_nothing_is_left_out(
    rng: random.Random,
) -> None:
    for _ in range(200):
        keys = rng.randrange(3)
        columns = [f"{place}{'x' * rng.randrange(12)}" for place in range(rng.randrange(1, 9))]
        rows = [
            (tool, [Figure(name, name, rng.randrange(10**6), is_key=place < keys)
                    for place, name in enumerate(columns)])
            for tool in ("fastcap", "tcpdump")
        ]  # fmt: skip
        grid = Grid("results", "tool", rows)
        report = Report("title", "command", MACHINE, {}, [grid], [])
        width = rng.randrange(1, 100)
        _, *pieces, _ = report.as_text(width).split("\n\n")
        cells: set[str] = set()
        for piece in pieces:
            lines = piece.splitlines()
            words = [line.split() for line in lines]
            assert [line[0] for line in words] == ["tool", "fastcap", "tcpdump"]
            assert {len(line) for line in words} == {len(words[0])}
            assert words[0][: keys + 1] == ["tool", *columns[:keys]][: len(words[0])]
            if len(words[0]) > keys + 2:  # one column is there however wide it is
                assert max(map(len, lines)) <= width
            cells.update(*words)
        assert cells == {cell for row in [grid.head, *grid.cells()] for cell in row}
        _, together, _ = report.as_text().split("\n\n")
        assert together.splitlines()[0].split() == ["tool", *columns]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "either --rate, as in 10G, or --pps"),
        ("--rate 10G --pps 5", "either --rate"),
        ("--pps 5 --utilisation 50%", "--utilisation is a share of --rate"),
        ("--rate 10G --frame 63", "64 to 9,238 bytes"),
        ("--rate 10G --frame 9239", "64 to 9,238 bytes"),
        ("--rate 10G --hit 101%", "--hit 101%"),
        ("--rate 10G --hit 1", "a share in percent"),
        ("--rate 10G --utilisation 0%", "--utilisation 0%"),
        ("--rate 10G --utilisation 100.1%", "--utilisation 100.1%"),
        ("--rate 10G --days 0", "--days 0: more than 0"),
        ("--rate 10G --days -1", "--days -1: more than 0"),
        ("--rate 10G --days nan", "--days nan"),
        ("--rate 10G --days inf", "--days inf"),
        ("--rate 0", "--rate 0: more than 0"),
        ("--rate 10", "less than a frame a second"),
        ("--pps 0.5", "less than a frame a second"),
        ("--rate 11T", "at most 10,000,000,000,000 bits a second"),
        (f"--rate {'9' * 30}T", "--rate"),
        (f"--rate {'9' * 400}", "expected bits a second"),
        ("--rate ten", "expected bits a second, such as 10G"),
        ("--pps 1e9", "expected frames a second"),
        ("--pps 0", "--pps 0: more than 0"),
        ("--rate 10G --stall 0", "--stall 0: more than 0"),
        ("--rate 10G --stall 2y", "expected a time"),
        ("--rate 10G --capture-ns 0", "--capture-ns 0"),
        ("--rate 10G --disk-speed 0.0001k", "--disk-speed 0"),
        ("--rate 10G --snaplen -1", "--snaplen"),
        ("--rate 10G --json --markdown", "exclude each other"),
        ("--rate 10G --filter host", "syntax error"),
    ],
)
def test_nonsense_is_refused_with_the_flag_and_what_it_takes(words: str, says: str) -> None:
    assert says in bench("plan", *words.split(), status=2).stderr


def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, rng: random.Random) -> None:
    ctrl_c_leaves_nothing(tmp_path, rng, "plan", *ISSUE)


def test_help_has_examples() -> None:
    assert "fastcap bench plan --rate 10G" in bench("--help").stdout
    assert "fastcap bench plan --pps 1.5M" in bench("plan", "--help").stdout
