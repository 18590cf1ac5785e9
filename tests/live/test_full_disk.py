"""A file system that fills up, under each policy: the account is exact to the frame."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import disks
from tests.live.disks import frames_in, move_all
from tests.live.network import Capture, Ended, Network, captures_in, read, serials, wait_until

SIZE_MIB = 20
FRAMES, LENGTH = 60_000, 400  # 23.8 MiB in files


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB."""
    with disks.small(tmp_path / "small", SIZE_MIB) as folder:
        yield folder


def balance(ended: Ended) -> None:
    assert ended.json["balances"] is True, ended.err
    assert ended.frames_received == (
        ended.frames_written + ended.frames_dropped_ring + ended.frames_lost_writer
    )


def full(network: Network, folder: Path, *words: object) -> Capture:
    capture = network.capture(
        folder / "net1.pcap", "-C", "2M", *words, memory=("--ring", "64M", "--buffer", "96M")
    )
    network.send(FRAMES, LENGTH)
    return capture


def test_frames_wait_until_there_is_room_again(
    network: Network, small: Path, tmp_path: Path
) -> None:
    capture = full(network, small)
    capture.wait_for("No space left on device: frames wait in memory")
    time.sleep(0.3)

    def goes_on() -> bool:
        move_all(small, tmp_path / "moved")  # those that have their names by then
        return "written again after" in capture.err

    wait_until(goes_on)
    ended = capture.end()
    ended.check_account(sent=FRAMES)
    assert ended.frames_lost_writer == 0
    assert frames_in(tmp_path / "moved", small) == list(range(FRAMES))


def test_frames_that_cannot_wait_any_longer_are_counted(
    network: Network, small: Path, tmp_path: Path
) -> None:
    capture = network.capture(
        small / "net1.pcap", "-C", "512k", memory=("--ring", "64M", "--buffer", "8M")
    )
    network.send(100_000, LENGTH)  # 40 MiB: more than disk and buffer hold
    wait_until(lambda: capture.err.count("No space"))
    # until all but what the buffer holds is lost: for that the disk has room
    capture.wait_for_counts(lambda counts: counts["written"] + counts["lost"] > 79_000)
    move_all(small, tmp_path / "moved")
    capture.wait_for("written again after")
    network.send(1_000, first=100_000)
    time.sleep(1.5)
    ended = capture.end()
    assert ended.status == 3
    balance(ended)
    assert ended.frames_dropped_ring == 0
    assert ended.frames_lost_writer > 0
    found = frames_in(tmp_path / "moved", small)
    assert len(found) == ended.frames_written
    assert found == sorted(set(found))
    assert found[-1_000:] == list(range(100_000, 101_000))


def test_a_capture_that_ends_while_the_disk_is_full_says_what_it_lost(
    network: Network, small: Path
) -> None:
    ended = full(network, small).end()
    assert ended.status == 3
    balance(ended)
    assert ended.frames_lost_writer > 0
    assert frames_in(small) == list(range(ended.frames_written))


def test_the_oldest_files_make_room_where_that_is_asked(network: Network, small: Path) -> None:
    capture = full(network, small, "--on-full", "delete-oldest")
    ended = capture.end()
    ended.check_account(sent=FRAMES)
    found = frames_in(small)
    assert ended.frames_lost_writer == 0
    assert found == list(range(FRAMES - len(found), FRAMES))
    assert len(found) > 30_000


@pytest.mark.parametrize("free", ["1M", "34%"])
def test_space_is_kept_free(network: Network, small: Path, free: str) -> None:
    capture = full(network, small, "--keep-free", free)
    ended = capture.end()
    ended.check_account(sent=FRAMES)
    assert "No space" not in ended.err
    found = frames_in(small)
    assert found == list(range(FRAMES - len(found), FRAMES))
    told = os.statvfs(small)
    kept = 1 << 20 if free == "1M" else told.f_blocks * told.f_frsize * 34 // 100
    assert told.f_bavail * told.f_frsize > kept - 100_000  # for the JSON of the last files


def test_one_file_goes_on_as_well(network: Network, small: Path) -> None:
    """Somebody else filled the disk, and makes room again."""
    filler = small / "filler"
    filler.write_bytes(bytes((SIZE_MIB << 20) - 300_000))
    capture = network.capture(small / "one.pcap")
    network.send(20_000)
    capture.wait_for("No space left on device")
    filler.unlink()
    capture.wait_for("written again after")
    ended = capture.end()
    ended.check_account(sent=20_000)
    assert serials(read(small / "one.pcap")) == list(range(20_000))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-W 3", "files"),
        ("--keep-free 4M", "keep-free"),
        ("--on-full delete-oldest", "full"),
    ],
)
def test_what_is_deleted_is_an_event_with_its_numbers(
    network: Network, small: Path, tmp_path: Path, words: str, why: str
) -> None:
    ended = full(network, small, *words.split(), "--events", tmp_path / "events").end()
    ended.check_account(sent=FRAMES)
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    files = {line["path"]: line for line in lines if line["event"] == "file"}
    deleted = [line for line in lines if line["event"] == "deleted"]
    assert len(deleted) > 1
    for line in deleted:
        told = files.pop(line["path"])  # before it, and once
        assert line["why"] == why
        for name in ("frames", "bytes", "first_ns", "last_ns"):
            assert line[name] == told[name]
    assert sorted(os.path.basename(path) for path in files) == captures_in(small)
    assert sum(line["frames"] for line in deleted) + len(frames_in(small)) == FRAMES


# ---- Full, emptied, and full again --------------------------------------------------------------


def test_a_disk_that_fills_twice_loses_nothing_that_can_wait(
    network: Network, small: Path, tmp_path: Path
) -> None:
    capture = full(network, small)
    capture.wait_for("No space left on device: frames wait in memory")
    move_all(small, tmp_path / "moved")
    capture.wait_for("written again after")
    network.send(FRAMES, LENGTH, first=FRAMES)
    wait_until(lambda: capture.err.count("No space left on device: frames wait in memory") == 2)
    move_all(small, tmp_path / "moved")
    wait_until(lambda: capture.err.count("written again after") == 2)
    ended = capture.end()
    ended.check_account(sent=2 * FRAMES)
    assert ended.frames_lost_writer == 0
    assert frames_in(tmp_path / "moved", small) == list(range(2 * FRAMES))


def test_a_disk_that_fills_twice_keeps_the_newest_where_that_is_asked(
    network: Network, small: Path
) -> None:
    capture = full(network, small, "--on-full", "delete-oldest")
    wait_until(lambda: captures_in(small)[:1] > ["net1_00000002"])  # it was full
    for name in captures_in(small):
        (small / name).unlink(missing_ok=True)  # it may have been deleted meanwhile
    network.send(FRAMES, LENGTH, first=FRAMES)
    ended = capture.end()
    ended.check_account(sent=2 * FRAMES)
    assert ended.frames_lost_writer == 0
    found = frames_in(small)
    assert found == list(range(2 * FRAMES - len(found), 2 * FRAMES))
    assert len(found) > 30_000


def test_a_capture_that_is_to_stop_stops_whenever_the_disk_is_full(
    network: Network, small: Path, tmp_path: Path
) -> None:
    for number in range(2):
        ended = full(network, small, "--on-full", "stop").end(None)
        assert ended.status == 1
        assert "No space left on device" in ended.err
        balance(ended)
        moved = tmp_path / f"moved{number}"
        move_all(small, moved)
        found = frames_in(moved)
        assert found == list(range(ended.frames_written))
        assert len(found) > 40_000
        for path in small.glob("*.json"):
            path.unlink()
