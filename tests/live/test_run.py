"""`fastcap run`: a capture, and what filters keep of it; whichever half dies, no frame of a
finished file is lost or kept twice."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.live.network import FAR, LONGEST_WAIT, Network, read, serials, wait_until
from tests.pcaps import Frame

ROUNDS = 4  # of kills of each half
# The serial number of a frame stands behind its type; its last byte decides.
EVEN = "Blob(FrameData, 21, 1) & 1 == 0"
THIRDS = "Blob(FrameData, 21, 1) < 0x55"
FILTERS = {"even.pcap": EVEN, "thirds.pcap": THIRDS}
_MEMORY = ("--ring", "64M", "--buffer", "16M")


def takes(name: str, frame: Frame) -> bool:
    last = frame.data[21]
    return last % 2 == 0 if name == "even.pcap" else last < 0x55


class Run:
    """`fastcap run` in a namespace, with two outputs; it captures when the constructor returns."""

    def __init__(
        self, network: Network, folder: Path, *words: object, filters: dict[str, str] = FILTERS
    ) -> None:
        self.folder = folder
        self.spool, self.kept = folder / "spool", folder / "kept"
        self.kept.mkdir(exist_ok=True)
        self._err = folder / f"run-{len(list(folder.glob('run-*')))}.err"
        command: list[object] = [sys.executable, "-m", "fastcap", "run", "-i", FAR]
        command += ["--spool", self.spool, *_MEMORY, *words]
        for name, expression in filters.items():
            command += ["--to", f"{self.kept / name}={expression}"]
        with self._err.open("wb") as err:
            self.process = network.popen(*command, stderr=err, stdout=subprocess.DEVNULL)
        self.wait_for("capturing on ")

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.err or self.process.poll() is not None, text)
        assert text in self.err, self.err

    def half(self, name: str) -> int:
        """The process of "capture" or "follow", once it is there."""
        found: list[int] = []

        def look() -> bool:
            pid = self.process.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if name.encode() in words:
                    found.append(int(child))
            return bool(found)

        wait_until(look, f"no {name}")
        return found[-1]

    def end(self, number: int | None = signal.SIGTERM) -> int:
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(LONGEST_WAIT)
        assert "Traceback" not in self.err
        return status

    def outputs(self, name: str) -> list[Frame]:
        """The frames of an output, all parts of which must be finished."""
        stem = name.removesuffix(".pcap")
        assert not list(self.kept.glob(f".{stem}_*.keeping"))
        return [frame for path in sorted(self.kept.glob(f"{stem}_*.pcap")) for frame in read(path)]


def status(spool: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "fastcap", "status", "--spool", spool, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def check(run: Run, originals: Sequence[Path]) -> int:
    """The outputs hold what their filters take of these files, each frame once and in order; how
    many frames those have."""
    frames = [frame for path in originals for frame in read(path)]
    numbers = serials(frames)
    # told in few words: pytest would compare millions of numbers for its report
    wrong = [two for two in itertools.pairwise(numbers) if two[0] >= two[1]]
    assert not wrong, f"{len(wrong)} times out of order, first {wrong[0]}"
    for name in FILTERS:
        expected = [frame for frame in frames if takes(name, frame)]
        found = run.outputs(name)
        if found != expected:
            ours, theirs = serials(found), serials(expected)
            pytest.fail(
                f"{name}: {len(ours)} frames, not {len(theirs)}; missing "
                f"{sorted(set(theirs) - set(ours))[:9]}, twice {len(ours) - len(set(ours))}"
            )
    return len(frames)


def test_what_is_captured_is_filtered_and_deleted(network: Network, tmp_path: Path) -> None:
    run = Run(network, tmp_path, "-C", "100k", "--output-size", "300k")
    network.send(20_000, rate=40_000)
    assert run.end() == 0
    run = Run(network, tmp_path, "-c", "10", "-C", "100k")  # what the grace left
    network.send(10, first=20_000)
    assert run.end(None) == 0
    for name in FILTERS:
        numbers = serials(run.outputs(name))
        assert numbers == [n for n in range(20_010) if takes(name, _frame(n))]
    assert not list(run.spool.glob("*.pcap*"))
    told = status(run.spool)
    assert told["service"] is None
    assert told["totals"]["frames"] == 20_010
    assert told["backlog"]["files"] == 0


def test_both_halves_get_the_engine(network: Network, tmp_path: Path) -> None:
    run = Run(network, tmp_path, "--engine", "interpreter", "-v")
    for name in ("capture", "follow"):
        words = Path(f"/proc/{run.half(name)}/cmdline").read_bytes().split(b"\0")
        assert b"--engine=interpreter" in words, name
        assert b"--verbose" in words, name
    assert run.end() == 0


def _frame(number: int) -> Frame:
    return Frame(0, 80, bytes(14) + number.to_bytes(8, "big"))


@pytest.mark.parametrize(
    "rounds", [ROUNDS, pytest.param(100, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_kill_9_of_each_half_at_any_moment_costs_no_frame_of_a_finished_file(
    network: Network, tmp_path: Path, rng: random.Random, rounds: int
) -> None:
    """The originals are moved, so that the outputs can be compared with all of them."""
    done = tmp_path / "done"
    done.mkdir()
    words = ("-C", "200k", "--output-size", "1M", "--original", "move", done, "--attempts", 100)
    run = Run(network, tmp_path, *words)
    sender = network.sending(1 << 40, rate=20_000)
    for number in range(rounds):
        if number % 4 == 3:  # one that dies again and again is started later each time
            assert run.end() in (0, 3)
            run = Run(network, tmp_path, *words)
        for name in ("follow", "capture"):
            time.sleep(rng.random() * 0.5)
            pid = run.half(name)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda run=run, pid=pid, name=name: run.half(name) != pid)  # type: ignore[misc]
    sender.kill()
    sender.wait()
    run.end()
    final = Run(network, tmp_path, *words, "-c", "10")
    network.send(10, first=1 << 41)
    assert final.end(None) in (0, 3)
    assert not list(final.spool.glob("*.pcap"))
    originals = sorted(done.glob("*.pcap"))
    numbers = [int(path.name.split("_")[1]) for path in originals]
    assert numbers == sorted(set(numbers))
    assert check(final, originals) > 0
    assert sum(row["originals"] for row in status(final.spool)["originals"].values()) == len(
        originals
    )


def test_the_supervisor_may_be_killed_and_the_next_start_goes_on(
    network: Network, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    done.mkdir()
    words = ("-C", "200k", "--output-size", "1M", "--original", "move", done)
    sender = network.sending(1 << 40, rate=20_000)
    for _ in range(3):
        run = Run(network, tmp_path, *words)
        time.sleep(0.5)
        run.process.kill()
        run.process.wait()
    sender.kill()
    sender.wait()
    run = Run(network, tmp_path, *words, "-c", "10")
    network.send(10, first=1 << 41)
    run.end(None)
    assert check(run, sorted(done.glob("*.pcap"))) > 0


def test_files_that_the_watermark_deletes_unfiltered_are_a_loss_with_a_count(
    network: Network, tmp_path: Path
) -> None:
    """The filter is stopped; --keep-free is more than there is, so all but the newest go."""
    free = os.statvfs(tmp_path)
    size = free.f_blocks * free.f_frsize
    run = Run(network, tmp_path, "-C", "100k", "--keep-free", f"{size >> 10}k")
    service = run.half("follow")
    os.kill(service, signal.SIGSTOP)
    first: list[Path] = []

    def is_deleted() -> bool:
        network.send(1_100)
        first[:] = first or sorted(run.spool.glob("*.pcap"))
        return bool(first) and not first[0].exists()

    wait_until(is_deleted, "nothing was deleted")
    os.kill(service, signal.SIGCONT)
    run.wait_for("gone before it was filtered")
    assert run.end() == 3
    told = status(run.spool)["originals"]["lost"]
    assert told["originals"] >= 1
    assert run.err.count("gone before it was filtered") == told["originals"]
