"""`fastcap bench drain`: what a ring held is in the files, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench_capture import family, groups, liar
from tests.live.network import Network, wait_until

BENCH = (sys.executable, "-m", "fastcap", "bench", "drain")
SHORT = ("--ring", "16M", "--buffer", "16M", "--frames", "20000", "--rounds", "1")


def told(network: Network, *words: object, **options: Any) -> dict[str, Any]:
    done = network.run(*BENCH, *words, "--json", timeout=120, **options)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_every_frame_that_a_ring_held_is_in_a_file(network: Network, tmp_path: Path) -> None:
    found = told(network, *SHORT, "--dir", tmp_path)
    rows = found["drain"]
    peers = filter(shutil.which, ("tcpdump", "dumpcap", "netsniff-ng"))
    assert [row["tool"] for row in rows] == ["fastcap", *peers]
    for row in rows:
        assert (row["offered"], row["written"]) == (20_000, 20_000)
        assert (row["claimed_lost"], row["lost_unclaimed"]) == (0, 0)
        threads = [float(word) for word in row["threads_ns"].split(" + ")]
        assert sum(threads) < 1.01 * row["cpu_ns"] + 1  # they are parts of it, rounded
        assert row["cpu_ns_least"] <= row["cpu_ns"] <= row["cpu_ns_most"]
        assert row["frames_per_second"] == pytest.approx(1e9 / row["slowest_thread_ns"], rel=0.1)
    assert os.listdir(tmp_path) == []


def test_a_ring_that_is_too_small_loses_what_the_tool_says(
    network: Network, tmp_path: Path
) -> None:
    """Of every tool, so that what each says is understood."""
    found = told(network, *SHORT, "--frames", "300000", "--dir", tmp_path)
    assert any("such frames surely fit into the ring" in note for note in found["notes"])
    for row in found["drain"]:
        assert row["offered"] == 300_000
        assert 0 < row["written"] < 300_000
        assert row["lost_unclaimed"] == 0


def test_a_tool_that_lies_is_caught(network: Network, tmp_path: Path) -> None:
    environment = liar(tmp_path / "bin")
    found = told(
        network, *SHORT, "--frames", "500", "--tools", "tcpdump", "--dir", tmp_path,
        env=environment,
    )  # fmt: skip
    (row,) = found["drain"]
    assert (row["offered"], row["written"], row["claimed_lost"]) == (500, 495, 0)
    assert any("DOES NOT TELL THE TRUTH" in note for note in found["notes"])


def test_ctrl_c_while_a_tool_is_stopped_leaves_nothing(network: Network, tmp_path: Path) -> None:
    bench = network.popen(
        *BENCH, "--ring", "64M", "--frames", "100000000", "--tools", "fastcap", "--dir", tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: any(_is_stopped(pid) for pid in family(bench.pid)))
    processes = list(family(bench.pid))
    bench.send_signal(signal.SIGINT)
    assert bench.wait(30) == 130
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
    assert os.listdir(tmp_path) == []
    assert groups() == []


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        return False
