"""`fastcap bench ring`: figures that agree with each other and with the files, and nothing left."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastcap._native.cancel import Cancel
from fastcap._native.generator import NativeGenerator
from fastcap._native.simulated import NativeSimulated
from fastcap.bench import ring
from fastcap.bench.generator import IMIX
from fastcap.bench.ring import Measured, Question, Run
from fastcap.bench.scratch import Plan
from tests.benching import (
    BENCH,
    FASTCAP,
    assert_shows,
    assert_untouched,
    bench,
    captures,
    most_used_while_it_rotates,
    tables_of,
    told,
    wait_until_it_writes,
    with_a_file,
)
from tests.conftest import needs
from tests.faults.harness import Fault, Faults, Kind
from tests.live.disks import small

pytestmark = pytest.mark.usefixtures("only_bench")

MIB = 1 << 20
SMALL = ["--ring", "2M", "--buffer", "8M", "--size", "32M"]
SHORT = ["--seconds", "0.2", "--runs", "1", *SMALL]
SLOW_RATE = ["--rate", "20k"]

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_a_file(tmp_path)


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Runs for longer than it is looked at, unless somebody ends it."""
    return subprocess.Popen(
        [*BENCH, "ring", "--dir", folder, "--seconds", "100", *SMALL, *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def assert_agrees(found: dict[str, Any]) -> None:
    """What must hold of any run."""
    counts, speed = found["counts"], found["speed"]
    assert counts["frames_written"] == counts["frames_offered"] - counts["frames_dropped"] > 0
    assert 0 < counts["frames_checked"] <= counts["frames_written"]
    assert (counts["ring_full_times"] > 0) == (counts["frames_dropped"] > 0)
    assert counts["files"] > 0
    least, most = speed["frames_per_second_least"], speed["frames_per_second_most"]
    assert 0 < least <= speed["frames_per_second"] <= most
    assert 0 < speed["ring_most_percent"] <= 100
    assert 0 <= speed["longest_hold_ms"] / 1000 <= speed["held_back_seconds"] + 0.001
    threads = {row["tool"]: row for row in found["threads"]}
    for row in threads.values():
        assert 0 <= row["least_ns"] <= row["median_ns"] <= row["most_ns"]
    assert threads["reader"]["least_ns"] > 0
    for figure in ("least_ns", "median_ns", "most_ns"):
        assert threads["all three"][figure] >= threads["reader"][figure]


# ---- What it tells ------------------------------------------------------------------------------


def test_as_fast_as_they_go_every_frame_is_in_a_file_and_nothing_is_left(folder: Path) -> None:
    found = told("ring", "--dir", folder, *SHORT)
    assert_untouched(folder)
    assert_agrees(found)
    counts = found["counts"]
    assert counts["frames_dropped"] == 0
    records = counts["frames_written"] * (16 + 60) / 1e6
    assert counts["written_mb"] == pytest.approx(records, rel=0.01, abs=0.1)
    reader = found["threads"][0]["median_ns"]
    assert found["line"]["reader_percent_64_bytes"] == pytest.approx(6720 / reader, rel=0.01)
    assert found["command"].startswith("fastcap bench ring")


def test_at_a_low_rate_nothing_is_dropped_and_the_rate_is_kept(folder: Path) -> None:
    found = told("ring", "--dir", folder, *SHORT, *SLOW_RATE)
    assert_agrees(found)
    counts = found["counts"]
    assert counts["frames_dropped"] == 0
    late = any("came late" in note for note in found["notes"])
    assert late or counts["frames_offered"] == 4000
    assert counts["frames_checked"] == counts["frames_written"]


def test_far_above_what_it_carries_drops_are_counted_and_the_account_balances(
    folder: Path,
) -> None:
    found = told("ring", "--dir", folder, *SHORT, "--rate", "900M")
    assert_agrees(found)
    counts = found["counts"]
    assert counts["frames_dropped"] > 0
    assert found["speed"]["ring_most_percent"] == 100


def test_several_runs_are_all_counted(folder: Path) -> None:
    words = ["--seconds", "0.1", *SMALL, *SLOW_RATE, "--runs"]
    counts = told("ring", "--dir", folder, *words, 3)["counts"]
    assert counts["runs"] == 3
    assert counts["frames_offered"] <= 3 * 2000
    assert counts["frames_checked"] == counts["frames_written"]
    assert counts["files"] == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--frame", "mix", "--snaplen", "262144"], "found to be a frame"),
        (["--frame", "1518"], "found to be a frame"),
        (["--snaplen", "59"], "with a snaplen of 60 and more"),
        (["--snaplen", "1"], "was counted"),
    ],
)
def test_frames_of_any_length_and_cut_are_checked_as_far_as_that_goes(
    folder: Path, words: list[str], says: str
) -> None:
    found = told("ring", "--dir", folder, *SHORT, *words)
    assert_agrees(found)
    assert says in found["notes"][0]


def a_run(**more: Any) -> Run:
    ordinary = Run(
        offered=1100, dropped=100, written=1000, files=2, bytes=96_000, checked=500, seconds=0.5,
        reader_ns=10_000, writer_ns=20_000, finisher_ns=5_000, kernel_ns=7_000, ring_full=1,
        ring_most=0.5, buffer_most=4 * MIB, waits_for_writer=3, stall=0.25, hold=0.1,
        held_back=0.2, late_ns=0,
    )  # fmt: skip
    return ordinary._replace(**more)


QUESTION = Question(((64, 1),), snaplen=80, ring=2 * MIB, buffer=8 * MIB, rate=0)


def figures(runs: list[Run], question: Question = QUESTION) -> dict[str, Any]:
    return {table.name: table.as_json() for table in ring.tables(Measured(runs, []), question)}


def test_figures_are_medians_of_runs_with_the_least_and_the_most() -> None:
    runs = [a_run(), a_run(reader_ns=40_000, seconds=1.0), a_run(reader_ns=12_000, seconds=0.25)]
    found = figures(runs)
    reader, writer, finisher, all_three = found["threads"]
    assert reader == {"tool": "reader", "median_ns": 12, "least_ns": 10, "most_ns": 40}
    assert (writer["median_ns"], finisher["median_ns"]) == (20, 5)
    assert (all_three["median_ns"], all_three["most_ns"]) == (37, 65)
    speed, counts = found["speed"], found["counts"]
    assert speed["frames_per_second"] == 2000
    assert (speed["frames_per_second_least"], speed["frames_per_second_most"]) == (1000, 4000)
    assert (speed["longest_stall_ms"], speed["waits_for_writer"]) == (250, 9)
    assert (speed["held_back_seconds"], speed["longest_hold_ms"]) == (0.6, 100)
    assert (counts["frames_offered"], counts["frames_dropped"]) == (3300, 300)
    assert (counts["frames_written"], counts["frames_checked"]) == (3000, 1500)


def test_a_line_is_told_for_frames_of_no_more_captured_bytes_than_were_measured() -> None:
    line = figures([a_run()])["line"]
    assert line == {"reader_percent_64_bytes": 672, "writer_percent_64_bytes": 336}
    line = figures([a_run()], QUESTION._replace(sizes=((512, 1),)))["line"]
    assert line["reader_percent_1518_bytes"] == 12304  # 1538 bytes at 0.8 ns each, by 10 ns
    assert len(line) == 2 * 6
    line = figures([a_run()], QUESTION._replace(sizes=((512, 1),), snaplen=262144))["line"]
    assert "reader_percent_1024_bytes" not in line
    line = figures([a_run()], QUESTION._replace(sizes=IMIX))["line"]
    assert line["reader_percent_mix"] == pytest.approx(3054.7, abs=0.1)


def test_table_and_markdown_show_the_figures_that_json_has(folder: Path) -> None:
    tables = ring.tables(Measured([a_run()], []), QUESTION)
    for table in tables:
        rows = table.as_json() if isinstance(table.as_json(), list) else [table.as_json()]
        for row in rows:
            assert isinstance(row, dict)
            assert_shows("\n".join(" ".join(cells) for cells in table.cells()), row)
    shown = tables_of(bench("ring", "--dir", folder, *SHORT, "--markdown").stdout)
    assert [len(rows) for rows in shown] == [1 + len(table.rows) for table in tables]
    text = bench("ring", "--dir", folder, *SHORT).stdout
    for word in ("reader and writer together", "dropped by the ring", "64 bytes: the reader"):
        assert word in text


def test_no_right_is_needed(folder: Path) -> None:
    without = [needs("setpriv"), "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    refused = subprocess.run([*without, "true"], capture_output=True, check=False)
    if refused.returncode != 0:
        without = []  # somebody who may not even give rights up has none
    capture = [*FASTCAP, "capture", "-i", "lo", "-w", str(folder / "x.pcap")]
    done = subprocess.run([*without, *capture], capture_output=True, text=True, check=False)
    assert "no permission" in done.stderr
    done = subprocess.run(
        [*without, *BENCH, "ring", "--dir", str(folder), *SHORT, *SLOW_RATE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert_untouched(folder)


# ---- A wrong result -----------------------------------------------------------------------------


def spoil(path: Path) -> None:
    """The first frame is no IPv4 any more, so it has no label."""
    with path.open("r+b") as file:
        file.seek(24 + 16 + 12)
        file.write(b"\xff\xff")


def test_files_with_something_else_in_them_are_an_error_and_no_figure(folder: Path) -> None:
    process = start(folder, *SLOW_RATE, "--seconds", "5", "--runs", "1", "--file-size", "4M")
    wait_until_it_writes(folder, process)
    spoil(max(captures(folder), key=lambda path: path.stat().st_size))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "the result is WRONG: frames of nobody: 1, and not 0" in err
    assert_untouched(folder)


def accounts() -> tuple[dict[str, int], dict[str, int], Any]:
    class _Rotation:
        class counts:  # noqa: N801
            lost = 0
            written = 90

    kernel = {"offered": 100, "dropped": 10}
    reader = {"accepted": 100, "dropped": 10, "read": 90, "kept": 90}
    return kernel, reader, _Rotation()


@pytest.mark.parametrize("name", ["accepted", "dropped", "read", "kept", "written", "lost"])
def test_an_account_that_does_not_balance_is_an_error(name: str) -> None:
    kernel, reader, rotation = accounts()
    ring.check_account(kernel, reader, rotation)
    if name in reader:
        reader[name] -= 1
    else:
        setattr(rotation.counts, name, getattr(rotation.counts, name) + 1)
    with pytest.raises(ring.WrongResultError, match="the result is WRONG"):
        ring.check_account(kernel, reader, rotation)


def test_one_ring_is_for_one_capture(tmp_path: Path) -> None:
    plan = Plan(str(tmp_path), 1, 32 * MIB, 8 * MIB, 0)
    simulated, native = ring._open(QUESTION, plan)
    simulated.run(Cancel(), rate=0, frames=1000, duration_ns=0)
    native.stop()
    native.run()
    assert native.account()["kept"] == 1000
    with pytest.raises(ValueError, match="another capture"):
        type(native)(
            simulated=simulated, interface=0, block_size=4096, block_count=2, promiscuous=False,
            ignore_outgoing=False, chunk_size=4096, chunks=4, header=b"", trailer=0, snaplen=80,
            slice_layer=0, slice_more=0, pcapng=False, nanoseconds=True, ethernet=True,
            eager=False, rotate_bytes=0, rotate_ns=0, flush_ns=0, limit=1, program=None,
            ring_filter=b"", counter_fd=-1, counter_filter=b"",
        )  # fmt: skip


def test_a_simulated_ring_refuses_what_cannot_be() -> None:
    generator = NativeGenerator(
        seed=1, bench=1, sizes=((64, 1),), flows=1, tcp_percent=0, destination=bytes(6)
    )
    with pytest.raises(ValueError, match="argument"):
        NativeSimulated(generator, snaplen=80, block_size=4095, block_count=2)
    simulated = NativeSimulated(generator, snaplen=80, block_size=4096, block_count=2)
    with pytest.raises(ValueError, match="argument"):
        simulated.run(Cancel(), rate=-1, frames=1, duration_ns=0)


# ---- What it uses -------------------------------------------------------------------------------


def test_files_rotate_and_never_take_more_than_they_may(folder: Path) -> None:
    process = start(folder, "--file-size", "8M")
    wait_until_it_writes(folder, process)
    most, numbers = most_used_while_it_rotates(folder)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert 8 * MIB <= most <= 32 * MIB
    assert len(numbers) > 3
    assert_untouched(folder)


def test_a_disk_that_somebody_else_fills_ends_it_early_with_what_it_found(tmp_path: Path) -> None:
    with small(tmp_path / "small", 200) as place:
        process = start(place, "--size", "120M", *SLOW_RATE)
        wait_until_it_writes(place, process)
        other = place / "other"
        with other.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(MIB))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        # room for what waits, and less than the reserve: it may not go on
        os.truncate(other, other.stat().st_size - 6 * MIB)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "") or "No space" in err
        assert "the disk fills up" in out if process.returncode == 0 else "No space" in err
        assert os.listdir(place) == ["other"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--dir", "nope"], 2, "nope: is not there: name a directory"),
        (["--dir", "precious"], 2, "precious: no directory"),
        (["PATH"], 2, "PATH"),
        (["--frame", "63"], 2, "--frame 63: 64 to 1518 bytes"),
        (["--frame", "1519"], 2, "--frame 1519: 64 to 1518 bytes"),
        (["--frame", "imix"], 2, "expected bytes on the wire, such as 64, or mix"),
        (["--rate", "0"], 2, "--rate 0: leave it out"),
        (["--rate", "2G"], 2, "0.001 to 1,000,000,000 frames a second"),
        (["--ring", "512k"], 2, "--ring 524,288 bytes: at least 1M"),
        (["--ring", "900T"], 2, "--ring and --buffer want"),
        (["--buffer", "4M"], 2, "at least 8M"),
        (["--seconds", "0"], 2, "--seconds"),
        (["--seconds", "nan"], 2, "--seconds"),
        (["--runs", "0"], 2, "--runs"),
        (["--snaplen", "0"], 2, "--snaplen"),
        (["--size", "8M"], 1, "16 MiB are the least"),
        (["--size", "900T"], 1, "does not fit"),
        (["--file-size", "1M"], 2, "4 MiB are the least"),
        (["--json", "--markdown"], 2, "exclude each other"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    folder: Path, words: list[str], status: int, says: str
) -> None:
    where = [] if "--dir" in words else ["--dir", "."]
    assert says in bench("ring", *where, *words, status=status, cwd=folder).stderr
    assert_untouched(folder)


# ---- What it leaves behind ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [
        (signal.SIGINT, 130, "fastcap: interrupted; what was not finished is removed"),
        (signal.SIGTERM, 143, "fastcap: ended by SIGTERM"),
        (signal.SIGHUP, 129, "fastcap: ended by SIGHUP"),
    ],
)
@pytest.mark.parametrize("rate", [[], SLOW_RATE], ids=["fast", "slow"])
def test_a_signal_ends_it_and_leaves_nothing(
    folder: Path, number: signal.Signals, status: int, says: str, rate: list[str]
) -> None:
    process = start(folder, *rate)
    wait_until_it_writes(folder, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert says in err
    assert_untouched(folder)


def test_ctrl_c_at_any_moment_leaves_nothing(folder: Path, rng: random.Random) -> None:
    """Short runs: while one is checked, and between two."""
    for _ in range(12):
        process = start(folder, "--seconds", "0.05", "--runs", "1000")
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGINT)
        time.sleep(rng.choice((0, 0.001, 0.05)))
        process.send_signal(signal.SIGINT)  # as sudo and timeout do, and people who wait
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert_untouched(folder)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_whatever_operation_fails_once_nothing_is_left(
    faults: Faults, folder: Path, number: int
) -> None:
    words = ["--seconds", "0.2", "--runs", "1", "--file-size", "4M", "--rate", "2M", *SMALL]
    command: list[str | Path] = [*BENCH, "ring", "--dir", folder, *words]
    kinds = faults.run(command, [folder]).kinds
    assert {kind.operation for kind in kinds} >= {"write", "fsync", "unlink"}
    for kind, count in kinds.items():
        for at in {1, min(2, count)} if number == errno.EIO else {1}:
            ended = faults.run(command, [folder], Fault(at=at, errno=number, only=Kind(*kind)))
            assert "Traceback" not in ended.err, kind
            assert ended.code in (0, 1), (kind, ended.err)
            assert ended.code == 0 or ended.err.startswith("fastcap: "), kind
            assert "WRONG" not in ended.err
            assert_untouched(folder)


def test_what_a_killed_bench_left_is_told_by_the_next(folder: Path) -> None:
    process = start(folder)
    wait_until_it_writes(folder, process)
    process.kill()
    process.communicate()
    (left,) = folder.glob(".fastcap-bench-*")
    notes = told("ring", "--dir", folder, *SHORT)["notes"]
    assert f"{left}: left by a bench that was killed: remove it" in notes
    shutil.rmtree(left)
    assert_untouched(folder)


def test_help_has_examples() -> None:
    assert "fastcap bench ring --rate 14.88M" in bench("--help").stdout
    assert "fastcap bench ring --frame 512" in bench("ring", "--help").stdout
