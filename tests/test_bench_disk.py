"""`fastcap bench disk`: what it tells, how much it uses, and that it leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcap.bench import disk
from fastcap.bench.disk import Measured
from fastcap.bench.scratch import CHUNK, Plan
from tests import pcaps
from tests.benching import (
    BENCH,
    assert_shows,
    assert_untouched,
    bench,
    looks,
    most_used_while_it_rotates,
    tables_of,
    told,
    wait_until_it_writes,
    with_a_file,
)
from tests.faults.harness import Fault, Faults, Kind
from tests.live.disks import mounted, small

pytestmark = pytest.mark.usefixtures("only_bench")

SHORT = ["--seconds", "0.3", "--size", "32M"]
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_a_file(tmp_path)


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Writes for longer than it is looked at, unless somebody ends it."""
    return subprocess.Popen(
        [*BENCH, "disk", folder, "--seconds", "100", "--size", "32M", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# ---- What it tells ------------------------------------------------------------------------------


def test_a_run_tells_its_figures_and_leaves_nothing_behind(folder: Path) -> None:
    found = told("disk", folder, *SHORT)
    assert_untouched(folder)
    speed, times, frames = found["speed"], found["times"], found["frames"]
    assert speed["written_mb"] * 1e6 >= CHUNK
    assert speed["files"] >= 1
    assert speed["sustained_mb_per_second"] <= speed["until_last_write_mb_per_second"]
    assert 0 < times["write_p50_ms"] <= times["write_p99_ms"] <= times["write_max_ms"]
    assert times["write_max_ms"] <= times["longest_stall_ms"]
    assert frames["record_bytes"] == 96
    carried = frames["frames_per_second"] * 96 / 1e6
    assert carried == pytest.approx(speed["sustained_mb_per_second"], rel=0.01)
    assert found["command"].startswith("fastcap bench disk")


def test_a_longer_snaplen_makes_fewer_frames_of_the_same_bytes() -> None:
    run = Measured([0.1], [0.05], [0.1], 960_000_000, 1, 0, 0, 0.5, 1.0, [])

    def frames(snaplen: int) -> Any:
        (table,) = [t for t in disk.tables(run, snaplen) if t.name == "frames"]
        return table.as_json()["frames_per_second"]

    assert frames(80) == 10_000_000  # 960 MB/s, the sync included
    assert frames(1484) == 640_000


def test_figures_are_those_of_the_writes_that_were_made() -> None:
    writes = [0.001] * 98 + [0.010, 0.250]
    ends = [0.5] * 50 + [1.5] * 25 + [2.5] * 25
    run = Measured(ends, writes, [0.3], 100 * CHUNK, 7, 1.5, 0.75, 3.0, 4.0, [])
    found = {row.name: row.value for table in disk.tables(run, 80) for row in table.rows}
    assert found["written_mb"] == 419.4
    assert found["sustained_mb_per_second"] == 104.9  # of 4 s
    assert found["until_last_write_mb_per_second"] == 139.8  # of 3 s
    assert found["least_second_mb_per_second"] == found["median_second_mb_per_second"] == 104.9
    assert (found["write_p50_ms"], found["write_p99_ms"], found["write_max_ms"]) == (1, 10, 250)
    assert found["longest_stall_ms"] == 300
    assert (found["held_back_seconds"], found["longest_hold_ms"]) == (1.5, 750)
    assert found["stall_buffer_mb"] == 78.6  # 104.8576 × 0.75, the longer of the two


def test_table_and_markdown_show_the_figures_that_json_has(folder: Path) -> None:
    tables = disk.tables(Measured([0.1], [0.05], [0.1], 4 * CHUNK, 1, 0, 0, 0.5, 1.0, []), 80)
    for table in tables:
        assert_shows("\n".join(row[1] for row in table.cells()), table.as_json())
    shown = tables_of(bench("disk", folder, *SHORT, "--markdown").stdout)
    assert [len(rows) for rows in shown] == [1 + len(table.rows) for table in tables]
    text = bench("disk", folder, *SHORT).stdout
    for word in ("sustained, all of it synced", "the longest stall", "the disk carries"):
        assert word in text


def test_what_is_written_is_a_capture_whose_frames_are_counted() -> None:
    rng = np.random.default_rng(1)
    header = pcaps.header()
    first = disk._chunk(starts_file=True, header=header, rng=rng)
    other = disk._chunk(starts_file=False, header=header, rng=rng)
    frames = pcaps.read(bytes(first) + bytes(other) + bytes(other))
    assert len(frames) == first.frames + 2 * other.frames
    assert {len(frame.data) for frame in frames[:-1]} <= {*range(80, 176)}


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


def test_a_small_disk_is_used_in_part_and_its_reserve_stays_free(tmp_path: Path) -> None:
    with small(tmp_path / "small", 200) as place:
        process = start(place, "--size", "180M")
        wait_until_it_writes(place, process)
        least = 1 << 40
        for often_enough in looks():
            told_now = os.statvfs(place)
            least = min(least, told_now.f_bavail * told_now.f_frsize)
            if often_enough and least <= 120 * MIB:
                break
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert 10 * MIB <= least <= 120 * MIB
        assert os.listdir(place) == []


def test_a_disk_that_somebody_else_fills_ends_it_early_with_what_it_found(tmp_path: Path) -> None:
    with small(tmp_path / "small", 200) as place:
        process = start(place, "--size", "180M")
        wait_until_it_writes(place, process)
        time.sleep(0.3)
        other = place / "other"
        with other.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(MIB))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        out, err = process.communicate(timeout=60)
        # whoever was faster: the bench saw it coming, or its own write failed
        assert process.returncode in (0, 1)
        assert "the disk fills up" in out if process.returncode == 0 else "No space" in err
        assert os.listdir(place) == ["other"]


def test_nothing_more_is_written_where_less_than_the_reserve_is_free(folder: Path) -> None:
    plan = Plan(str(folder), seconds=5, size=32 * MIB, file_size=8 * MIB, reserve=1 << 60)
    feeder = disk._Feeder(plan, pcaps.header(), lambda: 0)
    assert feeder.next_chunk(0) is None
    assert feeder.next_chunk(0) is False
    assert "the disk fills up" in feeder.room.stopped_early
    feeder = disk._Feeder(plan._replace(reserve=0), pcaps.header(), lambda: 0)
    assert feeder.next_chunk(0)


def test_more_than_is_free_is_refused_and_so_is_a_disk_without_room(tmp_path: Path) -> None:
    with small(tmp_path / "small", 40) as place:
        done = bench("disk", place, "--size", "39M", status=1)
        assert (
            "40 MiB are free, of which 2 MiB stay free: --size 39 MiB does not fit" in done.stderr
        )
        assert "16 MiB are the least" in bench("disk", place, status=1).stderr
        assert os.listdir(place) == []


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["nope"], 2, "nope: is not there: name a directory"),
        (["precious"], 2, "precious: no directory"),
        ([], 2, "PATH"),
        ([".", "--seconds", "0"], 2, "--seconds"),
        ([".", "--seconds", "nan"], 2, "--seconds"),
        ([".", "--size", "8M"], 1, "16 MiB are the least"),
        ([".", "--size", "900T"], 1, "does not fit"),
        ([".", "--file-size", "1M"], 2, "4 MiB are the least"),
        ([".", "--size", "64M", "--file-size", "32M"], 2, "do not fit into 64 MiB"),
        ([".", "--snaplen", "0"], 2, "--snaplen"),
        ([".", "--json", "--markdown"], 2, "exclude each other"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    folder: Path, words: list[str], status: int, says: str
) -> None:
    assert says in bench("disk", *words, status=status, cwd=folder).stderr
    assert_untouched(folder)


def test_a_directory_that_takes_no_files_is_named(tmp_path: Path) -> None:
    with mounted(tmp_path / "ro", "-t", "tmpfs", "-o", "ro,size=100m", "none") as place:
        done = bench("disk", place, *SHORT, status=1)
        assert f"{place}: Read-only file system" in done.stderr


# ---- What it leaves behind ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [
        (signal.SIGINT, 130, "fastcap: interrupted; what was not finished is removed"),
        (signal.SIGTERM, 143, "fastcap: ended by SIGTERM"),
        (signal.SIGHUP, 129, "fastcap: ended by SIGHUP"),
    ],
)
def test_a_signal_ends_it_and_leaves_nothing(
    folder: Path, number: signal.Signals, status: int, says: str
) -> None:
    process = start(folder)
    wait_until_it_writes(folder, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert says in err
    assert_untouched(folder)


def test_ctrl_c_at_any_moment_leaves_nothing(folder: Path, rng: random.Random) -> None:
    for _ in range(12):
        process = start(folder, "--file-size", "4M")
        time.sleep(rng.uniform(0, 1.0))
        process.send_signal(signal.SIGINT)
        time.sleep(rng.choice((0, 0.001, 0.05)))
        process.send_signal(signal.SIGINT)  # as sudo and timeout do, and people who wait
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert_untouched(folder)


def test_a_disk_without_inodes_is_named_and_left_empty(tmp_path: Path) -> None:
    options = "size=200m,nr_inodes=5"
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", options, "none") as place:
        done = bench("disk", place, *SHORT, status=1)
        assert f"{place}: No space left on device" in done.stderr
        assert ".fastcap-bench" not in done.stderr
        assert os.listdir(place) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_whatever_operation_fails_once_nothing_is_left(
    faults: Faults, folder: Path, number: int
) -> None:
    command: list[str | Path] = [*BENCH, "disk", folder, "--seconds", "0.1", "--size", "16M"]
    kinds = faults.run(command, [folder]).kinds
    assert {kind.operation for kind in kinds} >= {"write", "fsync", "unlink"}
    for kind, count in kinds.items():
        for at in {1, min(2, count)} if number == errno.EIO else {1}:
            ended = faults.run(command, [folder], Fault(at=at, errno=number, only=Kind(*kind)))
            assert "Traceback" not in ended.err, kind
            assert ended.code in (0, 1), (kind, ended.err)
            assert ended.code == 0 or ended.err.startswith("fastcap: "), kind
            assert_untouched(folder)


def test_what_a_killed_bench_left_is_told_by_the_next(folder: Path) -> None:
    process = start(folder)
    wait_until_it_writes(folder, process)
    process.kill()
    process.communicate()
    (left,) = folder.glob(".fastcap-bench-*")
    notes = told("disk", folder, *SHORT)["notes"]
    assert f"{left}: left by a bench that was killed: remove it" in notes
    shutil.rmtree(left)
    assert_untouched(folder)


def test_without_a_terminal_nothing_but_the_report_is_printed(folder: Path) -> None:
    done = bench("disk", folder, *SHORT, "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["title"].startswith(str(folder))
    assert sys.executable not in done.stdout


def test_help_has_examples() -> None:
    assert "fastcap bench disk /data" in bench("--help").stdout
    assert "fastcap bench disk /data --seconds 120" in bench("disk", "--help").stdout
