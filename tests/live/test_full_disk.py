"""A file system that fills up, under each policy: the account is exact to the frame."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.network import (
    Capture,
    Ended,
    Network,
    opens_without_a_warning,
    read,
    serials,
    wait_until,
)

FRAMES = 60_000  # of 80 bytes: 5.5 MiB
SIZE_MIB = 3


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}M", "none", folder],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # a capture may still be there


def move_all(folder: Path, to: Path) -> None:
    """What a job does that takes finished files away, and does not wait for their JSON."""
    to.mkdir(exist_ok=True)
    for path in folder.glob("net1_*.pcap"):
        shutil.copy(path, to / path.name)
        path.unlink()


def frames_in(*folders: Path) -> list[int]:
    paths = [path for folder in folders for path in folder.glob("net1_*.pcap")]
    paths.sort(key=lambda path: path.name)
    opens_without_a_warning(paths)
    return [number for path in paths for number in serials(read(path))]


def balance(ended: Ended) -> None:
    assert ended.json["balances"] is True, ended.err
    assert ended.frames_received == (
        ended.frames_written + ended.frames_dropped_ring + ended.frames_lost_writer
    )


def full(network: Network, folder: Path, *words: object) -> Capture:
    capture = network.capture(
        folder / "net1.pcap", "-C", "512k", "-s", "80", *words,
        memory=("--ring", "64M", "--buffer", "96M"),
    )  # fmt: skip
    network.send(FRAMES)
    return capture


def test_frames_wait_until_there_is_room_again(
    network: Network, small: Path, tmp_path: Path
) -> None:
    capture = full(network, small)
    capture.wait_for("No space left on device: frames wait in memory")
    time.sleep(0.3)
    for _ in range(3):
        move_all(small, tmp_path / "moved")
        time.sleep(0.3)
    capture.wait_for("written again after")
    ended = capture.end()
    ended.check_account(sent=FRAMES)
    assert ended.frames_lost_writer == 0
    assert frames_in(tmp_path / "moved", small) == list(range(FRAMES))


def test_frames_that_cannot_wait_any_longer_are_counted(
    network: Network, small: Path, tmp_path: Path
) -> None:
    capture = network.capture(
        small / "net1.pcap", "-C", "512k", "-s", "80", memory=("--ring", "64M", "--buffer", "8M")
    )
    network.send(200_000)  # 18 MiB: more than disk and buffer hold
    wait_until(lambda: capture.err.count("No space"))
    time.sleep(1)
    move_all(small, tmp_path / "moved")
    capture.wait_for("written again after")
    network.send(1_000, first=200_000)
    time.sleep(1.5)
    ended = capture.end()
    assert ended.status == 3
    balance(ended)
    assert ended.frames_dropped_ring == 0
    assert ended.frames_lost_writer > 0
    found = frames_in(tmp_path / "moved", small)
    assert len(found) == ended.frames_written
    assert found == sorted(set(found))
    assert found[-1_000:] == list(range(200_000, 201_000))


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
    assert len(found) > 10_000


@pytest.mark.parametrize("free", ["1M", "34%"])
def test_space_is_kept_free(network: Network, small: Path, free: str) -> None:
    capture = full(network, small, "--keep-free", free)
    ended = capture.end()
    ended.check_account(sent=FRAMES)
    assert "No space" not in ended.err
    found = frames_in(small)
    assert found == list(range(FRAMES - len(found), FRAMES))
    told = os.statvfs(small)
    assert told.f_bavail * told.f_frsize > (1 << 20) - 600_000


def test_one_file_goes_on_as_well(network: Network, small: Path) -> None:
    """Somebody else filled the disk, and makes room again."""
    filler = small / "filler"
    filler.write_bytes(bytes((SIZE_MIB << 20) - 300_000))
    capture = network.capture(small / "one.pcap", "-s", "80")
    network.send(20_000)
    capture.wait_for("No space left on device")
    filler.unlink()
    capture.wait_for("written again after")
    ended = capture.end()
    ended.check_account(sent=20_000)
    assert serials(read(small / "one.pcap")) == list(range(20_000))
