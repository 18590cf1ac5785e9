"""A capture that goes on for long, under load and with disturbances: memory and descriptors stay
flat, and the account is exact.

FASTCAP_SOAK_SECONDS and FASTCAP_SOAK_RATE (frames a second) say for how long, and how much.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.disks import small
from tests.live.network import (
    FAR,
    Capture,
    Network,
    captures_in,
    let_receive,
    opens_without_a_warning,
    read,
    serials,
    wait_until,
)
from tests.live.test_account import GROWING, events_of

LENGTH = 200  # bytes of a frame, of which 80 are kept
RECORD = 16 + 80
MOST_GROWTH = 4 << 10  # KiB


class Plan(NamedTuple):
    """`every`: seconds between two disturbances; `warm_up`: seconds that are not judged."""

    seconds: int
    rate: int
    disk_mib: int
    words: str
    every: float
    warm_up: float


class Sample(NamedTuple):
    """Of a process: seconds since the first, KiB in memory, descriptors, threads."""

    at: float
    memory: int
    descriptors: int
    threads: int


def sample(process: int, began: float) -> Sample:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return Sample(
        time.monotonic() - began,
        int(told["VmRSS"].split()[0]),
        len(os.listdir(f"/proc/{process}/fd")),
        int(told["Threads"]),
    )


# ---- Disturbances -----------------------------------------------------------------------------


def stop_for_a_moment(_: Network, capture: Capture, __: Any) -> None:
    capture.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    capture.send_signal(signal.SIGCONT)


def take_down_and_up(network: Network, capture: Capture, sender: Any) -> None:
    """While nothing is on its way: nobody counts what arrives at an interface that is down."""
    sender.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{sender.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] in "TZ")
    let_receive()
    before = capture.err.count(f"{FAR} is up")
    network.ip("link", "set", FAR, "down")
    network.ip("link", "set", FAR, "up")
    wait_until(lambda: capture.err.count(f"{FAR} is up") > before)
    sender.send_signal(signal.SIGCONT)


def end_the_file(_: Network, capture: Capture, __: Any) -> None:
    capture.send_signal(signal.SIGHUP)


def ask_for_counts(_: Network, capture: Capture, __: Any) -> None:
    before = capture.err.count("frames received")
    capture.send_signal(signal.SIGUSR1)
    wait_until(lambda: capture.err.count("frames received") > before)


DISTURBANCES: tuple[Callable[[Network, Capture, Any], None], ...] = (
    stop_for_a_moment,
    take_down_and_up,
    end_the_file,
    ask_for_counts,
)


# ---- Judging ------------------------------------------------------------------------------------


def check_flat(samples: list[Sample], warm_up: float) -> str:
    """The last quarter is compared with the first behind the warm-up: its middle and its most
    memory, its fewest descriptors (some are open for a moment), all of its threads."""
    judged = [one for one in samples if one.at >= warm_up]
    quarter = len(judged) // 4
    assert quarter > 0, "too short to be judged"
    first, last = judged[:quarter], judged[-quarter:]
    for of in (statistics.median, max):
        growth = of(one.memory for one in last) - of(one.memory for one in first)
        assert growth <= MOST_GROWTH, samples
    fewest = [min(one.descriptors for one in part) for part in (first, last)]
    assert fewest[1] <= fewest[0] + 2, samples
    assert len({one.threads for one in judged}) == 1, samples
    slope = statistics.linear_regression(
        [one.at for one in judged], [float(one.memory) for one in judged]
    ).slope
    return (
        f"{len(samples)} samples; memory {first[0].memory} KiB behind the warm-up, "
        f"{last[-1].memory} at the end, most {max(one.memory for one in judged)}, "
        f"{slope * 3600:+.0f} KiB an hour; descriptors {fewest[0]} to "
        f"{max(one.descriptors for one in judged)}, {fewest[1]} at the end; threads "
        f"{last[-1].threads}"
    )


def check_events(path: Path, sent: int) -> dict[str, int]:
    """They add up to the account at the end, which is exact."""
    lines = events_of(path)
    assert (lines[0]["event"], lines[-1]["event"]) == ("start", "end")
    assert lines[-1]["balances"] is True
    account: dict[str, int] = lines[-1]["account"]
    assert account["frames_received"] + account["frames_missed_interface"] == sent
    assert account["frames_received"] == (
        account["frames_written"] + account["frames_dropped_ring"] + account["frames_lost_writer"]
    )
    files = [line for line in lines if line["event"] == "file"]
    numbers = [int(Path(file["path"]).name.split("_")[1]) for file in files]
    assert numbers == list(range(1, len(files) + 1))
    assert sum(file["frames"] for file in files) == account["frames_written"]
    moments = [file["meanwhile"] for file in files]
    assert all(one["until"] == two["since"] for one, two in itertools.pairwise(moments))
    for name in GROWING:
        assert sum(moment[name] for moment in moments) == account[name], name
    return {**account, "files": len(files)}


def check_files(folder: Path, events: Path, sent: int, lost: int) -> int:
    """Those that are still there are the newest, are as was told, and go on to the last frame;
    how many frames they hold."""
    told = {file["path"]: file for file in events_of(events) if file["event"] == "file"}
    paths = [folder / name for name in captures_in(folder)]
    assert [str(path) for path in paths] == list(told)[-len(paths) :]
    first, before, frames = -1, -1, 0
    for path in paths:
        numbers = serials(read(path))
        assert len(numbers) == told[str(path)]["frames"]
        assert [before, *numbers] == sorted({before, *numbers})
        first = numbers[0] if first < 0 else first
        before, frames = numbers[-1], frames + len(numbers)
        record = json.loads(Path(f"{path}.json").read_text())
        assert record["meanwhile"] == told[str(path)]["meanwhile"]
    opens_without_a_warning(paths[-2:])
    assert 0 <= sent - first - frames <= lost
    return frames


# ---- The tests ----------------------------------------------------------------------------------


def soak(network: Network, folder: Path, plan: Plan) -> str:
    """Runs it, checks it, and says what was seen."""
    with small(folder / "data", plan.disk_mib) as data:
        events = folder / "events"
        # without --json, which keeps a record of every file until the end
        capture = network.capture(
            data / "net1.pcap", "-s", "80", *plan.words.split(), "--keep-free", "20%",
            "--events", events, memory=("--ring", "64M", "--buffer", "64M"), as_json=False,
        )  # fmt: skip
        sent = plan.seconds * plan.rate
        sender = network.sending(sent, LENGTH, rate=plan.rate)
        samples: list[Sample] = []
        disturb = itertools.cycle(DISTURBANCES)
        disturbed = 0
        began = time.monotonic()
        while sender.poll() is None:
            assert capture.process.poll() is None, capture.err
            samples.append(sample(capture.process.pid, began))
            if samples[-1].at >= plan.every * (disturbed + 1):
                next(disturb)(network, capture, sender)
                disturbed += 1
            time.sleep(min(2.0, plan.seconds / 100))
        assert sender.communicate()[0] == f"{sent}\n"
        let_receive()
        capture.send_signal(signal.SIGINT)
        status, said = capture.end_of_stream()
        account = check_events(events, sent)
        lost = account["frames_dropped_ring"] + account["frames_lost_writer"]
        assert status == (3 if lost or account["frames_missed_interface"] else 0), said
        assert account["bytes_received"] == LENGTH * (sent - account["frames_dropped_ring"])
        there = check_files(data, events, sent, lost)
        assert there < sent or sent * RECORD < plan.disk_mib << 20  # the oldest were deleted
        flat = check_flat(samples, plan.warm_up)
    return f"{disturbed} disturbances; {flat}; {there} frames in files at the end; {account}"


def test_a_capture_stays_flat_and_exact(network: Network, tmp_path: Path) -> None:
    soak(network, tmp_path, Plan(10, 50_000, 32, "-C 1M -G 1", 1, 3))


@pytest.mark.slow
def test_a_capture_stays_flat_and_exact_for_long(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = int(os.environ.get("FASTCAP_SOAK_SECONDS") or 1200)
    rate = int(os.environ.get("FASTCAP_SOAK_RATE") or 50_000)
    plan = Plan(seconds, rate, 300, "-C 10M -G 5", min(10, seconds / 12), min(60, seconds / 4))
    seen = soak(network, tmp_path, plan)
    with capsys.disabled():
        print(f"\n{seconds} s at {rate} frames a second: {seen}")
