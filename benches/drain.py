"""Processor time that a live capture takes for a frame, beside tcpdump and dumpcap.

    sudo .venv/bin/python benches/drain.py [--frames 3000000] [--rounds 5] [--markdown FILE]

No sender of this machine is fast enough to show the limit of a capture, so each tool is stopped
(SIGSTOP) while frames collect in its ring of 1 GiB, then resumed; the processor time that it takes
until all are written is what is measured, all its threads together, user and system. Start-up and
shutdown are not in it, and nothing is sent meanwhile, so the kernel's half of the work, which is
the same for all, is not either. Before that, some frames run through, so that what happens once
has happened.

Frames of 300 bytes go over a veth pair in a network namespace of their own; 80 bytes of each are
kept. Files go to memory (tmpfs). A time counts only where the files hold every frame once, in
order, except those that the tool itself says it dropped. Needs root, Linux, and `ip`; tools that
are not installed are left out. The row "write(2)" is what nobody can do without: a loop of writes
of 4 MiB, as many bytes as the records have.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import os
import platform
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if __package__ in {None, ""}:  # run as a file, only its own directory is on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastcap
from benches.compare_offline import (
    Disagreement,
    Failure,
    installed,
    machine,
    markdown_row,
    our_command,
    touch_free_memory,
)

ROOT = Path(__file__).resolve().parent.parent
SENDING, CAPTURED = "fcsend", "fccapture"  # the two ends of the veth pair
SNAPLEN, WIRE = 80, 300
RECORD = 16 + SNAPLEN
SERIAL = 16 + 14  # where a record has the serial number: behind the Ethernet header
FILE_HEADER = 24
RING_BYTES_A_FRAME = 176  # 168 for fastcap, more where room is reserved for a tag
RING = 1 << 30
WRITE = 4 << 20
WARM_FRAMES = 200_000
LONGEST_SECONDS = 120.0
# A tool is idle when it takes less than this part of a processor for so long: longer than
# fastcap keeps a chunk that is not full.
IDLE_SHARE, IDLE_SECONDS, WINDOW_SECONDS = 0.03, 1.4, 0.2
CLONE_NEWNET = 0x40000000


# ---- Tools ------------------------------------------------------------------------------------


class Tool(NamedTuple):
    """`live` is what it says on standard error when it captures; `dropped` are patterns of the
    numbers of frames that it says it lost, in what it prints until it ends."""

    name: str
    arguments: list[str]
    live: str
    dropped: list[str]


class Taken(NamedTuple):
    """Nanoseconds of processor time for a frame; `threads` of each thread, the largest first."""

    ns: float
    threads: list[float]
    frames: int
    dropped: int


def _tools(folder: Path) -> list[Tool]:
    stem = str(folder / "out.pcap")
    mib, kib = RING >> 20, RING >> 10
    ours = [*our_command(), "capture", "-i", CAPTURED, "-s", str(SNAPLEN), "--ring", f"{mib}M"]
    ours += ["--json", "-w", stem]
    lost = [r'"frames_dropped_ring": (\d+)', r'"frames_lost_writer": (\d+)']
    tcpdump = ["tcpdump", "-n", "-i", CAPTURED, "-s", str(SNAPLEN), "-B", str(kib), "-Z", "root"]
    tcpdump += ["-w", stem]
    dumpcap = ["dumpcap", "-q", "-P", "-i", CAPTURED, "-s", str(SNAPLEN), "-B", str(mib)]
    dumpcap += ["-w", stem, "-b", "filesize:100000"]
    kernel = [r"(\d+) packets dropped by kernel"]
    both = [r"received/dropped on interface .*: \d+/(\d+)"]
    tools = [
        Tool("fastcap -C 100", [*ours, "-C", "100"], "capturing on", lost),
        Tool("fastcap", ours, "capturing on", lost),
        Tool("tcpdump -C 100", [*tcpdump, "-C", "100"], "listening on", kernel),
        Tool("tcpdump", tcpdump, "listening on", kernel),
        Tool("dumpcap -P -b filesize:100000", dumpcap, "File: ", both),
    ]
    return [tool for tool in tools if installed(tool.arguments[0])]


# ---- The network ------------------------------------------------------------------------------


def enter_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Failure(f"no network namespace: {os.strerror(ctypes.get_errno())} (are you root?)")
    # The kernel's own announcements would be frames that nobody sent.
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    do("ip", "link", "add", SENDING, "type", "veth", "peer", "name", CAPTURED)
    for name in (SENDING, CAPTURED):
        do("ip", "link", "set", name, "arp", "off", "up")


def do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise Failure(f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout


def build_sender(folder: Path) -> str:
    source = ROOT / "tests" / "live" / "send_frames.c"
    do("cc", "-O2", "-D_GNU_SOURCE", str(source), "-o", str(folder / "send_frames"))
    return str(folder / "send_frames")


def _send(sender: str, frames: int, first: int) -> None:
    sent = int(do(sender, SENDING, str(frames), str(WIRE), "--first", str(first)))
    if sent != frames:
        raise Failure(f"{sent} of {frames} frames were sent")


# ---- A process --------------------------------------------------------------------------------


class Process:
    """A tool that captures. What it prints goes to a file: nobody has to read it meanwhile."""

    def __init__(self, tool: Tool, log: Path) -> None:
        self.tool = tool
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                tool.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.pid = self._process.pid

    def wait_until_live(self) -> None:
        until = time.monotonic() + LONGEST_SECONDS
        while self.tool.live not in self.said():
            if self._process.poll() is not None or time.monotonic() > until:
                raise Failure(f"{shlex.join(self.tool.arguments)}: {self.said().strip()}")
            time.sleep(0.05)
        time.sleep(0.3)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def seconds(self) -> float:
        """Processor time of all its threads, those that have ended too: the kernel's clock of a
        process (clock_getcpuclockid(3)), which has no ticks."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def thread_seconds(self) -> dict[int, float]:
        found = {}
        for folder in Path(f"/proc/{self.pid}/task").iterdir():
            found[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
        return found

    def stop(self) -> None:
        """All its threads stand still afterwards."""
        self._process.send_signal(signal.SIGSTOP)
        for folder in Path(f"/proc/{self.pid}/task").iterdir():
            while (folder / "stat").read_text().rpartition(")")[2].split()[0] != "T":
                time.sleep(0.01)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait_until_idle(self) -> None:
        started = quiet_since = time.monotonic()
        before = self.seconds()
        while time.monotonic() - quiet_since < IDLE_SECONDS:
            if time.monotonic() - started > LONGEST_SECONDS:
                raise Failure(f"{self.tool.name} is never idle")
            time.sleep(WINDOW_SECONDS)
            now = self.seconds()
            if now - before > IDLE_SHARE * WINDOW_SECONDS:
                quiet_since = time.monotonic()
            before = now

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        if self._process.wait(LONGEST_SECONDS) not in {0, 3}:  # fastcap: 3 where frames were lost
            raise Failure(f"{shlex.join(self.tool.arguments)}: {self.said().strip()}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


# ---- One measurement --------------------------------------------------------------------------


def _measure(tool: Tool, sender: str, folder: Path, frames: int) -> Taken:
    folder.mkdir()
    process = Process(tool, folder / "log")
    try:
        process.wait_until_live()
        _send(sender, WARM_FRAMES, 0)
        process.wait_until_idle()
        process.stop()
        _send(sender, frames, WARM_FRAMES)
        touch_free_memory()  # that of the files; takes longer than the last block waits
        threads, before = process.thread_seconds(), process.seconds()
        process.resume()
        process.wait_until_idle()
        used = process.seconds() - before
        each = [now - threads.get(thread, 0.0) for thread, now in process.thread_seconds().items()]
        process.end()
    except BaseException:
        process.kill()
        raise
    dropped = dropped_by(tool, process.said())
    kept = _check_files(tool, folder, frames, dropped)
    shutil.rmtree(folder)
    ns = 1e9 / kept
    return Taken(
        used * ns,
        sorted((seconds * ns for seconds in each), reverse=True),
        kept,
        dropped,
    )


def _write_alone(folder: Path, frames: int) -> Taken:
    block = os.urandom(WRITE)
    touch_free_memory()
    folder.mkdir()
    with open(folder / "out", "wb", buffering=0) as file:
        before = time.thread_time()
        left = frames * RECORD
        while left > 0:
            left -= file.write(block[:left] if left < WRITE else block)
        used = time.thread_time() - before
    shutil.rmtree(folder)
    ns = used / frames * 1e9
    return Taken(ns, [ns], frames, 0)


def dropped_by(tool: Tool, said: str) -> int:
    numbers = [re.search(pattern, said) for pattern in tool.dropped]
    if not all(numbers):
        raise Failure(f"{tool.name} does not say what it dropped: {said.strip()}")
    return sum(int(number.group(1)) for number in numbers if number)


def _serials(path: Path) -> NDArray[np.uint64]:
    """Of the records of a file, which all have the same length."""
    data = np.fromfile(path, np.uint8, offset=FILE_HEADER)
    if len(data) % RECORD:
        raise Disagreement(f"{path}: ends inside a record, or holds records of another length")
    records = data.reshape(-1, RECORD)
    lengths = np.ascontiguousarray(records[:, 8:16]).view("<u4")
    if not (lengths == (SNAPLEN, WIRE)).all():
        raise Disagreement(f"{path}: records of another length")
    serials = np.ascontiguousarray(records[:, SERIAL : SERIAL + 8]).view(">u8")
    return serials.ravel().astype(np.uint64)


def _check_files(tool: Tool, folder: Path, frames: int, dropped: int) -> int:
    """Frames in the files, without those of the warm-up."""
    found_there = (path for path in folder.glob("out*") if path.suffix != ".json")
    paths = [path for path in found_there if path.stat().st_size > 0]
    parts = [serials for path in paths if len(serials := _serials(path)) > 0]
    parts.sort(key=lambda serials: int(serials[0]))
    found = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    sent = WARM_FRAMES + frames
    if len(found) and (int(found[-1]) >= sent or not (found[1:] > found[:-1]).all()):
        raise Disagreement(f"{tool.name}: frames are not in the order in which they were sent")
    if len(found) + dropped != sent:
        raise Disagreement(
            f"{tool.name}: {sent:,} frames were sent, {len(found):,} are in its files, "
            f"and it says that it dropped {dropped:,}"
        )
    return int(np.count_nonzero(found >= WARM_FRAMES))


# ---- The report -------------------------------------------------------------------------------

_COLUMNS = (
    "tool",
    "ns/frame, median",
    "ns/frame, min–max",
    "threads, ns/frame",
    "million frames a processor second",
    "dropped",
    "times less than tcpdump",
)


def _row(name: str, runs: list[Taken], peer: list[Taken]) -> list[str]:
    ns = statistics.median(run.ns for run in runs)
    middle = min(runs, key=lambda run: abs(run.ns - ns))
    threads = [f"{taken:.1f}" for taken in middle.threads if taken >= 0.5]
    times = statistics.median(run.ns for run in peer) / ns if peer else 0.0
    return [
        name,
        f"{ns:.1f}",
        f"{min(run.ns for run in runs):.1f}–{max(run.ns for run in runs):.1f}",
        " + ".join(threads),
        f"{1e3 / ns:.1f}",
        f"{max(run.dropped for run in runs):,}",
        f"{times:.2f}" if peer else "",
    ]


def versions() -> Iterator[str]:
    yield f"fastcap {fastcap.__version__}"
    yield f"Python {platform.python_version()}"
    for tool, names in (("tcpdump", ("tcpdump", "libpcap")), ("dumpcap", ("dumpcap",))):
        if not installed(tool):
            yield f"{tool} not installed"
            continue
        done = subprocess.run([tool, "--version"], capture_output=True, check=False, text=True)
        for name in names:
            number = re.search(
                rf"^{name}\b[^\d\n]*(\d+(?:\.\d+)+)",
                done.stdout + done.stderr,
                re.IGNORECASE | re.MULTILINE,
            )
            yield f"{name} {number.group(1) if number else 'of an unknown version'}"


def _compare(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Lines of Markdown. Tools take turns, so that a slow minute is everybody's."""
    now = datetime.datetime.now(datetime.timezone.utc)
    command = shlex.join(["python", "benches/drain.py", *sys.argv[1:]])
    filesystem = do("stat", "-f", "-c", "%T", str(folder)).strip()
    yield f"- machine: {machine()}"
    yield f"- versions: {', '.join(versions())}"
    yield f"- command: `{command}`"
    yield f"- date: {now:%Y-%m-%d %H:%M} UTC"
    yield (
        f"- {options.frames:,} frames of {WIRE} bytes, {SNAPLEN} kept, in a ring of {RING >> 20} "
        f"MiB; files on {filesystem}; {options.rounds} rounds in turns"
    )
    tools = _tools(folder / "capture")
    for tool in tools:
        words = [Path(tool.arguments[0]).name, *tool.arguments[1:]]
        yield f"- {tool.name}: `{shlex.join(words).replace(str(folder / 'capture'), '…')}`"
    sender = build_sender(folder)
    runs: dict[str, list[Taken]] = {tool.name: [] for tool in tools}
    alone = runs["write(2) of 4 MiB, nothing else"] = []
    for _ in range(options.rounds):
        alone.append(_write_alone(folder / "capture", options.frames))
        for tool in tools:
            runs[tool.name].append(_measure(tool, sender, folder / "capture", options.frames))
            print(f"{tool.name}: {runs[tool.name][-1].ns:.1f} ns", file=sys.stderr)
    yield ""
    yield markdown_row(_COLUMNS)
    yield markdown_row(["---", *["---:"] * (len(_COLUMNS) - 1)])
    for name, taken in runs.items():
        yield markdown_row(_row(name, taken, runs.get("tcpdump", [])))


# ---- The command ------------------------------------------------------------------------------


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Processor time of a live capture for a frame.")
    add: Any = parser.add_argument
    add("--frames", type=int, default=3_000_000, metavar="N", help="in the ring; 3,000,000")
    add("--rounds", type=int, default=5, metavar="N", help="of each tool; 5")
    add("--dir", default="/dev/shm", metavar="DIR", help="for the files; /dev/shm")
    add("--markdown", metavar="PATH", help="write the report to a file too")
    options = parser.parse_args()
    most = RING // RING_BYTES_A_FRAME
    if not 0 < options.frames <= most or options.rounds < 1:
        parser.error(f"1 to {most:,} frames, which fit every ring; 1 round or more")
    return options


def main() -> int:
    options = _parse()
    folder = Path(tempfile.mkdtemp(prefix="drain_", dir=options.dir))
    lines = []
    try:
        enter_namespace()
        for line in _compare(folder, options):
            print(line, flush=True)
            lines.append(line)
    except (Disagreement, Failure) as error:
        print(f"drain: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    if options.markdown:
        Path(options.markdown).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
