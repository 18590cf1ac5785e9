"""`fastcap run` for long: nothing is lost, the backlog stays bounded, memory, descriptors and
journal stay flat. Slow tests; a short run of each is in every test run.

FASTCAP_SOAK_SECONDS says for how long, FASTCAP_SOAK_RATE how many frames a second.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fastcap.pipeline.state import read_snapshot
from tests.live.network import Network
from tests.live.test_run import Run, status

FULL = 1514  # bytes of a frame
WANTED = {"even.pcap": 7, "thirds.pcap": 200}  # of 256 serial numbers one goes to each output
FILTERS = {name: f"Blob(FrameData, 21, 1) == {value}" for name, value in WANTED.items()}
FOLDED = 11_000  # originals after which the journal grows no more
MOST_GROWTH = 6 << 10  # KiB of a process
MOST_JOURNAL = 1 << 20  # bytes that it may grow


class Plan(NamedTuple):
    """`rate`: frames a second, of `size` bytes."""

    seconds: int
    rate: int
    size: int
    words: tuple[str, ...]


class Sample(NamedTuple):
    """KiB of memory and descriptors of each process, bytes of the journal and of what waits,
    originals that are done."""

    memory: tuple[int, ...]
    descriptors: tuple[int, ...]
    journal: int
    backlog: int
    originals: int


def ceiling(folder: Path, mib: int) -> float:
    """Bytes a second that the file system takes, synced."""
    path, block = folder / "ceiling", bytes(4 << 20)
    began = time.monotonic()
    with path.open("wb") as file:
        for _ in range(mib // 4):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    return (mib << 20) / (time.monotonic() - began)


def processes_of(run: Run) -> list[int]:
    """The supervisor, the capture, the service, and its worker when there is one."""
    found = [run.process.pid]
    for pid in found:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        found += [int(child) for child in children.split()]
    return found


def sample(run: Run) -> Sample:
    memory, descriptors = [], []
    for pid in processes_of(run):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        memory.append(int(told["VmRSS"].split()[0]))
        descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))
    journal = sum(path.stat().st_size for path in (run.spool / ".fastcap").glob("journal.db*"))
    snapshot = read_snapshot(str(run.spool))
    backlog = snapshot.backlog.bytes if snapshot is not None else 0
    originals = snapshot.counts["originals"] if snapshot is not None else 0
    return Sample(tuple(memory), tuple(descriptors), journal, backlog, originals)


def serials_in(path: Path) -> Iterator[int]:
    """Of a file whose frames may be millions."""
    with path.open("rb") as file:
        file.seek(24)
        while header := file.read(16):
            captured = struct.unpack("<8xI4x", header)[0]
            yield int.from_bytes(file.read(captured)[14:22], "big")


def go_on(network: Network, folder: Path, plan: Plan) -> list[Sample]:
    """Sends for so long; nothing is lost, and each output holds what it should."""
    count = plan.rate * plan.seconds
    samples = []
    run = Run(network, folder, "--grace", 600, *plan.words, filters=FILTERS)
    sender = network.sending(count, plan.size, rate=plan.rate)
    while sender.poll() is None:
        time.sleep(min(1.0, plan.seconds / 10))
        samples.append(sample(run))
    sent = time.monotonic()
    while status(run.spool)["backlog"]["files"]:
        assert time.monotonic() - sent < 120, "the backlog does not go"
        time.sleep(0.2)
    run.process.send_signal(15)
    assert run.process.wait(600) == 0, run.err
    final = Run(network, folder, "-c", "1", *plan.words, filters=FILTERS)  # what came last
    network.send(1, first=1 << 40)
    assert final.end(None) == 0
    told = status(run.spool)
    totals = told["totals"]
    assert (totals["dropped"], totals["lost"], totals["missed"]) == (0, 0, 0)
    assert totals["frames"] == count + 1
    for name, value in WANTED.items():
        stem = name.removesuffix(".pcap")
        paths = sorted(run.kept.glob(f"{stem}_*.pcap"))
        found = [number for path in paths for number in serials_in(path)]
        assert found == list(range(value, count, 256))
    return samples


def test_full_frames_leave_a_backlog_that_is_bounded(network: Network, tmp_path: Path) -> None:
    go_on(network, tmp_path, Plan(4, 10_000, FULL, ("-C", "4M", "--output-size", "100k")))


def test_a_short_run_keeps_its_descriptors(network: Network, tmp_path: Path) -> None:
    samples = go_on(network, tmp_path, Plan(6, 20_000, 200, ("-s", "80", "-C", "200k")))
    counts = [sample.descriptors for sample in samples if len(sample.descriptors) == 4]
    assert max(counts[-1]) <= max(counts[0]) + 4


@pytest.mark.slow
def test_ten_minutes_of_full_frames(network: Network, tmp_path: Path) -> None:
    seconds = int(os.environ.get("FASTCAP_SOAK_SECONDS", "600"))
    most = ceiling(tmp_path, 2048)
    rate = int(os.environ.get("FASTCAP_SOAK_RATE", int(min(350e6, 0.6 * most) / FULL)))
    free = os.statvfs(tmp_path)
    print(
        f"{rate * FULL / 1e6:,.0f} MB/s for {seconds} s; the disk takes {most / 1e6:,.0f} MB/s, "
        f"{free.f_bavail * free.f_frsize / 1e9:,.0f} GB are free"
    )
    samples = go_on(network, tmp_path, Plan(seconds, rate, FULL, ("-C", "256M", "--ring", "256M")))
    backlog = [sample.backlog for sample in samples]
    half = len(backlog) // 2
    print(f"backlog: at most {max(backlog) / 1e6:,.0f} MB, {backlog[-1] / 1e6:,.0f} at the end")
    assert max(backlog[half:]) <= max(backlog[:half]) + (1 << 30)


@pytest.mark.slow
def test_an_hour_of_80_bytes_grows_nothing(network: Network, tmp_path: Path) -> None:
    seconds = int(os.environ.get("FASTCAP_SOAK_SECONDS", "3600"))
    rate = int(os.environ.get("FASTCAP_SOAK_RATE", "30000"))
    samples = go_on(network, tmp_path, Plan(seconds, rate, 200, ("-s", "80", "-C", "300k")))
    whole = [one for one in samples if len(one.memory) == 4]
    judged = [one for one in whole if one.originals >= FOLDED]
    if not judged:
        pytest.fail(f"only {whole[-1].originals} originals: too short to judge the journal")
    for one in (judged[0], judged[len(judged) // 2], judged[-1]):
        print(one)
    for which in range(4):
        assert judged[-1].memory[which] - judged[0].memory[which] <= MOST_GROWTH
        assert judged[-1].descriptors[which] <= judged[0].descriptors[which] + 4
    assert judged[-1].journal - judged[0].journal <= MOST_JOURNAL
