"""A capture that is held up, or whose file system hangs: what can wait is not lost, and what cannot
is counted to the frame."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastcap.pressure import Pressure
from tests.live.disks import Ext4, ext4, frames_in
from tests.live.network import Ended, Network, captures_in, wait_until

CHUNK = 4 << 20  # bytes of the buffer that are filled at once


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4]:
    with ext4(tmp_path / "disk", 128) as disk:
        yield disk


@pytest.fixture
def pressure() -> Iterator[Pressure]:
    """A page, on which a capture writes how full its buffer is."""
    pressure = Pressure.make()
    yield pressure
    pressure.close()


def check_found(ended: Ended, *folders: Path) -> list[int]:
    """The frames that are there: as many as were told, in order, none twice."""
    found = frames_in(*folders)
    assert len(found) == ended.frames_written
    assert found == sorted(set(found))
    return found


# ---- The process ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["-C 1M", "-G 0.1"])
def test_a_process_that_is_stopped_for_a_while_loses_nothing_for_which_the_ring_has_room(
    network: Network, tmp_path: Path, words: str
) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-s", "80", *words.split())
    network.send(10_000)
    capture.halt()
    network.send(30_000, first=10_000)
    began = time.monotonic()
    network.send(20_000, first=40_000, rate=20_000)
    stopped_us = (time.monotonic() - began) * 1e6
    capture.send_signal(signal.SIGCONT)
    network.send(10_000, first=60_000)
    ended = capture.end()
    ended.check_account(sent=70_000)
    assert check_found(ended, tmp_path) == list(range(70_000))
    assert ended.longest_block_wait_us >= stopped_us  # of the blocks that were full before


def test_a_stop_is_told_as_well_where_frames_are_so_few_that_no_block_is_full(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1M")
    capture.halt()
    network.send(100)
    time.sleep(0.5)
    capture.send_signal(signal.SIGCONT)
    network.send(100, first=100)
    ended = capture.end()
    ended.check_account(sent=200)
    assert check_found(ended, tmp_path) == list(range(200))
    assert ended.longest_block_wait_us >= 380_000


def test_where_the_ring_has_no_room_for_a_stop_exactly_the_frames_that_are_told_are_missing(
    network: Network, tmp_path: Path
) -> None:
    events = tmp_path / "events"
    capture = network.capture(
        tmp_path / "net1.pcap", "-s", "80", "-C", "1M", "--events", events,
        memory=("--ring", "1M", "--buffer", "8M"),
    )  # fmt: skip
    sent = 0
    for _ in range(3):
        capture.halt()
        network.send(20_000, first=sent)
        capture.send_signal(signal.SIGCONT)
        capture.has_taken(sent + 20_000)  # there is room again
        network.send(5_000, first=sent + 20_000, rate=20_000)
        sent += 25_000
    ended = capture.end()
    ended.check_account(sent=sent)
    assert ended.frames_lost_writer == 0
    found = check_found(ended, tmp_path)
    missing = sorted(set(range(sent)) - set(found))
    assert len(missing) == ended.frames_dropped_ring > 3 * 5_000
    assert all(number % 25_000 < 24_000 for number in missing)  # none of when it went on
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    told = [line["meanwhile"] for line in lines if line["event"] == "file"]
    assert sum(moment["frames_dropped_ring"] for moment in told) == len(missing)


# ---- The file system --------------------------------------------------------------------------


def test_frames_wait_while_the_file_system_is_frozen(
    network: Network, disk: Ext4, pressure: Pressure
) -> None:
    capture = network.capture(
        disk.folder / "net1.pcap", "-s", "80", "-C", "2M", "--pressure", pressure.fd,
        memory=("--ring", "64M", "--buffer", "64M"), pass_fds=(pressure.fd,),
    )  # fmt: skip
    network.send(50_000)
    with disk.frozen():
        network.send(200_000, first=50_000, rate=100_000)  # 18 MiB, in 2 s
        wait_until(lambda: pressure.read().buffer_fill >= 0.25)
    network.send(50_000, first=250_000)
    ended = capture.end()
    ended.check_account(sent=300_000)
    assert check_found(ended, disk.folder) == list(range(300_000))
    assert ended.buffer_high_water >= 4 * CHUNK


def test_what_has_no_room_while_the_file_system_is_frozen_is_counted(
    network: Network, disk: Ext4
) -> None:
    capture = network.capture(
        disk.folder / "net1.pcap", "-s", "80", "-C", "2M",
        memory=("--ring", "8M", "--buffer", "8M"),
    )  # fmt: skip
    network.send(10_000)  # the ring has room for all of them
    with disk.frozen():
        network.send(300_000, first=10_000, rate=200_000)
    capture.has_taken(310_000)
    assert len(captures_in(disk.folder)) > 3
    network.send(20_000, first=310_000, rate=50_000)
    ended = capture.end()
    ended.check_account(sent=330_000)
    assert ended.frames_dropped_ring + ended.frames_lost_writer > 50_000
    found = check_found(ended, disk.folder)
    assert found[:10_000] == list(range(10_000))
    assert found[-20_000:] == list(range(310_000, 330_000))  # it went on


@pytest.mark.parametrize("words", ["-C 1M", "-G 0.2", ""])
def test_a_capture_that_is_stopped_while_its_file_system_is_frozen_ends_in_order(
    network: Network, disk: Ext4, words: str
) -> None:
    path = disk.folder / "net1.pcap"
    capture = network.capture(
        path, "-s", "80", *words.split(), memory=("--ring", "64M", "--buffer", "64M")
    )
    network.send(20_000)
    with disk.frozen():
        network.send(100_000, first=20_000)
        capture.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert capture.process.poll() is None  # it has frames that it cannot write
    ended = capture.end(None)
    ended.check_account(sent=120_000)
    if not words:
        path.rename(disk.folder / "net1_1.pcap")
    assert check_found(ended, disk.folder) == list(range(120_000))


def test_a_disk_on_which_files_are_synced_slower_than_they_are_filled_loses_nothing(
    network: Network, disk: Ext4, pressure: Pressure
) -> None:
    """More files than may wait for their names: then frames wait in the buffer."""
    capture = network.capture(
        disk.folder / "net1.pcap", "-s", "80", "-C", "128k", "--pressure", pressure.fd,
        memory=("--ring", "64M", "--buffer", "256M"), pass_fds=(pressure.fd,),
    )  # fmt: skip
    with disk.slow(300_000):
        network.send(150_000, rate=100_000)
        wait_until(lambda: pressure.read().buffer_fill > 9 / 64)
        assert len(captures_in(disk.folder)) < 40  # of 110
    ended = capture.end()
    ended.check_account(sent=150_000)
    assert check_found(ended, disk.folder) == list(range(150_000))
    assert ended.buffer_high_water > 8 * CHUNK  # each holds frames of one file
