"""A capture that is killed leaves whole files, and the next one ends what was not finished."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests.live.network import Network, opens_without_a_warning, read, serials, wait_until

ROUNDS = 10
# with files so long that one write is not the whole of them, and with many short ones
WORDS = ("-C 9M", "-C 64k", "-G 0.05", "-G 0.3 -C 5M", "-C 1G", "-C 1G -s 61")
LONG = WORDS.index("-C 1G")  # a round whose file does not end by itself
SIZE, RATE = 600, 100_000


class Folder:
    """The files of a series that several captures write, and what their frames must be like."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checked: set[Path] = set()
        self.last = -1  # serial number of the last frame so far
        self.frames = 0

    def unfinished(self) -> list[Path]:
        return sorted(self.path.glob(".net1_*.capturing"))

    def check(self) -> None:
        """Every finished file is whole; together they go on where those before ended, in order and
        without repeating a frame. All but the newest are removed then, to save room."""
        paths = sorted(self.path.glob("net1_*.pcap"))
        new = [path for path in paths if path not in self.checked]
        for path in new:
            numbers = serials(read(path))
            assert numbers, path
            assert [self.last, *numbers] == sorted({self.last, *numbers}), path
            self.last = numbers[-1]
            self.frames += len(numbers)
        opens_without_a_warning(new[-2:])
        self.checked.update(new)
        for path in paths[:-1]:
            path.unlink()


@pytest.mark.parametrize(
    "rounds", [ROUNDS, pytest.param(100, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_kill_9_at_any_moment_leaves_whole_files_and_the_next_start_ends_the_others(
    network: Network, tmp_path: Path, rng: random.Random, rounds: int
) -> None:
    folder = Folder(tmp_path)
    sender = network.sending(1 << 40, SIZE, rate=RATE)
    ended = ended_with_frames = 0
    left: list[Path] = []
    for number in range(rounds):
        words = WORDS[number % len(WORDS)].split()
        capture = network.capture(tmp_path / "net1.pcap", *words)
        for path in left:
            note = next(line for line in capture.err.splitlines() if str(path) in line)
            assert "left by a capture that was killed" in note
            ended += 1
            ended_with_frames += "removed" not in note
        if number == LONG:  # so that one surely leaves something
            wait_until(lambda: any(path.stat().st_size > 10_000 for path in folder.unfinished()))
        time.sleep(rng.random() * 0.4)
        capture.send_signal(signal.SIGKILL)
        capture.process.wait()
        folder.check()
        left = folder.unfinished()
    sender.kill()
    sender.wait()
    network.capture(tmp_path / "net1.pcap", "-C", "1G").end().check_account()
    folder.check()
    assert folder.unfinished() == []
    assert folder.frames > 0
    assert ended > 0
    assert ended_with_frames > 0
    assert {name for name in os.listdir(tmp_path) if name.startswith(".")} <= {".net1.pcap.lock"}


def test_what_is_cut_off_behind_the_last_whole_record_is_told(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1G")
    network.send(20_000, 1_000)  # several writes, which end anywhere
    folder = Folder(tmp_path)
    wait_until(lambda: [path for path in folder.unfinished() if path.stat().st_size > 12 << 20])
    capture.send_signal(signal.SIGSTOP)
    (torn,) = (path for path in folder.unfinished() if path.stat().st_size > 0)
    capture.send_signal(signal.SIGKILL)
    capture.process.wait()
    length = torn.stat().st_size
    os.truncate(torn, length - 500)  # within a record, whatever was written
    whole, rest = divmod(length - 500 - 24, 1_016)
    if rest == 0:
        pytest.fail("the file ends with a record after all")
    capture = network.capture(tmp_path / "net1.pcap", "-C", "1G")
    (note,) = (line for line in capture.err.splitlines() if str(torn) in line)
    assert f"{whole:,} frames are whole, {rest:,} bytes behind them cut off" in note
    (recovered,) = tmp_path.glob("net1_*.pcap")
    assert str(recovered) in note
    assert serials(read(recovered)) == list(range(whole))
    opens_without_a_warning([recovered])
    network.send(10, first=1 << 32)
    ended = capture.end()
    ended.check_account(sent=10)
    names = sorted(path.name for path in tmp_path.glob("net1_*.pcap"))
    assert names == [recovered.name, ended.paths[0].name]
    numbers = [int(name.split("_")[1]) for name in names]
    assert numbers[0] < numbers[1]


def test_a_single_file_that_was_killed_gets_a_number_so_that_the_name_is_free(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap")
    network.send(20_000, 1_000)
    folder = Folder(tmp_path)
    wait_until(lambda: [path for path in folder.unfinished() if path.stat().st_size > 12 << 20])
    capture.send_signal(signal.SIGKILL)
    capture.process.wait()
    assert not (tmp_path / "net1.pcap").exists()
    capture = network.capture(tmp_path / "net1.pcap")
    assert "left by a capture that was killed" in capture.err
    network.send(10, first=1 << 32)
    ended = capture.end()
    ended.check_account(sent=10)
    assert ended.paths == [tmp_path / "net1.pcap"]
    (recovered,) = tmp_path.glob("net1_*.pcap")
    assert re.fullmatch(r"net1_\d{8}_\d{8}T\d{6}Z\.pcap", recovered.name)
    found = serials(read(recovered))
    assert found == list(range(len(found)))
    assert len(found) > 10_000


def test_a_lock_that_was_left_behind_is_no_obstacle(network: Network, tmp_path: Path) -> None:
    for _ in range(3):
        capture = network.capture(tmp_path / "net1.pcap", "-C", "1M")
        capture.send_signal(signal.SIGKILL)
        capture.process.wait()
    assert (tmp_path / ".net1.pcap.lock").exists()
    network.capture(tmp_path / "net1.pcap", "-C", "1M").end().check_account(sent=0)
