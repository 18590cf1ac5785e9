"""The tools that capture, each asked for the same: ring, bytes a frame, files that rotate."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastcap import ourselves
from fastcap.bench.stops import Heed
from fastcap.errors import InputError, UsageError
from fastcap.parent import end_with

WHOLE = 262_144  # bytes of a frame that are all of it
_LONGEST = 60.0  # seconds until a tool captures, or has ended
_LOOK = 0.02  # seconds between two looks
_SETTLES = 0.3  # seconds behind that: a filter, a file
_SIDECARS = (".json", ".lock")


class ToolError(InputError):
    """A tool cannot be run, or fails."""


class Request(NamedTuple):
    """What every tool is asked for. `snaplen` 0 is the whole frame; `ring`, `buffer` (of fastcap,
    behind its ring; the others have none) and `file_size` are bytes."""

    interface: str
    snaplen: int
    ring: int
    buffer: int
    file_size: int


class Tool(NamedTuple):
    """`live` is what it says on standard error when it captures; `dropped` are patterns of the
    numbers of frames that it says it lost. `good` are its exit statuses. `keeps_whole`: it has no
    way to keep less of a frame."""

    name: str
    arguments: tuple[str, ...]
    live: str
    dropped: tuple[str, ...]
    good: tuple[int, ...] = (0,)
    keeps_whole: bool = False

    @property
    def command(self) -> str:
        """For people."""
        words = list(self.arguments)
        ours = ourselves.command()
        if words[: len(ours)] == ours:
            words[: len(ours)] = ["fastcap"]
        return shlex.join(words)


class Taken(NamedTuple):
    """Seconds of processor time of a process, of threads that have ended too; and of each of its
    threads that is there."""

    seconds: float
    threads: dict[int, float]

    def since(self, before: Taken) -> Taken:
        return Taken(
            self.seconds - before.seconds,
            {thread: now - before.threads.get(thread, 0.0) for thread, now in self.threads.items()},
        )


def tool(name: str, request: Request, folder: Path) -> Tool:
    """How it is asked; sizes are rounded as that tool counts."""
    make = {"fastcap": _fastcap, "tcpdump": _tcpdump, "dumpcap": _dumpcap}.get(name, _netsniff_ng)
    return make(request, folder)


def _fastcap(request: Request, folder: Path) -> Tool:
    arguments = [
        *ourselves.command(), "capture", "-i", request.interface,
        "-s", str(request.snaplen or WHOLE), "--ring", f"{request.ring >> 20}M",
        "--buffer", f"{request.buffer >> 20}M", "-C", _millions(request), "--json",
        "-w", str(folder / "out.pcap"),
    ]  # fmt: skip
    lost = (r'"frames_dropped_ring": (\d+)', r'"frames_lost_writer": (\d+)')
    return Tool("fastcap", tuple(arguments), "capturing on", lost, (0, 3))


def _tcpdump(request: Request, folder: Path) -> Tool:
    arguments = [
        "tcpdump", "-n", "-i", request.interface, "-s", str(request.snaplen or WHOLE),
        "-B", str(request.ring >> 10), "-C", _millions(request), "-Z", "root",
        "-w", str(folder / "out.pcap"),
    ]  # fmt: skip
    lost = (r"(\d+) packets? dropped by kernel",)
    return Tool("tcpdump", tuple(arguments), "listening on", lost)


def _dumpcap(request: Request, folder: Path) -> Tool:
    arguments = [
        "dumpcap", "-q", "-P", "-i", request.interface, "-s", str(request.snaplen or WHOLE),
        "-B", str(request.ring >> 20), "-b", f"filesize:{max(1, request.file_size // 1000)}",
        "-w", str(folder / "out.pcap"),
    ]  # fmt: skip
    lost = (r"received/dropped on interface .*: \d+/(\d+)",)
    return Tool("dumpcap", tuple(arguments), "File: ", lost)


def _netsniff_ng(request: Request, folder: Path) -> Tool:
    arguments = [  # -A: it leaves the machine's settings alone
        "netsniff-ng", "--in", request.interface, "--out", str(folder), "-s", "-A",
        "--ring-size", f"{request.ring >> 20}MiB", "-F", f"{max(1, request.file_size >> 20)}MiB",
    ]  # fmt: skip
    lost = (r"(\d+)\s+packets failed filter \(out of space\)",)
    return Tool("netsniff-ng", tuple(arguments), "Running!", lost, keeps_whole=True)


def _millions(request: Request) -> str:
    return str(max(1, request.file_size // 1_000_000))


def installed(name: str) -> bool:
    return name == "fastcap" or shutil.which(name) is not None


def check_installed(names: Sequence[str]) -> list[str]:
    """Those that are. UsageError where none is."""
    found = [name for name in names if installed(name)]
    if not found:
        raise UsageError(f"not installed: {', '.join(names)}")
    return found


class Process:
    """A tool that captures into `folder`, which it makes, on `processors`. What it prints goes to a
    file: nobody has to read it meanwhile. It dies with us, and Ctrl-C is not for it."""

    def __init__(self, tool: Tool, folder: Path, log: Path, processors: frozenset[int]) -> None:
        self.tool = tool
        self.folder = folder
        self._log = log
        folder.mkdir()
        self._received_before = receiving()
        parent = os.getpid()
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - what the user asked for
                    tool.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                    preexec_fn=lambda: _prepare(parent, processors),  # noqa: PLW1509 - no threads
                )  # fmt: skip
            except OSError as error:
                raise ToolError(f"{tool.name}: {error.strerror}") from error
        self.pid = self._process.pid

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_live(self, heed: Heed) -> None:
        """Until it says so, and a socket of it receives: some say it a little early. ToolError
        where it ends, or never captures."""
        until = time.monotonic() + _LONGEST
        while self.tool.live not in self.said() or not receiving() - self._received_before:
            heed()
            if self._process.poll() is not None or time.monotonic() > until:
                raise ToolError(f"{self.tool.name}: {_last_line(self.said())}")
            time.sleep(_LOOK)
        time.sleep(_SETTLES)

    def check_alive(self) -> None:
        """ToolError where it has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def taken(self) -> Taken:
        """Processor time until now, by the kernel's clock of the process (clock_getcpuclockid(3)),
        which has no ticks, and its account of each thread, complete when that sleeps. ToolError
        where it has ended."""
        self.check_alive()
        threads = {}
        for folder in self._threads():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                told = (folder / "schedstat").read_text()
                threads[int(folder.name)] = int(told.split()[0]) / 1e9
        try:
            return Taken(time.clock_gettime(~self.pid << 3 | 2), threads)
        except OSError:
            raise self._ended() from None

    def _threads(self) -> list[Path]:
        """ToolError where it has ended."""
        try:
            return list(Path(f"/proc/{self.pid}/task").iterdir())
        except OSError:
            raise self._ended() from None

    def _ended(self) -> ToolError:
        return ToolError(f"{self.tool.name} ended: {_last_line(self.said())}")

    def is_at_work(self) -> bool:
        """Whether one of its threads runs, waits for a processor or for a disk."""
        return any(_state(folder) in "RD" for folder in self._threads())

    def stop(self, heed: Heed) -> None:
        """All its threads stand still afterwards."""
        self._process.send_signal(signal.SIGSTOP)
        for folder in self._threads():
            while _state(folder) not in "TZX":
                heed()
                time.sleep(0.001)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self, heed: Heed) -> int:
        """Frames that it says it lost. ToolError where it failed, or does not say."""
        self._process.send_signal(signal.SIGINT)
        until = time.monotonic() + _LONGEST
        while self._process.poll() is None:
            heed()
            if time.monotonic() > until:
                raise ToolError(f"{self.tool.name} does not end")
            time.sleep(_LOOK)
        said = self.said()
        if self._process.returncode not in self.tool.good:
            raise ToolError(
                f"{self.tool.name}: status {self._process.returncode}: {_last_line(said)}"
            )
        numbers = [re.search(pattern, said) for pattern in self.tool.dropped]
        if not all(numbers):
            raise ToolError(f"{self.tool.name} does not say what it lost: {_last_line(said)}")
        return sum(int(number[1]) for number in numbers if number)

    def close(self) -> None:
        """It is gone afterwards, with whatever it started."""
        with contextlib.suppress(ProcessLookupError):  # nobody is left of its group
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def paths(self) -> list[Path]:
        """Its captures, in the order of their names."""
        return sorted(self._paths())

    def bytes(self) -> int:
        """Of its captures together."""
        total = 0
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):  # it has another name by now
                total += path.stat().st_size
        return total

    def _paths(self) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            if path.suffix not in _SIDECARS and path.is_file():
                yield path


@contextlib.contextmanager
def running(tool: Tool, folder: Path, processors: frozenset[int]) -> Iterator[Process]:
    """With its files in `folder`/out. It is gone at the end."""
    process = Process(tool, folder / "out", folder / "log", processors)
    try:
        yield process
    finally:
        process.close()


def _prepare(parent: int, processors: frozenset[int]) -> None:
    """In the tool's process, before it is the tool."""
    end_with(parent, signal.SIGKILL)
    os.sched_setaffinity(0, processors)


def receiving() -> set[str]:
    """Inodes of the packet sockets of this network namespace that receive: packet_seq_show of
    net/packet/af_packet.c."""
    lines = Path("/proc/self/net/packet").read_text().splitlines()[1:]
    return {words[8] for words in map(str.split, lines) if words[5] == "1"}


def _state(thread: Path) -> str:
    """As /proc has it; X for one that is gone."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it says nothing"
