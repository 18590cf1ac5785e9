"""A capture and a service under one supervisor: each goes on whatever happens to the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastcap.locks import Lock
from tests.live.disks import Ext4, ext4, frames_in
from tests.live.network import FAR, LONGEST_WAIT, Network, captures_in, wait_until

_FOLDER = Path(__file__).parent
CAPTURE = (sys.executable, "-m", "fastcap", "capture")
SERVICE = (sys.executable, str(_FOLDER / "stand_in.py"))
MEMORY = ("--ring", "64M", "--buffer", "16M")


class Supervised:
    """A supervisor in the namespace, its capture into `spool`, and a stand-in for its service."""

    def __init__(
        self, network: Network, folder: Path, *words: object, spool: Path | None = None,
        service: tuple[object, ...] = (), grace: float = 30, memory: tuple[str, ...] = MEMORY,
        service_lock: Path | None = None,
    ) -> None:  # fmt: skip
        self.spool = spool or folder / "spool"
        self.spool.mkdir(exist_ok=True)
        self.log = folder / "service.log"
        self.events = folder / "events"
        self._err = folder / f"supervisor-{len(network.processes)}.err"
        path = self.spool / "net1.pcap"
        arguments = ["-i", FAR, "-w", path, "-C", "1M", "--events", self.events, *memory]
        told = {
            "capture": {
                "program": CAPTURE,
                "arguments": [str(word) for word in (*arguments, *words)],
                "again": ["--wait-interface"],
                "lock": str(self.spool / ".net1.pcap.lock"),
            },
            "service": {
                "program": SERVICE,
                "arguments": [str(word) for word in (*service, self.log)],
                "lock": None if service_lock is None else str(service_lock),
            },
            "grace": grace,
        }
        script = _FOLDER / "run_supervisor.py"
        environment = {**os.environ, "PYTHONPATH": str(_FOLDER.parent.parent)}
        with self._err.open("wb") as err:
            self.process = network.popen(
                sys.executable, script, json.dumps(told), stderr=err, env=environment
            )

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def said(self) -> list[str]:
        """What the service has written down, without what it read."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if not line.startswith("pressure")]

    @property
    def heard(self) -> list[str]:
        """The same without numbers."""
        return [line.split()[0] for line in self.said]

    def pressures(self) -> list[list[float]]:
        """What the service has read: ring, buffer, age, and whether the capture has begun."""
        lines = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        whole = [line.split() for line in lines if line.endswith("\n")]
        return [[float(word) for word in line[1:]] for line in whole if line[0] == "pressure"]

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(
            lambda: self.err.count(text) >= times or self.process.poll() is not None,
            f"it did not say {text!r}",
        )
        assert self.err.count(text) >= times, f"it ended without {text!r}: {self.err}"

    def children(self) -> dict[str, int]:
        """The process of each half that is there."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {}
        for pid in path.read_text().split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found["capture" if b"capture" in words else "service"] = int(pid)
        return found

    def captures(self, times: int = 1) -> Supervised:
        self.wait_for("capturing on", times)
        return self

    def end(self, number: int | None = signal.SIGTERM) -> int:
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(LONGEST_WAIT)
        assert "Traceback" not in self.err
        return status

    def stop_until(self, is_heeded: Callable[[], object]) -> None:
        """Stops it again and again: what comes within a second of the first counts as the same."""

        def heeded() -> object:
            self.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            return is_heeded()

        wait_until(heeded)

    def accounts(self) -> list[dict[str, int]]:
        """Of each life of the capture that ended in order."""
        lines = [json.loads(line) for line in self.events.read_text().splitlines()]
        assert all(line["balances"] for line in lines if line["event"] == "end")
        return [line["account"] for line in lines if line["event"] == "end"]


def status_of(pid: int) -> list[str]:
    """The words of /proc/PID/stat from the state on, which is field 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def started(pid: int) -> int:
    """When, in ticks."""
    return int(status_of(pid)[22 - 3])


def is_gone(pid: int) -> bool:
    try:
        return status_of(pid)[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4]:
    with ext4(tmp_path / "disk") as disk:
        yield disk


# ---- In order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_capture_first_and_then_the_service(
    network: Network, tmp_path: Path, number: int
) -> None:
    both = Supervised(network, tmp_path).captures()
    network.send(20_000)
    assert both.end(number) == 0
    (account,) = both.accounts()
    assert account["frames_written"] == 20_000
    assert frames_in(both.spool) == list(range(20_000))
    assert both.heard == ["began", "SIGTERM"]
    last = both.said[1].split()[1]
    finished = max(path.stat().st_mtime for path in both.spool.glob("*.json"))
    assert float(last) >= finished - time.time() + time.monotonic() - 0.01
    assert "killed" not in both.err


def test_the_service_begins_before_the_capture(network: Network, tmp_path: Path) -> None:
    both = Supervised(network, tmp_path)
    wait_until(lambda: both.said)
    both.captures()
    began = {name: started(pid) for name, pid in both.children().items()}
    assert began["service"] < began["capture"]
    assert both.end() == 0


def test_only_the_supervisor_hears_ctrl_c_on_the_terminal(network: Network, tmp_path: Path) -> None:
    both = Supervised(network, tmp_path).captures()
    groups = {os.getpgid(pid) for pid in (*both.children().values(), both.process.pid)}
    assert len(groups) == 3
    assert both.end() == 0


def test_a_capture_that_has_enough_is_the_end_when_nothing_waits_any_more(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path, "-c", "5000").captures()
    network.send(10_000)
    assert both.end(None) == 0
    assert both.heard == ["began", "SIGUSR2", "drained"]
    assert frames_in(both.spool) == list(range(5_000))


def test_a_service_that_died_before_the_capture_had_enough_still_does_the_rest(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path, "-c", "5000").captures()
    for lives in range(1, 5):
        wait_until(lambda lives=lives: len(both.said) == lives)  # type: ignore[misc]
        os.kill(both.children()["service"], signal.SIGKILL)
    network.send(10_000)  # while it is not there: the pause is long enough by then
    assert both.end(None) == 0
    assert both.heard == ["began"] * 5 + ["SIGUSR2", "drained"]
    assert frames_in(both.spool) == list(range(5_000))


def test_a_stop_cuts_short_what_waits_for_the_service(network: Network, tmp_path: Path) -> None:
    both = Supervised(network, tmp_path, "-c", "10", service=("--deaf",)).captures()
    os.kill(both.children()["service"], signal.SIGSTOP)
    network.send(10)
    wait_until(lambda: "capture" not in both.children())
    both.process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert both.process.poll() is None
    both.stop_until(lambda: both.process.poll() is not None)
    assert both.end(None) == 130
    assert "stopped twice" in both.err


def test_signals_for_both_reach_both(network: Network, tmp_path: Path) -> None:
    both = Supervised(network, tmp_path).captures()
    network.send(100)

    def told(times: int) -> bool:
        both.process.send_signal(signal.SIGUSR1)
        time.sleep(0.1)  # the ring hands frames over in time
        return both.err.count("100 frames received") >= times

    wait_until(lambda: told(1))
    count = both.err.count("100 frames received")
    both.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in both.heard)
    wait_until(lambda: told(count + 1))  # behind it, so that it has been heard
    network.send(100, first=100)
    assert both.end() == 0
    assert both.heard.count("SIGHUP") == 1
    assert both.heard.count("SIGUSR1") >= 2
    assert len(captures_in(both.spool)) == 2
    assert frames_in(both.spool) == list(range(200))


def test_signals_that_come_before_they_are_expected_end_nobody(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path)
    wait_until(lambda: b"run_supervisor" in Path(f"/proc/{both.process.pid}/cmdline").read_bytes())
    wait_until(both.children)
    for _ in range(50):
        both.process.send_signal(signal.SIGUSR1)
        both.process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    both.captures()
    assert both.end() == 0
    assert "started again" not in both.err


# ---- One dies -----------------------------------------------------------------------------------


def test_a_service_that_is_killed_is_started_again_and_the_capture_goes_on(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path).captures()
    capture = both.children()["capture"]
    sender = network.sending(40_000, 80, rate=20_000, stderr=subprocess.PIPE)
    for count in (1, 2, 3):
        wait_until(lambda count=count: both.heard == ["began"] * count)  # type: ignore[misc]
        service = both.children()["service"]
        os.kill(service, signal.SIGKILL)
        wait_until(lambda count=count: len(both.said) > count)  # type: ignore[misc]
    assert sender.communicate(timeout=LONGEST_WAIT)[0] == "40000\n"
    assert both.children()["capture"] == capture
    assert both.end() == 0
    assert both.heard == ["began"] * 4 + ["SIGTERM"]
    (account,) = both.accounts()
    assert account["frames_written"] == 40_000
    assert frames_in(both.spool) == list(range(40_000))
    told = [line for line in both.err.splitlines() if "the filter service was ended" in line]
    assert [line.rpartition("again ")[2] for line in told] == ["at once", "in 0.1 s", "in 0.2 s"]
    assert "by SIGKILL" in told[0]


def test_a_service_that_ends_with_an_error_again_and_again_is_started_less_and_less_often(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path, service=("--die", "1")).captures()
    both.wait_for("in 0.8 s")
    assert both.err.count("the filter service ended with status 1") == 5
    network.send(1_000)
    assert both.end() == 0
    assert both.accounts()[0]["frames_written"] == 1_000


def test_a_capture_that_is_killed_is_started_again_and_the_service_goes_on(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path).captures()
    service = both.children()["service"]
    network.send(20_000)
    wait_until(lambda: captures_in(both.spool))
    os.kill(both.children()["capture"], signal.SIGKILL)
    both.captures(2)
    network.send(20_000, first=20_000)
    assert both.children()["service"] == service
    assert both.end() == 3  # what was in its memory is lost, and nobody counted it
    assert both.heard == ["began", "SIGTERM"]
    found = frames_in(both.spool)
    assert found[-20_000:] == list(range(20_000, 40_000))
    assert found == sorted(set(found))
    assert "the capture was ended by SIGKILL: it is started again at once" in both.err


def test_a_capture_that_is_started_again_waits_for_its_interface(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path).captures()
    network.ip("link", "set", FAR, "name", "away")
    os.kill(both.children()["capture"], signal.SIGKILL)
    both.wait_for(f"{FAR} is not there: waiting until it is")
    network.ip("link", "set", "away", "name", FAR, "up")
    both.captures(2)
    network.send(100)
    assert both.end() == 3
    assert frames_in(both.spool) == list(range(100))


def test_a_service_that_does_not_begin_does_not_hold_up_the_capture(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path, service=("--never-ready",)).captures()
    network.send(100)
    assert both.end() == 0
    assert both.heard == ["began", "SIGTERM"]
    assert frames_in(both.spool) == list(range(100))


# ---- One cannot begin ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [1, 2])
def test_a_service_that_refuses_ends_all_with_its_status_before_the_capture_begins(
    network: Network, tmp_path: Path, status: int
) -> None:
    both = Supervised(network, tmp_path, service=("--refuse", status))
    assert both.end(None) == status
    assert both.err == f"stand-in: refused with {status}\n"
    assert os.listdir(both.spool) == []


@pytest.mark.parametrize(("words", "status"), [(["tcp port 1000000"], 2), (["--events", "/"], 1)])
def test_a_capture_that_refuses_ends_all_with_its_status(
    network: Network, tmp_path: Path, words: list[str], status: int
) -> None:
    both = Supervised(network, tmp_path, *words)
    assert both.end(None) == status
    assert both.heard == ["began", "SIGTERM"]
    assert len(both.err.splitlines()) <= 3
    assert "started" not in both.err


# ---- The end is not in order --------------------------------------------------------------------


def test_both_end_in_order_when_the_supervisor_is_killed(network: Network, tmp_path: Path) -> None:
    both = Supervised(network, tmp_path).captures()
    pids = both.children().values()
    network.send(20_000)
    both.process.kill()
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
    assert both.heard == ["began", "SIGTERM"]
    (account,) = both.accounts()
    assert account["frames_written"] == 20_000
    assert frames_in(both.spool) == list(range(20_000))


def test_the_next_one_waits_for_a_capture_that_still_ends(network: Network, disk: Ext4) -> None:
    folder = disk.folder.parent
    both = Supervised(network, folder, spool=disk.folder).captures()
    network.send(20_000)
    with disk.frozen():
        network.send(20_000, first=20_000)
        both.process.kill()
        wait_until(lambda: both.heard == ["began", "SIGTERM"])
        other = Supervised(network, folder, spool=disk.folder)
        other.wait_for("the capture waits for process")
    other.captures()
    network.send(20_000, first=40_000)
    assert other.end() == 0
    assert [account["frames_written"] for account in both.accounts()] == [40_000, 20_000]
    assert frames_in(disk.folder) == list(range(60_000))


def test_a_capture_does_not_wait_for_a_service_whose_place_is_still_taken(
    network: Network, tmp_path: Path
) -> None:
    path = tmp_path / "lock"
    lock = Lock(str(path))
    both = Supervised(network, tmp_path, service_lock=path).captures()
    assert both.heard == []
    assert f"the filter service waits for process {os.getpid()} to end" in both.err
    network.send(100)
    lock.close()
    wait_until(lambda: both.heard == ["began"])
    assert both.end() == 0
    assert frames_in(both.spool) == list(range(100))


@pytest.mark.parametrize("content", ["", "x", "0", "-1", "1", "4194304", "fifo"])
def test_a_lock_that_nobody_has_is_no_reason_to_wait(
    network: Network, tmp_path: Path, content: str
) -> None:
    lock = tmp_path / "lock"
    if content == "fifo":
        os.mkfifo(lock)
    else:
        lock.write_text(content)
    both = Supervised(network, tmp_path, service_lock=lock).captures()
    assert both.end() == 0
    assert "waits" not in both.err
    assert both.heard == ["began", "SIGTERM"]


def test_a_second_stop_kills_the_service_and_tells_the_capture_again(
    network: Network, disk: Ext4
) -> None:
    both = Supervised(network, disk.folder.parent, spool=disk.folder).captures()
    network.send(20_000)
    with disk.frozen():
        network.send(20_000, first=20_000)
        both.process.send_signal(signal.SIGINT)
        both.process.send_signal(signal.SIGINT)  # the same one, as sudo sends it
        time.sleep(1.3)
        assert both.process.poll() is None
        both.stop_until(
            lambda: (
                "stopped twice: the filter service is killed" in both.err
                and "stopped twice: what is not written yet is lost" in both.err
            )
        )
    assert both.end(None) == 130
    assert both.heard == ["began"]


def test_a_service_that_does_not_end_is_killed(network: Network, tmp_path: Path) -> None:
    both = Supervised(network, tmp_path, service=("--deaf",), grace=-9.5).captures()
    assert both.end() == 1
    assert both.heard == ["began", "SIGTERM"]
    assert "the filter service did not end in time, and is killed" in both.err


def test_frames_that_the_capture_lost_are_in_the_status(network: Network, tmp_path: Path) -> None:
    both = Supervised(
        network, tmp_path, "-s", "80", memory=("--ring", "1M", "--buffer", "8M")
    ).captures()
    capture = both.children()["capture"]
    os.kill(capture, signal.SIGSTOP)
    network.send(50_000)
    os.kill(capture, signal.SIGCONT)
    assert both.end() == 3
    (account,) = both.accounts()
    assert account["frames_dropped_ring"] + account["frames_written"] == 50_000
    assert len(frames_in(both.spool)) == account["frames_written"]


# ---- Pressure -----------------------------------------------------------------------------------


def test_the_service_sees_how_the_buffer_of_the_capture_fills(network: Network, disk: Ext4) -> None:
    both = Supervised(
        network, disk.folder.parent, "-s", "80", spool=disk.folder, service=("--watch",),
    ).captures()  # fmt: skip
    wait_until(lambda: both.pressures()[-1][3] == 1)
    with disk.frozen():
        network.send(140_000, rate=200_000)
        wait_until(lambda: both.pressures()[-1][1] >= 0.5)
    wait_until(lambda: both.pressures()[-1][1] < 0.25)
    assert both.end() == 0
    assert frames_in(disk.folder) == list(range(140_000))


def test_the_service_sees_that_the_capture_is_stopped_or_gone(
    network: Network, tmp_path: Path
) -> None:
    both = Supervised(network, tmp_path, service=("--watch",)).captures()
    capture = both.children()["capture"]
    os.kill(capture, signal.SIGSTOP)
    wait_until(lambda: 1 < both.pressures()[-1][2] < 10)
    os.kill(capture, signal.SIGCONT)
    wait_until(lambda: both.pressures()[-1][2] < 0.5)
    os.kill(capture, signal.SIGKILL)
    both.captures(2)
    told = both.pressures()
    began = [reading[3] for reading in told]
    assert began.index(1) < len(began) - 1 - began[::-1].index(0)  # not, for a while, between them
    assert both.end() == 3
