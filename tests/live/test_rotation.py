"""Files that rotate: which frame is where, what files are called, which are kept."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.live.network import (
    Ended,
    Network,
    captures_in,
    opens_without_a_warning,
    read,
    serials,
    wait_until,
)

NAME = re.compile(r"net1_(\d{8})_(\d{8}T\d{6}Z)\.pcap")
INTERVAL = 50_000_000  # nanoseconds
OTHER = "02:00:00:00:00:0a"


def finished(folder: Path) -> list[str]:
    return captures_in(folder)


def check_names(ended: Ended, folder: Path) -> None:
    """Files sort by name as they were written, and nothing else is there."""
    names = [path.name for path in ended.paths]
    assert names == sorted(names) == finished(folder)
    numbers = []
    for path in ended.paths:
        match = NAME.fullmatch(path.name)
        assert match
        numbers.append(int(match[1]))
        first = min(frame.time for frame in read(path)) // 10**9
        assert match[2] == time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(first))
    assert numbers == list(range(1, len(names) + 1))


def check_intervals(ended: Ended, several: bool) -> None:
    """A file's frames are of one interval, and later files' of later ones, or, where `several` may
    share one, of none before."""
    found = []
    for path in ended.paths:
        (interval,) = {frame.time // INTERVAL for frame in read(path)}
        found.append(interval)
    assert found == sorted(found if several else set(found))


@pytest.mark.parametrize(
    "words",
    [["-G", "0.05"], ["-C", "64k"], ["-G", "0.05", "-C", "64k"], ["-G", "0.05", "-s", "60"]],
    ids=" ".join,
)
@pytest.mark.parametrize("rate", [20_000, 0], ids=["20k/s", "unlimited"])
def test_rotation_under_load_loses_nothing(
    network: Network, tmp_path: Path, words: list[str], rate: int
) -> None:
    count = 10_000 if rate else 150_000
    capture = network.capture(tmp_path / "net1.pcap", "-s", "80", *words)
    network.send(count, rate=rate)
    ended = capture.end()
    ended.check_account(sent=count)
    assert serials(ended.frames()) == list(range(count))
    check_names(ended, tmp_path)
    assert len(ended.paths) >= 2
    if "-G" in words:
        check_intervals(ended, several="-C" in words)
    if "-C" in words:
        sizes = [path.stat().st_size for path in ended.paths]
        assert max(sizes) <= 65536
    if words == ["-C", "64k"]:
        assert min(sizes[:-1]) > 65536 - 96
    opens_without_a_warning(ended.paths)


def test_a_plain_size_is_millions_of_bytes_as_tcpdump_has_it(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1", "-s", "80")
    network.send(40_000)
    ended = capture.end()
    assert 999_904 < ended.paths[0].stat().st_size <= 1_000_000


def test_a_file_is_filled_to_its_last_byte(network: Network, tmp_path: Path) -> None:
    """431 records of 152 bytes and the header are exactly 64 KiB."""
    capture = network.capture(tmp_path / "net1.pcap", "-C", "64k")
    network.send(1_000, 152 - 16)
    ended = capture.end()
    ended.check_account(sent=1_000)
    assert [path.stat().st_size for path in ended.paths] == [65536, 65536, 24 + 138 * 152]
    assert serials(ended.frames()) == list(range(1_000))


def test_a_record_that_is_longer_than_a_file_may_be_has_one_of_its_own(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1k")
    network.send(3, 1_500)
    network.send(2, 400, first=3)
    ended = capture.end()
    ended.check_account(sent=5)
    assert [output["frames"] for output in ended.json["outputs"]] == [1, 1, 1, 2]
    assert serials(ended.frames()) == list(range(5))


def test_a_file_ends_with_its_interval_although_nothing_more_comes(
    network: Network, tmp_path: Path
) -> None:
    def frames() -> int:
        return sum(len(read(tmp_path / name)) for name in finished(tmp_path))

    capture = network.capture(tmp_path / "net1.pcap", "-G", "0.5")
    network.send(10)
    wait_until(lambda: frames() == 10)
    names = finished(tmp_path)
    assert len(names) <= 2  # where an interval ended between two frames
    time.sleep(1.2)  # silent intervals
    assert finished(tmp_path) == names
    network.send(10, first=10)
    wait_until(lambda: frames() == 20)
    ended = capture.end()
    ended.check_account(sent=20)
    assert serials(ended.frames()) == list(range(20))
    check_names(ended, tmp_path)


def test_a_silent_capture_leaves_no_file_where_it_rotates_and_an_empty_one_where_not(
    network: Network, tmp_path: Path
) -> None:
    network.capture(tmp_path / "net1.pcap", "-G", "1").end().check_account(sent=0)
    assert os.listdir(tmp_path) == []
    network.capture(tmp_path / "net1.pcap").end().check_account(sent=0)
    assert captures_in(tmp_path) == ["net1.pcap"]
    opens_without_a_warning([tmp_path / "net1.pcap"])


def test_no_file_has_its_name_before_it_is_complete(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "64k", "-s", "80")
    for number in range(40):
        network.send(500, rate=50_000, first=500 * number)
        for name in finished(tmp_path):
            assert len(read(tmp_path / name)) == 682  # 64 KiB hold no more
    capture.end().check_account(sent=20_000)


def test_the_newest_files_are_kept_over_a_restart_too(network: Network, tmp_path: Path) -> None:
    (tmp_path / "net1_00000001.pcap").write_text("not ours")
    words = ("-C", "64k", "-W", "3", "-s", "80")
    total = 0
    for expected in ([17, 18, 19], [36, 37, 38]):
        capture = network.capture(tmp_path / "net1.pcap", *words)
        network.send(12_345, first=total)
        ended = capture.end()
        ended.json["outputs"] = ended.json["outputs"][-3:]
        names = [name for name in finished(tmp_path) if NAME.fullmatch(name)]
        assert [int(name[5:13]) for name in names] == expected
        found = serials(ended.frames())
        total += 12_345
        assert found == list(range(total - len(found), total))
    assert (tmp_path / "net1_00000001.pcap").exists()


def test_hup_ends_the_file_now(network: Network, tmp_path: Path) -> None:
    """Of what it has taken from the ring, most of which is not written yet."""
    wanted = f'not ContainsBin(FrameData, HEX, "{OTHER.replace(":", "")}")'
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1G", wanted)
    for number in range(3):
        network.send(100, first=100 * number)
        network.send(1, source=OTHER)  # which tells when those before it are out of the ring
        capture.wait_for_counts(lambda counts: counts["rejected"] > number)  # noqa: B023
        capture.send_signal(signal.SIGHUP)
        wait_until(lambda: len(finished(tmp_path)) > number)  # noqa: B023
    ended = capture.end()
    ended.check_account(sent=303)
    assert [output["frames"] for output in ended.json["outputs"]] == [100, 100, 100]
    check_names(ended, tmp_path)


def test_hup_makes_a_series_of_a_single_file(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcap")
    network.send(100)
    capture.has_taken(100)
    capture.send_signal(signal.SIGHUP)
    wait_until(lambda: finished(tmp_path))
    assert finished(tmp_path) == ["net1.pcap"]
    network.send(100, first=100)
    ended = capture.end()
    ended.check_account(sent=200)
    assert ended.paths[0].name == "net1.pcap"
    assert NAME.fullmatch(ended.paths[1].name)
    assert serials(ended.frames()) == list(range(200))


def test_many_rotations_by_hand_under_load_lose_nothing(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1M", "-s", "80")
    sender = network.popen(
        network.send_frames, "v0", 100_000, 80, "--rate", 40_000, stdout=subprocess.DEVNULL
    )
    while sender.poll() is None:
        capture.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    ended = capture.end()
    ended.check_account(sent=100_000)
    assert serials(ended.frames()) == list(range(100_000))
    assert len(ended.paths) > 10
    check_names(ended, tmp_path)


def test_files_are_their_owners_alone(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcap")
    capture.end()
    assert (tmp_path / "net1.pcap").stat().st_mode & 0o7 == 0


def test_numbers_are_consecutive_in_the_files_of_one_capture(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-G", "0.05", "-C", "64k", "-s", "80")
    network.send(50_000, rate=100_000)
    ended = capture.end()
    starts = [serials(read(path))[0] for path in ended.paths]
    counts = [output["frames"] for output in ended.json["outputs"]]
    assert starts == [0, *itertools.accumulate(counts)][:-1]
