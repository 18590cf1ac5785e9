"""What is lost is counted, exactly, and what is not lost is in the file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.live.network import (
    LONGEST_WAIT,
    SOURCE,
    Capture,
    Ended,
    Network,
    captures_in,
    opens_without_a_warning,
    read,
    serials,
)

OTHER = "02:00:00:00:00:0a"


def check_loss(ended: Ended, capture: Capture) -> list[int]:
    """The serial numbers that are there; they are in order, and the loss is told."""
    assert ended.status == 3
    found = serials(ended.frames())
    assert found == sorted(set(found))
    assert len(found) == ended.frames_written
    assert f"{ended.frames_dropped_ring:,} dropped by the ring" in capture.err
    opens_without_a_warning(ended.paths)
    return found


@pytest.mark.parametrize("words", [(), ("-C", "64k"), ("-G", "0.05")], ids=str)
@pytest.mark.parametrize("ring", ["8k", "64k", "1M"])
def test_what_a_ring_that_is_too_small_drops_is_counted(
    network: Network, tmp_path: Path, ring: str, words: tuple[str, ...]
) -> None:
    capture = network.capture(
        tmp_path / "x.pcap", "-s", "80", *words, memory=("--ring", ring, "--buffer", "8M")
    )
    total = 0
    for _ in range(3):
        capture.halt()
        network.send(20_000, first=total)
        capture.send_signal(signal.SIGCONT)
        capture.has_taken(total + 20_000)  # there is room again
        network.send(200, rate=2_000, first=total + 20_000)
        total += 20_200
    ended = capture.end()
    ended.check_account(sent=total)
    assert ended.frames_dropped_ring > 3 * 10_000
    assert ended.ring_full_episodes >= 3
    found = check_loss(ended, capture)
    assert len(found) == total - ended.frames_dropped_ring
    for stop in range(3):  # it went on
        assert set(found) & set(range(stop * 20_200 + 20_000, (stop + 1) * 20_200))


def test_drops_and_rejections_by_a_filter_in_user_space_are_told_apart(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(
        tmp_path / "x.pcap", "-s", "80", 'ContainsBin(FrameData, HEX, "07070809")',
        memory=("--ring", "1M", "--buffer", "8M"),
    )  # fmt: skip
    capture.halt()
    network.send(20_000)
    capture.send_signal(signal.SIGCONT)
    capture.has_taken(20_000)  # there is room for all that follow
    network.send(512, first=1 << 16, rate=5_000)
    ended = capture.end()
    ended.check_account(sent=20_512)
    found = check_loss(ended, capture)
    assert all(number & 0xFF == 7 for number in found)
    assert found[-2:] == [(1 << 16) + 7, (1 << 16) + 256 + 7]
    assert ended.frames_rejected_filter > 0


def test_drops_and_rejections_by_a_filter_in_the_kernel_are_told_apart(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(
        tmp_path / "x.pcap", "-s", "80", "--count-rejected", f"ether src {SOURCE}",
        memory=("--ring", "64k", "--buffer", "8M"),
    )  # fmt: skip
    capture.halt()
    network.send(20_000)
    network.send(7_777, source=OTHER)
    capture.send_signal(signal.SIGCONT)
    ended = capture.end()
    ended.check_account(sent=27_777)
    found = check_loss(ended, capture)
    assert ended.frames_rejected_filter == 7_777
    assert len(found) + ended.frames_dropped_ring == 20_000


# ---- A writer that cannot, or is slow -----------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("-C", "1M"), ("-G", "0.05"), ("-C", "8M")], ids=str)
def test_a_write_that_fails_ends_the_capture_with_an_exact_account(
    network: Network, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """No file may be longer than 900,001 bytes: that ends in the middle of a record."""
    needs("prlimit")
    capture = network.capture(
        tmp_path / "x.pcap", "-s", "80", "--on-full", "stop", *words,
        before=("prlimit", "--fsize=900001"),
    )  # fmt: skip
    network.send(60_000)
    ended = capture.end(None)
    assert ended.status == 1
    assert "File too large" in ended.err
    assert ended.json["balances"] is True
    assert ended.frames_lost_writer > 0
    assert ended.frames_received == (
        ended.frames_written + ended.frames_dropped_ring + ended.frames_lost_writer
    )
    assert ended.frames_written > 900_000 // 96 - 10
    assert serials(ended.frames()) == list(range(ended.frames_written))
    assert captures_in(tmp_path) == sorted(path.name for path in ended.paths)
    opens_without_a_warning(ended.paths)


@pytest.mark.parametrize("there", [b"", b"some bytes that were there before"], ids=["new", "old"])
def test_a_stream_into_a_file_that_cannot_be_written_ends_with_a_whole_record(
    network: Network, tmp_path: Path, there: bytes
) -> None:
    """Where others wrote to the file before, only the counts are exact."""
    needs("prlimit")
    (tmp_path / "x.pcap").write_bytes(there)
    with (tmp_path / "x.pcap").open("ab") as out:
        capture = network.capture(
            "-", "-s", "80", as_json=False, stdout=out, before=("prlimit", "--fsize=900001")
        )
    network.send(60_000)
    status, said = capture.end_of_stream()
    assert status == 1
    assert "File too large" in said
    written = int(re.findall(r"([0-9,]+) written", said)[-1].replace(",", ""))
    lost = int(re.findall(r"([0-9,]+) lost by the writer", said)[-1].replace(",", ""))
    received = int(re.findall(r"([0-9,]+) frames received", said)[-1].replace(",", ""))
    assert received == written + lost
    data = (tmp_path / "x.pcap").read_bytes()
    assert data.startswith(there)
    if not there:
        assert serials(read(tmp_path / "x.pcap")) == list(range(written))
        opens_without_a_warning([tmp_path / "x.pcap"])


def test_a_full_disk_ends_the_capture_with_an_exact_account(
    network: Network, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3M", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small file system")
    try:
        capture = network.capture(folder / "x.pcap", "-C", "1M", "-s", "80", "--on-full", "stop")
        network.send(60_000)
        ended = capture.end(None)
        assert ended.status == 1
        assert "No space left on device" in ended.err
        assert ended.json["balances"]
        assert ended.frames_lost_writer > 0
        assert ended.frames_received == ended.frames_written + ended.frames_lost_writer
        assert serials(ended.frames()) == list(range(ended.frames_written))
        assert ended.frames_written > 30_000
        assert captures_in(folder) == sorted(path.name for path in ended.paths)
        opens_without_a_warning(ended.paths)
    finally:
        subprocess.run(["umount", folder], check=True)


class Slow:
    """A FIFO whose reader reads nothing before `go`."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.path = folder / "fifo"
        self.copy = folder / "copy.pcap"
        os.mkfifo(self.path)
        script = 'exec 3<"$1" && read go && exec cat <&3 >"$2"'
        self.process = network.popen(
            "sh", "-c", script, "sh", self.path, self.copy, stdin=subprocess.PIPE
        )

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def numbers(self) -> list[int]:
        """The frames that it got."""
        assert self.process.wait(LONGEST_WAIT) == 0
        return serials(read(self.copy))


def test_the_buffer_rides_out_a_reader_that_hangs(network: Network, tmp_path: Path) -> None:
    """Half of the buffer's bytes come meanwhile, and several times what the ring holds."""
    slow = Slow(network, tmp_path)
    capture = network.capture(slow.path, "-s", "80", memory=("--ring", "8M", "--buffer", "32M"))
    network.send(150_000, rate=50_000)
    slow.go()
    ended = capture.end()
    ended.check_account(sent=150_000)
    assert ended.status == 0, ended.err
    assert slow.numbers() == list(range(150_000))


def test_a_reader_that_hangs_for_too_long_costs_frames_and_they_are_counted(
    network: Network, tmp_path: Path
) -> None:
    slow = Slow(network, tmp_path)
    capture = network.capture(slow.path, "-s", "80", memory=("--ring", "1M", "--buffer", "8M"))
    network.send(200_000)
    slow.go()
    capture.has_taken(200_000)  # there is room again
    network.send(100, first=1 << 32, rate=5_000)
    ended = capture.end()
    ended.check_account(sent=200_100)
    assert ended.frames_dropped_ring > 50_000
    found = slow.numbers()
    assert found == sorted(set(found))
    assert len(found) == ended.frames_written
    assert found[-1] == (1 << 32) + 99
    assert ended.frames_lost_writer == 0


def test_a_second_signal_ends_a_capture_that_cannot_write(network: Network, tmp_path: Path) -> None:
    slow = Slow(network, tmp_path)
    capture = network.capture(slow.path, "-s", "80", as_json=False)
    network.send(10_000)
    capture.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert capture.process.poll() is None
    while capture.process.poll() is None:  # two that come at once may count as one
        capture.send_signal(signal.SIGINT)
        time.sleep(0.1)
    status, said = capture.end_of_stream()
    assert status == 130
    assert "what is not written yet is lost" in said
