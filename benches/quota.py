"""What a capture loses when it has only a share of one processor, beside tcpdump, dumpcap and
netsniff-ng.

    sudo .venv/bin/python benches/quota.py [--quota 4,2] [--rounds 5] [--markdown FILE]

Each tool is started and captures; only then it is moved, with all its threads, into a cgroup that
gives it 4 % (2 %) of one processor: 4 ms (2 ms) in every 100. 3,000,000 frames of 80 bytes follow,
680,000 a second, each with a serial number. The tool stays under its quota until it has nothing
left to do, so what waits in its ring is written at the same price; then the quota is lifted and it
is told to end. What it lost is what is missing in its files, whatever it says itself. Processor
time is the cgroup's own account of it, from the first frame until there was nothing left to do.

Every tool has a ring of 64 MiB, keeps 80 bytes of a frame and begins a new file every 100 MB;
fastcap has its usual buffer of 256 MiB behind the ring as well, which its peers have not: a run of
this length may end before that is full, so look at the processor time a frame too. Files are in
/dev/shm unless --dir says otherwise; ext4 takes less processor time than tmpfs for a write.

The frames go over a veth pair in a network namespace of their own. Its receiving half, which copies
frames into the ring, runs on the sender's processor and is charged to the sender, outside the
quota. Where there is more than one processor, the sender has the last one and the tools the others;
it goes before whatever else runs there. Runs in which it was too slow are repeated.

The cgroup is of version 1 or 2, wherever this machine has the cpu controller; nothing is mounted or
unmounted. Needs root, Linux, and `ip`.
"""

from __future__ import annotations

import abc
import argparse
import contextlib
import datetime
import json
import os
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

from benches.compare_offline import (
    Disagreement,
    Failure,
    installed,
    machine,
    markdown_row,
    our_command,
    touch_free_memory,
)
from benches.drain import (
    CAPTURED,
    SENDING,
    Process,
    Tool,
    build_sender,
    do,
    dropped_by,
    enter_namespace,
    versions,
)

FRAME = 80
RECORD = 16 + FRAME
SERIAL = 16 + 14  # where a record has the serial number: behind the Ethernet header
FILE_HEADER = 24
RING = 64 << 20
PERIOD_US = 100_000  # of a quota; the kernel's default
SLOWEST, TRIES = 0.95, 5  # of the rate that was asked for, at least; so often it is tried
LONGEST_SECONDS = 300.0
# A tool is idle when for so long its files did not grow and it took less than this part of its
# quota. Longer than fastcap keeps a chunk that is not full, and than a tool can be held back for
# what it took beyond its quota in one system call.
IDLE_SHARE, IDLE_SECONDS, WINDOW_SECONDS = 0.3, 3.0, 0.25


# ---- Tools ------------------------------------------------------------------------------------


def _tools(folder: Path) -> list[Tool]:
    stem = str(folder / "out.pcap")
    mib, snaplen = RING >> 20, str(FRAME)
    ours = [*our_command(), "capture", "-i", CAPTURED, "-s", snaplen, "--ring", f"{mib}M"]
    ours += ["--json", "-w", stem, "-C", "100"]  # and its usual buffer
    tcpdump = ["tcpdump", "-n", "-i", CAPTURED, "-s", snaplen, "-B", str(RING >> 10), "-Z", "root"]
    tcpdump += ["-w", stem]
    dumpcap = ["dumpcap", "-q", "-P", "-i", CAPTURED, "-s", snaplen, "-B", str(mib)]
    dumpcap += ["-w", stem, "-b", "filesize:100000"]
    # -A: it leaves the machine's settings alone
    netsniff = ["netsniff-ng", "--in", CAPTURED, "--out", str(folder / "files"), "-s", "-A"]
    netsniff += ["--ring-size", f"{mib}MiB", "-F", "100MiB"]
    lost = [r'"frames_dropped_ring": (\d+)', r'"frames_lost_writer": (\d+)']
    kernel = [r"(\d+) packets dropped by kernel"]
    both = [r"received/dropped on interface .*: \d+/(\d+)"]
    space = [r"(\d+)\s+packets failed filter \(out of space\)"]
    return [
        Tool("fastcap -C 100", ours, "capturing on", lost),
        Tool("tcpdump -C 100", [*tcpdump, "-C", "100"], "listening on", kernel),
        Tool("tcpdump", tcpdump, "listening on", kernel),
        Tool("dumpcap -P -b filesize:100000", dumpcap, "File: ", both),
        Tool("netsniff-ng -F 100MiB", netsniff, "Running!", space),
    ]


def _program(tool: Tool) -> str:
    return tool.name.split()[0]


# ---- Control groups ---------------------------------------------------------------------------


class Group(abc.ABC):
    """A cgroup of ours with a quota. Removed by `close`, when nobody is in it."""

    version = ""

    def __init__(self, *folders: Path) -> None:
        self.folders = list(dict.fromkeys(folders))
        self._made: list[Path] = []
        try:
            for folder in self.folders:
                folder.mkdir()
                self._made.append(folder)
        except OSError as error:
            self.close()
            raise Failure(f"no cgroup {folder}: {error.strerror} (are you root?)") from None

    def adopt(self, pid: int) -> None:
        """All threads of a process."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    @abc.abstractmethod
    def limit(self, percent: float) -> None: ...

    @abc.abstractmethod
    def lift(self) -> None: ...

    @abc.abstractmethod
    def used_ns(self) -> int:
        """Processor time of all that ran in it."""

    def throttled(self) -> int:
        """Periods in which the quota was used up."""
        found = re.search(r"^nr_throttled (\d+)", self._read("cpu.stat"), re.MULTILINE)
        return int(found.group(1)) if found else 0

    def _read(self, name: str) -> str:
        return (self.folders[0] / name).read_text()

    def close(self) -> None:
        until = time.monotonic() + 5
        for folder in reversed(self._made):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:  # who was killed is in it for a moment
                    if time.monotonic() > until:
                        print(f"quota: left behind: {folder}", file=sys.stderr)
                        break
                    time.sleep(0.05)


class GroupV1(Group):
    version = "v1"

    def __init__(self, name: str) -> None:
        cpu, account = _controller("cpu"), _controller("cpuacct")
        if cpu is None or account is None:
            raise Failure(
                "cgroup v1 has no cpu and cpuacct controllers here: a controller is in one "
                "hierarchy at a time, try --cgroup v2"
            )
        super().__init__(cpu / name, account / name)

    def limit(self, percent: float) -> None:
        (self.folders[0] / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (self.folders[0] / "cpu.cfs_quota_us").write_text(str(_quota_us(percent)))

    def lift(self) -> None:
        (self.folders[0] / "cpu.cfs_quota_us").write_text("-1")

    def used_ns(self) -> int:
        return int((self.folders[-1] / "cpuacct.usage").read_text())


class GroupV2(Group):
    version = "v2"

    def __init__(self, name: str) -> None:
        root = _unified()
        if root is None or "cpu" not in (root / "cgroup.controllers").read_text().split():
            raise Failure(
                "cgroup v2 has no cpu controller here: a controller is in one hierarchy at a "
                "time, try --cgroup v1"
            )
        self._switch = root / "cgroup.subtree_control"
        self._switched = "cpu" not in self._switch.read_text().split()
        if self._switched:
            try:
                self._switch.write_text("+cpu")
            except OSError as error:
                raise Failure(f"{self._switch} takes no +cpu: {error.strerror}") from None
        super().__init__(root / name)

    def limit(self, percent: float) -> None:
        (self.folders[0] / "cpu.max").write_text(f"{_quota_us(percent)} {PERIOD_US}")

    def lift(self) -> None:
        (self.folders[0] / "cpu.max").write_text(f"max {PERIOD_US}")

    def used_ns(self) -> int:
        found = re.search(r"^usage_usec (\d+)", self._read("cpu.stat"), re.MULTILINE)
        assert found is not None
        return int(found.group(1)) * 1000

    def close(self) -> None:
        super().close()
        if self._switched:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                self._switch.write_text("-cpu")


GROUPS: dict[str, type[GroupV1] | type[GroupV2]] = {"v1": GroupV1, "v2": GroupV2}


def _quota_us(percent: float) -> int:
    return round(PERIOD_US * percent / 100)


def _mounts(kind: str) -> Iterator[tuple[Path, list[str]]]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, what, options, *_ = line.split()
        if what == kind:
            yield Path(where), options.split(",")


def _controller(name: str) -> Path | None:
    return next((where for where, options in _mounts("cgroup") if name in options), None)


def _unified() -> Path | None:
    return next((where for where, _ in _mounts("cgroup2")), None)


def _group(version: str) -> GroupV1 | GroupV2:
    return GROUPS[version](f"fastcap-quota-{os.getpid()}")


def _versions_here(wanted: str) -> list[str]:
    """Tried before anything is measured. `both` is refused on kernels as they are: they have a
    controller in one hierarchy at a time."""
    if wanted == "auto":
        wanted = "v1" if _controller("cpu") is not None else "v2"
    found = ["v1", "v2"] if wanted == "both" else [wanted]
    for version in found:
        _group(version).close()
    return found


# ---- Sending ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _on(processors: set[int]) -> Iterator[None]:
    """What is started within runs there and nowhere else."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _first() -> Iterator[None]:
    """What is started within runs before everything else on its processor, where that is allowed:
    after each of its pauses it would wait for others to finish their turn."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Processors(NamedTuple):
    sender: set[int]
    tools: set[int]


def _processors() -> Processors:
    allowed = sorted(os.sched_getaffinity(0))
    return Processors({allowed[-1]}, set(allowed[:-1] or allowed))


def _send(sender: str, frames: int, rate: int) -> float:
    """Frames a second that it reached. Failure where the cable lost some: nobody could have them.
    It is no tool's fault."""
    before, started = _received(), time.monotonic()
    sent = int(do(sender, SENDING, str(frames), str(FRAME), "--rate", str(rate)))
    seconds = time.monotonic() - started
    arrived = _received() - before
    if sent != frames or arrived != frames:
        raise Failure(f"{sent:,} of {frames:,} frames were sent, {arrived:,} arrived")
    return frames / seconds


def _received() -> int:
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == CAPTURED:
            return int(numbers.split()[1])
    raise Failure(f"{CAPTURED} is gone")


# ---- One measurement --------------------------------------------------------------------------


class Run(NamedTuple):
    """`said`: frames lost, as the tool tells. `cpu_s`: the cgroup's account."""

    frames: int
    kept: int
    said: int
    cpu_s: float
    rate: float
    throttled: int

    @property
    def lost_percent(self) -> float:
        return 100 * (1 - self.kept / self.frames)

    @property
    def ns(self) -> float:
        """A frame kept."""
        return 1e9 * self.cpu_s / self.kept if self.kept else float("nan")


class Bench(NamedTuple):
    folder: Path
    sender: str
    processors: Processors
    frames: int
    rate: int


def _measure(bench: Bench, tool: Tool, version: str, percent: float) -> Run:
    for _ in range(TRIES):
        run = _run(bench, tool, version, percent)
        if run.rate >= SLOWEST * bench.rate:
            return run
        print(f"{tool.name}: only {run.rate:,.0f} frames/s were sent, again", file=sys.stderr)
    raise Failure(
        f"the sender does not reach {bench.rate:,} frames/s here: {run.rate:,.0f}; try --rate"
    )


def _run(bench: Bench, tool: Tool, version: str, percent: float) -> Run:
    shutil.rmtree(bench.folder, ignore_errors=True)
    (bench.folder / "files").mkdir(parents=True)  # netsniff-ng wants one that exists
    touch_free_memory()  # that of the files
    group = _group(version)
    try:
        with _on(bench.processors.tools):
            process = Process(tool, bench.folder / "log")
        try:
            process.wait_until_live()
            group.adopt(process.pid)
            group.limit(percent)
            before = group.used_ns()
            with _on(bench.processors.sender), _first():
                rate = _send(bench.sender, bench.frames, bench.rate)
            used = _wait_until_idle(tool, group, bench.folder, percent) - before
            throttled = group.throttled()
            group.lift()
            process.end()
        except BaseException:
            process.kill()
            raise
    finally:
        group.close()
    kept = _kept(tool, bench.folder, bench.frames)
    said = dropped_by(tool, process.said())
    shutil.rmtree(bench.folder)
    return Run(bench.frames, kept, said, used / 1e9, rate, throttled)


def _wait_until_idle(tool: Tool, group: Group, folder: Path, percent: float) -> int:
    """The processor time that it had taken when there was nothing left to do."""
    started = quiet_since = time.monotonic()
    before = at_quiet = group.used_ns()
    size = _bytes_in(folder)
    little = IDLE_SHARE * percent / 100 * WINDOW_SECONDS * 1e9
    while time.monotonic() - quiet_since < IDLE_SECONDS:
        if time.monotonic() - started > LONGEST_SECONDS:
            raise Failure(f"{tool.name} is never idle")
        time.sleep(WINDOW_SECONDS)
        now, new_size = group.used_ns(), _bytes_in(folder)
        if now - before > little or new_size != size:
            quiet_since, at_quiet = time.monotonic(), now
        before, size = now, new_size
    return at_quiet


def _captures(folder: Path) -> list[Path]:
    everything = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in everything if path.name != "log" and path.suffix != ".json"]


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in _captures(folder):
        with contextlib.suppress(FileNotFoundError):  # it has another name by now
            total += path.stat().st_size
    return total


def _serials(path: Path) -> NDArray[np.uint64]:
    """Of the records of a file, which all have the same length."""
    data = np.fromfile(path, np.uint8, offset=FILE_HEADER)
    if len(data) % RECORD:
        raise Disagreement(f"{path}: ends inside a record, or holds records of another length")
    records = data.reshape(-1, RECORD)
    lengths = np.ascontiguousarray(records[:, 8:16]).view("<u4")
    if not (lengths == FRAME).all():
        raise Disagreement(f"{path}: records of another length")
    serials = np.ascontiguousarray(records[:, SERIAL : SERIAL + 8]).view(">u8")
    return serials.ravel().astype(np.uint64)


def _kept(tool: Tool, folder: Path, frames: int) -> int:
    """Different frames in its files."""
    paths = [path for path in _captures(folder) if path.stat().st_size > 0]
    serials = np.concatenate([np.zeros(0, np.uint64), *(_serials(path) for path in paths)])
    if len(serials) and int(serials.max()) >= frames:
        raise Disagreement(f"{tool.name}: frames that nobody sent")
    different = len(np.unique(serials))
    if different != len(serials):
        raise Disagreement(f"{tool.name}: {len(serials) - different:,} frames are there twice")
    return different


# ---- The report -------------------------------------------------------------------------------

_COLUMNS = (
    "tool",
    "lost, median",
    "lost, min–max",
    "runs without loss",
    "lost, as it says itself",
    "ns of processor time a frame kept",
)


def _percent(value: float) -> str:
    """A few frames of a million are not nothing."""
    return "0 %" if value == 0 else f"{value:.1f} %" if value >= 0.05 else f"{value:.4f} %"


def _row(name: str, runs: list[Run]) -> list[str]:
    lost = [run.lost_percent for run in runs]
    whole = sum(run.kept == run.frames for run in runs)
    said = statistics.median(100 * run.said / run.frames for run in runs)
    return [
        name,
        _percent(statistics.median(lost)),
        f"{_percent(min(lost))} – {_percent(max(lost))}",
        f"{whole} of {len(runs)}",
        _percent(said),
        f"{statistics.median(run.ns for run in runs):.0f}",
    ]


def _netsniff_version() -> str:
    if not installed("netsniff-ng"):
        return "netsniff-ng not installed"
    done = subprocess.run(["netsniff-ng", "--version"], capture_output=True, check=False, text=True)
    return " ".join(done.stdout.split()[:2])


def _compare(folder: Path, options: argparse.Namespace, raw: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown, and every run into `raw`. Tools take turns, so that a slow minute is
    everybody's."""
    groups = _versions_here(options.cgroup)
    wanted = [tool for tool in _tools(folder / "capture") if _is_wanted(tool, options.tools)]
    tools = [tool for tool in wanted if installed(tool.arguments[0])]
    processors = _processors()
    now = datetime.datetime.now(datetime.timezone.utc)
    command = shlex.join(["python", "benches/quota.py", *sys.argv[1:]])
    filesystem = do("stat", "-f", "-c", "%T", str(folder)).strip()
    yield f"- machine: {machine()}"
    yield f"- versions: {', '.join([*versions(), _netsniff_version()])}"
    yield f"- command: `{command}`"
    yield f"- date: {now:%Y-%m-%d %H:%M} UTC"
    yield (
        f"- {options.frames:,} frames of {FRAME} bytes, {options.rate:,} a second, rings of "
        f"{RING >> 20} MiB; files on {filesystem}; {options.rounds} rounds in turns"
    )
    yield f"- processors: the sender on {_list(processors.sender)}, tools on " + _list(
        processors.tools
    )
    for tool in tools:
        words = [Path(tool.arguments[0]).name, *tool.arguments[1:]]
        yield f"- {tool.name}: `{shlex.join(words).replace(str(folder / 'capture'), '…')}`"
    for missing in dict.fromkeys(_program(tool) for tool in wanted if tool not in tools):
        yield f"- {missing}: missing, not installed"
    bench = Bench(
        folder / "capture", build_sender(folder), processors, options.frames, options.rate
    )
    for version in groups:
        for percent in options.quota:
            runs = _rounds(bench, tools, version, percent, options.rounds, raw)
            yield from _table(version, percent, runs)


def _is_wanted(tool: Tool, names: list[str]) -> bool:
    return not names or _program(tool) in names


def _list(processors: set[int]) -> str:
    return ", ".join(str(number) for number in sorted(processors))


def _rounds(
    bench: Bench,
    tools: list[Tool],
    version: str,
    percent: float,
    rounds: int,
    raw: list[dict[str, Any]],
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {tool.name: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            run = _measure(bench, tool, version, percent)
            runs[tool.name].append(run)
            raw.append(
                {"tool": tool.name, "cgroup": version, "quota_percent": percent, **run._asdict()}
            )
            print(
                f"{version}, {percent:g} %, {tool.name}: lost {run.frames - run.kept:,} "
                f"({_percent(run.lost_percent)}; says {run.said:,}), {run.ns:.1f} ns, "
                f"{run.throttled} times throttled, {run.rate:,.0f} frames/s",
                file=sys.stderr,
            )
    return runs


def _table(version: str, percent: float, runs: dict[str, list[Run]]) -> Iterator[str]:
    rates = [run.rate for several in runs.values() for run in several]
    yield ""
    yield (
        f"{percent:g} % of one processor ({_quota_us(percent) / 1000:g} ms in every "
        f"{PERIOD_US // 1000}), cgroup {version}; the sender reached {min(rates):,.0f} to "
        f"{max(rates):,.0f} frames a second:"
    )
    yield ""
    yield markdown_row(_COLUMNS)
    yield markdown_row(["---", *["---:"] * (len(_COLUMNS) - 1)])
    for name, several in runs.items():
        yield markdown_row(_row(name, several))


# ---- The command ------------------------------------------------------------------------------


def _percents(text: str) -> list[float]:
    percents = [float(part) for part in text.split(",")]
    if not all(1 <= percent <= 100 for percent in percents):  # the kernel wants 1 ms
        raise ValueError
    return percents


def _names(text: str) -> list[str]:
    known = {_program(tool) for tool in _tools(Path())}
    names = text.split(",")
    if not known.issuperset(names):
        raise argparse.ArgumentTypeError(f"the tools are {', '.join(sorted(known))}")
    return names


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a capture loses on a share of a processor.")
    add: Any = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="of each tool; 5")
    add("--frames", type=int, default=3_000_000, metavar="N", help="of a run; 3,000,000")
    add("--rate", type=int, default=680_000, metavar="N", help="frames a second; 680,000")
    add("--quota", type=_percents, default=[4.0, 2.0], metavar="LIST",
        help="percent of one processor, each 1 or more; 4,2")  # fmt: skip
    add("--cgroup", choices=["auto", "v1", "v2", "both"], default="auto",
        help="auto: the version that has the cpu controller")  # fmt: skip
    add("--tools", type=_names, default=[], metavar="LIST", help="fastcap,tcpdump; all")
    add("--dir", default="/dev/shm", metavar="DIR", help="for the files; /dev/shm")
    add("--markdown", metavar="PATH", help="write the report to a file too")
    add("--json", metavar="PATH", help="write the numbers of each run to a file")
    options = parser.parse_args()
    if options.frames < 1 or options.rounds < 1 or options.rate < 1:
        parser.error("1 frame or more, 1 round or more, 1 frame a second or more")
    return options


def main() -> int:
    options = _parse()
    # So that it cleans up; and where it runs in the background, SIGINT is ignored, by tools too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="quota_", dir=options.dir))
    lines: list[str] = []
    raw: list[dict[str, Any]] = []
    try:
        enter_namespace()
        for line in _compare(folder, options, raw):
            print(line, flush=True)
            lines.append(line)
    except (Disagreement, Failure) as error:
        print(f"quota: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
        if options.json:  # what was measured until then, too
            Path(options.json).write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        Path(options.markdown).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
