"""pcapng output: whole files with their statistics, and marks exactly where frames are missing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fastcap import sidecar
from tests.conftest import needs
from tests.live.network import Capture, Ended, Network, serials, wait_until
from tests.pcaps import Frame

SMALL = ("--ring", "64k", "--buffer", "8M")
SECTION, INTERFACE, STATISTICS, FRAME = 0x0A0D0D0A, 1, 5, 6
COMMENT, START, END, RECEIVED, MISSED, ACCEPTED, DROPPED, DELIVERED = range(1, 9)
DROP_COUNT = 4


class File(NamedTuple):
    """A pcapng, read slowly: the options of its section and its interface, its frames, what is
    missing before some of them by their number, and the options of its statistics if it has any."""

    section: dict[int, bytes]
    interface: dict[int, bytes]
    frames: list[Frame]
    missing: dict[int, int]
    statistics: dict[int, bytes] | None

    def count(self, code: int) -> int:
        assert self.statistics is not None
        (count,) = struct.unpack("=Q", self.statistics[code])
        return int(count)

    def moment(self, code: int) -> int:
        assert self.statistics is not None
        high, low = struct.unpack("=II", self.statistics[code])
        return int(high << 32 | low)


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        code, length = struct.unpack_from("=HH", data)
        if code == 0:
            assert data == bytes(4)
            break
        assert code not in found
        found[code] = data[4 : 4 + length]
        padded = 4 + length + -length % 4
        assert not any(data[4 + length : padded])
        data = data[padded:]
    return found


def read(path: Path) -> File:
    """Every byte of it is looked at."""
    data = path.read_bytes()
    blocks = []
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length % 4 == 0
        assert 12 <= length <= len(data) - at
        assert data[at + length - 4 : at + length] == data[at + 4 : at + 8]
        blocks.append((kind, data[at + 8 : at + length - 4]))
        at += length
    (kind, body), (second, described), *rest = blocks
    assert (kind, second) == (SECTION, INTERFACE)
    assert struct.unpack_from("=IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
    frames: list[Frame] = []
    missing: dict[int, int] = {}
    statistics = None
    interface = options(described[8:])
    tick = 10 ** (9 - interface[9][0])
    for kind, body in rest:
        assert statistics is None, "they stand at the end"
        if kind == STATISTICS:
            statistics = options(body[12:])
            continue
        assert kind == FRAME
        number, high, low, captured, wire = struct.unpack_from("=IIIII", body)
        assert number == 0
        behind = 20 + captured + -captured % 4
        assert not any(body[20 + captured : behind])
        told = options(body[behind:])
        if told:
            assert list(told) == [DROP_COUNT]
            (missing[len(frames)],) = struct.unpack("=Q", told[DROP_COUNT])
        frames.append(Frame((high << 32 | low) * tick, wire, body[20 : 20 + captured]))
    return File(options(blocks[0][1][16:]), interface, frames, missing, statistics)


def check(path: Path) -> File:
    """Peers read it without a warning, and what they read is what we do."""
    file = read(path)
    wanted = "frame.drop_count"
    for tool, command in (
        ("capinfos", ("-c", "-T", "-M", "-r", path)),
        ("tcpdump", ("-Z", "root", "-n", "--count", "-r", path)),
        ("tshark", ("-n", "-r", path, "-Y", wanted, "-T", "fields", "-e", "frame.number",
                    "-e", wanted)),
    ):  # fmt: skip
        if shutil.which(tool) is None:
            continue
        done = subprocess.run([tool, *command], capture_output=True, text=True, check=True)
        said = [line for line in done.stderr.splitlines()
                if not line.startswith(("reading from file", "Running as user"))]  # fmt: skip
        assert said == []
        if tool == "capinfos":
            assert int(done.stdout.split("\t")[1]) == len(file.frames)
        elif tool == "tcpdump":
            assert done.stdout.split()[0] == str(len(file.frames))
        else:
            rows = [line.split("\t") for line in done.stdout.splitlines()]
            assert {int(row[0]) - 1: int(row[1]) for row in rows} == file.missing
    return file


def check_all(ended: Ended) -> list[File]:
    """All files of a capture: the JSON of each says what is in it, and the statistics add up."""
    files = []
    until = 0
    for output in ended.json["outputs"]:
        path = Path(output["path"])
        file = check(path)
        files.append(file)
        assert output["bytes"] == path.stat().st_size
        assert output["frames"] == len(file.frames)
        record = json.loads(Path(sidecar.path_of(str(path))).read_text())
        assert {name: record[name] for name in output} == output
        within = {gap["before_frame"]: gap["frames"] for gap in output["gaps"]}
        at_end = within.pop(len(file.frames), 0)
        assert within == file.missing
        for gap in output["gaps"]:
            if gap["before_frame"] < len(file.frames):
                assert gap["time_ns"] == file.frames[gap["before_frame"]].time
        assert output["frames_dropped_within"] == sum(file.missing.values()) + at_end
        assert file.count(DROPPED) == output["frames_dropped_within"]
        assert file.count(DELIVERED) == len(file.frames)
        assert file.moment(START) >= until
        assert file.moment(START) <= file.moment(END) + 1
        until = file.moment(END)
    assert sum(file.count(DROPPED) for file in files) == ended.frames_dropped_ring
    assert sum(file.count(DELIVERED) for file in files) == ended.frames_written
    return files


def jumps(numbers: list[int], first: int = 0) -> dict[int, int]:
    """Where serial numbers jump, and by how many."""
    found = {}
    for at, number in enumerate(numbers):
        if number != first:
            found[at] = number - first
        first = number + 1
    return found


def stopped(network: Network, path: Path, *words: object, rounds: int = 3) -> tuple[Ended, int]:
    """A capture that is stopped several times while its ring overflows, and the frames sent."""
    capture = network.capture(path, "-s", "80", *words, memory=SMALL)
    total = 0
    for _ in range(rounds):
        network.send(700, first=total, rate=20_000)
        capture.halt()
        network.send(5_000, first=total + 700)
        capture.send_signal(signal.SIGCONT)
        network.send(1_300, first=total + 5_700, rate=20_000)
        total += 7_000
    return capture.end(), total


@pytest.mark.parametrize("words", [(), ("-C", "100k"), ("-G", "0.05")], ids=str)
def test_each_mark_stands_where_serial_numbers_jump_by_exactly_as_many(
    network: Network, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ended, total = stopped(network, tmp_path / "x.pcapng", *words)
    ended.check_account(sent=total)
    assert ended.frames_dropped_ring > 3 * 4_000
    files = check_all(ended)
    frames = [frame for file in files for frame in file.frames]
    marks: dict[int, int] = {}
    at = 0
    for file in files:
        marks.update({at + number: missing for number, missing in file.missing.items()})
        at += len(file.frames)
    assert marks == jumps(serials(frames))
    assert len(marks) >= 3
    assert sum(marks.values()) == ended.frames_dropped_ring


def test_under_a_load_that_never_ends_each_gap_has_its_mark(
    network: Network, tmp_path: Path
) -> None:
    """A filter that takes long, and more frames than it can look at: the ring is full all the time.
    Where the reader is held up for a moment frames of two gaps may stand at the first of them."""
    slow = " OR ".join(f'ContainsBin(FrameData, HEX, "0708{i:02x}0a")' for i in range(9, 60))
    capture = network.capture(
        tmp_path / "x.pcapng", f"NOT ({slow}) OR Blob(FrameData, 12, 2) == 0x88b5", memory=SMALL
    )
    network.send(100_000, 1_000)
    ended = capture.end()
    ended.check_account(sent=100_000)
    if ended.frames_dropped_ring == 0:
        pytest.skip("nothing was dropped")
    (path,) = ended.paths
    file = check(path)
    numbers = serials(file.frames)
    truth = jumps(numbers)
    assert set(file.missing) <= set(truth)
    told = here = 0
    for at in range(len(numbers)):
        told += file.missing.get(at, 0)
        here += truth.get(at, 0)
        assert told >= here  # never at a later place
    (output,) = ended.json["outputs"]
    rest = 99_999 - numbers[-1]
    assert output["frames_dropped_within"] == ended.frames_dropped_ring == here + rest
    assert len(output["gaps"]) <= 100
    assert file.count(DROPPED) == ended.frames_dropped_ring


def test_pcap_has_the_same_places_in_its_json(network: Network, tmp_path: Path) -> None:
    ended, total = stopped(network, tmp_path / "x.pcap", "-C", "100k")
    ended.check_account(sent=total)
    found: dict[int, int] = {}
    at = 0
    for output in ended.json["outputs"]:
        for gap in output["gaps"]:
            found[at + gap["before_frame"]] = gap["frames"]
        at += output["frames"]
    assert found == jumps(serials(ended.frames()))


def test_a_file_says_what_it_is_and_who_wrote_it(network: Network, tmp_path: Path) -> None:
    expression = "ether src 02:00:00:00:00:01"
    before = time.time_ns()
    capture = network.capture(
        tmp_path / "x.pcapng", "-s", "80", "--count-rejected", "--precision", "micro", expression
    )
    network.send(300, 200)
    network.send(77, source="02:00:00:00:00:0a")
    network.send(100, 333, first=300, tags="8100:0007")
    ended = capture.end()
    ended.check_account(sent=477)
    (file,) = check_all(ended)
    assert serials(file.frames) == list(range(400))
    assert {frame.wire for frame in file.frames} == {200, 333}
    assert {len(frame.data) for frame in file.frames} == {80}
    assert file.section[4].startswith(b"fastcap ")
    assert file.section[3].startswith(b"Linux ")
    assert file.interface[2] == b"v1"
    assert file.interface[9] == b"\x06"
    assert file.interface[11] == b"\x00" + expression.encode()
    assert file.count(RECEIVED) == 477
    assert file.count(ACCEPTED) == file.count(DELIVERED) == 400
    assert (file.count(DROPPED), file.count(MISSED)) == (0, 0)
    assert before // 1000 <= file.moment(START) <= file.moment(END) <= time.time_ns() // 1000
    assert all(before <= frame.time + 1000 for frame in file.frames)
    assert {frame.time % 1000 for frame in file.frames} == {0}


@pytest.mark.parametrize("size", [2_048, 65_536])
def test_files_that_rotate_are_whole_and_no_longer_than_they_may_be(
    network: Network, tmp_path: Path, size: int
) -> None:
    count = 2_000 if size < 10_000 else 40_000
    capture = network.capture(tmp_path / "x.pcapng", "-C", f"{size // 1024}k", "-s", "81")
    network.send(count, rate=20_000, size=90)
    ended = capture.end()
    ended.check_account(sent=count)
    record = 32 + 84
    for path in ended.paths:
        assert size - record - 250 < path.stat().st_size <= size or path == ended.paths[-1]
    if size > 10_000:
        files = check_all(ended)
    else:
        files = [read(path) for path in ended.paths]
        check(ended.paths[0])
    assert serials([frame for file in files for frame in file.frames]) == list(range(count))
    assert len(files) > 50


def test_a_stream_is_pcapng_where_that_is_asked_for(network: Network, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        capture = network.capture("-", "--format", "pcapng", as_json=False, stdout=out)
    network.send(100)
    capture.send_signal(signal.SIGINT)
    status, said = capture.end_of_stream()
    assert status == 0, said
    file = check(tmp_path / "out")
    assert serials(file.frames) == list(range(100))
    assert file.count(DELIVERED) == 100


def test_a_name_does_not_decide_where_the_format_is_given(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcapng", "--format", "pcap")
    network.send(10)
    ended = capture.end()
    assert serials(ended.frames()) == list(range(10))


def test_kill_9_leaves_files_that_the_next_start_ends_at_their_last_whole_block(
    network: Network, tmp_path: Path, rng: random.Random
) -> None:
    sender = network.sending(1 << 40, 601, rate=100_000)
    last, frames, recovered = -1, 0, 0

    def unfinished() -> list[int]:
        return [path.stat().st_size for path in tmp_path.glob(".net1_*.capturing")]

    rounds = ("-C 9M", "-C 64k", "-G 0.05", "-C 1G", "-C 1G -s 61", "-C 1G")
    for number, words in enumerate(rounds):
        capture = network.capture(tmp_path / "net1.pcapng", *words.split())
        recovered += capture.err.count("frames are whole")
        if number == 5:  # so that one surely leaves so many frames
            wait_until(lambda: any(size > 1 << 20 for size in unfinished()))
        time.sleep(0.1 + rng.random() * 0.2)
        capture.send_signal(signal.SIGKILL)
        capture.process.wait()
    sender.kill()
    sender.wait()
    capture = network.capture(tmp_path / "net1.pcapng", "-C", "1G")
    recovered += capture.err.count("frames are whole")
    capture.end()
    paths = sorted(tmp_path.glob("net1_*.pcapng"))
    for path in paths:
        file = check(path) if path in paths[-2:] else read(path)
        numbers = serials(file.frames)
        assert numbers[0] > last
        assert numbers == sorted(set(numbers))
        last = numbers[-1]
        frames += len(numbers)
        beside = Path(sidecar.path_of(str(path)))  # but for one that was named just before a kill
        told = json.loads(beside.read_text()) if beside.exists() else {}
        assert told.get("frames", len(numbers)) == len(numbers)
        if told.get("recovered"):
            assert (told["first_ns"], told["last_ns"]) == (
                file.frames[0].time,
                file.frames[-1].time,
            )
    assert frames > 1_000
    assert recovered > 0
    assert not list(tmp_path.glob(".net1_*"))


def test_what_is_cut_off_is_told(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcapng", "-C", "1G")
    network.send(20_000, 1_000)

    def torn() -> list[Path]:
        there = tmp_path.glob(".net1_*.capturing")
        return [path for path in there if path.stat().st_size > 12 << 20]

    wait_until(torn)
    capture.send_signal(signal.SIGKILL)
    capture.process.wait()
    (path,) = torn()
    header = 8 + path.read_bytes().index(b"\x00\x06\x00\x00\x00") + 1 - 8
    length = path.stat().st_size // 1_032 * 1_032 - 500
    os.truncate(path, length)
    whole, rest = divmod(length - header, 1_032)
    capture = network.capture(tmp_path / "net1.pcapng", "-C", "1G")
    assert f"{whole:,} frames are whole, {rest:,} bytes behind them cut off" in capture.err
    capture.end()
    (recovered,) = tmp_path.glob("net1_*.pcapng")
    file = check(recovered)
    assert serials(file.frames) == list(range(whole))
    assert file.statistics is None


# ---- A disk that is full ------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3M", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_frames_that_a_full_disk_cost_are_told_in_the_file_that_misses_them(
    network: Network, small: Path, tmp_path: Path
) -> None:
    (small / "ballast").write_bytes(bytes(2 << 20))
    capture: Capture = network.capture(small / "x.pcapng", "-C", "1G", "-s", "80", memory=(
        "--ring", "64M", "--buffer", "8M"))  # fmt: skip
    network.send(200_000)  # 21 MiB: more than disk and buffer hold
    capture.wait_for("No space left on device: frames wait in memory")
    capture.wait_for_counts(lambda counts: counts["lost"] > 0)
    (small / "ballast").unlink()
    capture.wait_for("written again after")
    time.sleep(0.3)
    ended = capture.end()
    ended.check_account(sent=200_000)
    assert ended.frames_lost_writer > 0
    (path,) = ended.paths
    moved = tmp_path / "x.pcapng"
    file = read(path)
    shutil.copy(path, moved)
    check(moved)
    assert len(file.frames) == ended.frames_written
    if file.statistics is None:  # the disk had no room for them
        assert "the statistics at its end are missing" in ended.err
        return
    assert file.count(DELIVERED) == ended.frames_written
    assert file.count(ACCEPTED) == 200_000
    lost = f"{ended.frames_lost_writer} frames lost by the writer"
    assert file.statistics[COMMENT].decode() == lost


def test_peers_show_the_statistics(network: Network, tmp_path: Path) -> None:
    needs("tshark")
    ended, _ = stopped(network, tmp_path / "x.pcapng", rounds=1)
    (path,) = ended.paths
    done = subprocess.run(["capinfos", "-I", path], capture_output=True, text=True, check=True)
    assert "Number of stat entries = 1" in done.stdout
