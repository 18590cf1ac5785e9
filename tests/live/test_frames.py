"""Without a filter every frame that is sent is in the file once, in order, as it was sent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.live.network import (
    FAR,
    LONGEST_WAIT,
    Capture,
    Network,
    opens_without_a_warning,
    read,
    sent_frame,
    serials,
)
from tests.pcaps import Frame

EVERYTHING = 262144  # the default snaplen


def check_frames(frames: list[Frame], count: int, size: int, snaplen: int = EVERYTHING) -> None:
    """These are the frames 0, 1, … in order, each cut at `snaplen` and otherwise as it was sent."""
    assert len(frames) == count
    for number, frame in enumerate(frames):
        assert frame.data == sent_frame(number, size)[:snaplen], number
        assert frame.wire == size


@pytest.mark.parametrize("snaplen", [80, EVERYTHING])
@pytest.mark.parametrize("size", [60, 80, 600, 1500])
@pytest.mark.parametrize(
    ("rate", "count"),
    [(20_000, 3_000), (200_000, 20_000), (0, 40_000)],
    ids=["20k/s", "200k/s", "unlimited"],
)
def test_every_frame_is_there_once_in_order_and_accounted_for(
    network: Network, tmp_path: Path, rate: int, count: int, size: int, snaplen: int
) -> None:
    path = tmp_path / "x.pcap"
    capture = network.capture(path, "-s", snaplen, memory=("--ring", "256M", "--buffer", "16M"))
    network.send(count, size, rate=rate)
    ended = capture.end()
    ended.check_account(sent=count)
    assert ended.paths == [path]
    check_frames(ended.frames(), count, size, snaplen)
    opens_without_a_warning(ended.paths)


def test_ten_times_as_much_as_the_buffers_hold_is_all_there(
    network: Network, tmp_path: Path
) -> None:
    """Every chunk and every block of the ring is used many times over."""
    count = 300_000
    capture = network.capture(
        tmp_path / "x.pcap", "-s", "300", memory=("--ring", "8M", "--buffer", "8M")
    )
    network.send(count, 300, rate=150_000)
    ended = capture.end()
    ended.check_account(sent=count)
    if ended.status == 0:
        assert serials(ended.frames()) == list(range(count))
    else:  # a busy machine: what was dropped is counted, the others are there
        found = serials(ended.frames())
        assert found == sorted(set(found))
        assert len(found) == count - ended.frames_dropped_ring


def test_frames_as_long_as_the_link_allows_are_whole(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap")
    network.send(2_000, 9014)
    ended = capture.end()
    ended.check_account(sent=2_000)
    check_frames(ended.frames(), 2_000, 9014)


@pytest.mark.parametrize("snaplen", [1, 13, 14, 22, 79, 80, 81])
def test_a_frame_is_cut_at_the_snaplen_and_not_a_byte_off(
    network: Network, tmp_path: Path, snaplen: int
) -> None:
    capture = network.capture(tmp_path / "x.pcap", "-s", snaplen)
    network.send(100, 80)
    ended = capture.end()
    ended.check_account(sent=100)
    assert ended.json["snaplen"] == snaplen
    check_frames(ended.frames(), 100, 80, snaplen)
    opens_without_a_warning(ended.paths)


def test_frames_sent_the_moment_it_says_that_it_captures_are_there(
    network: Network, tmp_path: Path
) -> None:
    """The sender is running before, so that nothing but a pipe lies between."""
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)\n"
        "s.bind((sys.argv[1], 0))\n"
        "print('ready', flush=True)\n"
        "for line in sys.stdin:\n"
        "    s.send(bytes.fromhex(line))\n"
        "    print('sent', flush=True)\n"
    )
    sender = network.popen(
        sys.executable, "-c", code, "v0", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    assert sender.stdout.readline() == "ready\n"
    for number in range(6):
        capture = network.capture(tmp_path / f"{number}.pcap")
        sender.stdin.write(sent_frame(number, 60).hex() + "\n")
        sender.stdin.flush()
        assert sender.stdout.readline() == "sent\n"
        ended = capture.end()
        ended.check_account(sent=1)
        assert serials(ended.frames()) == [number]


def test_senders_on_several_processors_at_once_lose_nothing(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "x.pcap", "-s", "64")
    sources = [f"02:00:00:00:01:0{number}" for number in range(3)]
    senders = [
        network.sending(30_000, 100, first=number << 32, source=source)
        for number, source in enumerate(sources)
    ]
    for sender in senders:
        sender.communicate(timeout=LONGEST_WAIT)
    network.send(1, 100)
    ended = capture.end()
    ended.check_account(sent=90_001)
    frames = [frame.data for frame in ended.frames()]
    for number, source in enumerate(sources):
        theirs = [data for data in frames if data[6:12].hex(":") == source]
        first = number << 32
        assert theirs == [
            sent_frame(serial, 100, source=source)[:64] for serial in range(first, first + 30_000)
        ]


@pytest.mark.parametrize("precision", ["nano", "micro"])
def test_times_are_the_clocks_and_never_go_back(
    network: Network, tmp_path: Path, precision: str
) -> None:
    before = time.time_ns()
    capture = network.capture(tmp_path / "x.pcap", "--precision", precision)
    network.send(2_000, rate=10_000)
    ended = capture.end()
    times = [frame.time for frame in ended.frames()]
    assert times == sorted(times)
    assert before - 1000 <= times[0] <= times[-1] <= time.time_ns()
    assert any(moment % 1000 for moment in times) == (precision == "nano")
    magic = int.from_bytes((tmp_path / "x.pcap").read_bytes()[:4], sys.byteorder)
    assert magic == {"nano": 0xA1B23C4D, "micro": 0xA1B2C3D4}[precision]


@pytest.mark.parametrize("tool", ["tcpdump", "capinfos"])
@pytest.mark.parametrize(
    "words", ["", "-s 20", "-G 0.1", "-C 100k", "--precision micro", "-G 0.05 -C 64k -s 70"]
)
def test_other_tools_open_every_file_without_a_warning(
    network: Network, tmp_path: Path, tool: str, words: str
) -> None:
    needs(tool)
    capture = network.capture(tmp_path / "x.pcap", *words.split())
    network.send(4_000, 100, rate=20_000)
    network.send(10, 100, tags="88a8:2005,8100:a064")
    ended = capture.end()
    ended.check_account(sent=4_010)
    opens_without_a_warning(ended.paths, [tool])


# ---- Standard output ----------------------------------------------------------------------------


def reading(capture: Capture, *command: object) -> subprocess.Popen[str]:
    """Reads a capture's standard output, and is the only one to have the other end."""
    stdout = capture.process.stdout
    assert stdout is not None
    with stdout:
        return subprocess.Popen(
            [*map(str, command)], stdin=stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace",
        )  # fmt: skip


def test_standard_output_is_a_capture_that_tcpdump_reads_to_its_end(network: Network) -> None:
    tcpdump = needs("tcpdump")
    capture = network.capture("-", "-s", "80", as_json=False)
    reader = reading(capture, tcpdump, "-n", "--count", "-r", "-")
    network.send(50_000, 200)
    capture.send_signal(signal.SIGINT)
    status, said = capture.end_of_stream()
    out, err = reader.communicate(timeout=LONGEST_WAIT)
    assert (status, out) == (0, "50000 packets\n"), said + err
    assert "50,000 written" in said


def test_standard_output_is_not_kept_waiting_for_more_frames(network: Network) -> None:
    capture = network.capture("-", as_json=False)
    reader = reading(capture, "head", "-c", 24 + 16 + 60)
    network.send(1, 60)
    reader.communicate(timeout=LONGEST_WAIT)  # while the capture runs
    assert capture.process.poll() is None
    capture.send_signal(signal.SIGINT)
    status, said = capture.end_of_stream()
    assert status == 0, said


def test_a_reader_of_standard_output_that_leaves_ends_it_cleanly(network: Network) -> None:
    capture = network.capture("-", as_json=False)
    reader = reading(capture, "head", "-c", 100)
    sender = network.sending(10_000_000, 60, rate=50_000)
    status, said = capture.end_of_stream()
    sender.kill()
    assert status == 0, said
    assert "closed it" in said
    reader.communicate(timeout=LONGEST_WAIT)


# ---- What it tells ------------------------------------------------------------------------------


def test_the_json_report_has_the_shape_that_scripts_rely_on(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "x.pcap", "-s", "80")
    network.send(10, 100)
    ended = capture.end()
    told = ended.json
    assert (told["interface"], told["linktype"], told["snaplen"]) == (FAR, "ETHERNET", 80)
    assert (told["filter"], told["filter_runs_in"]) == (None, None)
    assert told["elapsed_s"] > 0
    promised = {
        "frames_received": 10,
        "frames_written": 10,
        "frames_dropped_ring": 0,
        "ring_full_episodes": 0,
        "frames_missed_interface": 0,
        "frames_lost_writer": 0,
        "frames_rejected_filter": None,
    }
    account = told["account"]
    assert {name: account[name] for name in promised} == promised
    assert account["buffer_high_water"] >= 24 + 10 * 96
    assert account["longest_block_wait_us"] >= 0
    (output,) = told["outputs"]
    assert list(output) == [
        "path", "frames", "bytes", "first_ns", "last_ns", "first", "last", "frames_dropped_within",
        "gaps",
    ]  # fmt: skip
    assert output["frames"] == 10
    assert output["bytes"] == 24 + 10 * 96
    assert "10 frames received, 10 written" in ended.err


def test_without_json_standard_output_stays_empty(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap", as_json=False)
    network.send(10)
    capture.send_signal(signal.SIGINT)
    status, said = capture.end_of_stream()
    assert status == 0
    assert capture.process.stdout is not None
    assert capture.process.stdout.read() == ""
    assert said.splitlines()[-1].startswith("fastcap: 10 frames received, 10 written")
    assert serials(read(tmp_path / "x.pcap")) == list(range(10))
