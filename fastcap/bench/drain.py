"""What a capture takes for a frame when it is the limit: each tool is stopped while frames fill its
ring, then resumed, and the processor time that it takes until all are written is what is measured.

No fast link is needed: nothing is sent meanwhile, so the kernel's half of the work is not in it.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastcap.bench import lies
from fastcap.bench.charts import Bar, BarGroup, Bars
from fastcap.bench.comparison import in_turns
from fastcap.bench.folder import left_by_others, own_folder
from fastcap.bench.generator import Load, Sent
from fastcap.bench.idle import check_done, until_idle
from fastcap.bench.link import Link, Ports, open_link
from fastcap.bench.memory import touch
from fastcap.bench.processors import sender_runs_on, tools_run_on
from fastcap.bench.report import Figure, Grid, counted
from fastcap.bench.runs import Settings, count, request
from fastcap.bench.stops import Heed, heeded
from fastcap.bench.tools import (
    Process,
    Taken,
    Tool,
    ToolError,
    check_installed,
    installed,
    running,
    tool,
)
from fastcap.errors import OutputError
from fastcap.formats.pcap import RECORD_HEADER_SIZE

LINE_RATE = 10**10 / (8 * (64 + 20))  # of 64-byte frames at 10 Gbit/s, a second: 14.88 million
_LINE_NS = 1e9 / LINE_RATE  # 67.2
_WARM_FRAMES = 100_000  # so that what happens once has happened
_LONGEST = 60.0  # seconds of sending
_KEEP_FREE = 256 << 20  # bytes of the disk
_FEW = 100_000  # frames; fewer are told
_LEAST_NS = 0.5  # of a thread that is worth telling

Progress = Callable[[int, int, str], None]


class Question(NamedTuple):
    """`size` in bytes on the wire, `frames` that fill the ring; 0: as many as surely fit."""

    tools: Sequence[str]
    size: int
    snaplen: int
    frames: int
    rounds: int
    settings: Settings


class Drained(NamedTuple):
    """`written` of the `offered` frames, those that the tool says it dropped are `claimed`, with
    those `warm_lost` that were sent before. `ns` of processor time a frame written, `threads` of
    each thread, the largest first."""

    tool: str
    offered: int
    written: int
    claimed: int
    warm_lost: int
    ns: float
    threads: Sequence[float]

    @property
    def lost(self) -> int:
        return self.offered - self.written

    @property
    def unclaimed(self) -> int:
        """Frames that it lost and does not say so."""
        return self.lost + self.warm_lost - self.claimed


class Comparison(NamedTuple):
    """`own`: over a cable of ours; with ports, what the cable or the card lost is nobody's lie."""

    question: Question
    own: bool
    drained: dict[str, list[Drained]]
    left_out: Sequence[str]
    commands: dict[str, str]


def frames_that_fit(ring: int, size: int) -> int:
    """Of any tool's ring: the greediest keeps the whole frame, and up to 256 bytes with it; a
    quarter of the ring is left.

    >>> frames_that_fit(512 << 20, 300)
    724196
    """
    return ring // 4 * 3 // (size + 256)


def compare(question: Question, ports: Ports | None, progress: Progress | None) -> Comparison:
    """As `fastcap.bench.comparison.compare`: turns, left out tools, signals, errors."""
    say = progress or (lambda *_: None)
    left_out = [f"{name}: not installed" for name in question.tools if not installed(name)]
    tools = check_installed(question.tools)
    drained: dict[str, list[Drained]] = {name: [] for name in tools}
    commands: dict[str, str] = {}
    with heeded() as heed, open_link(ports, question.size) as link:
        drainer = _Drainer(question, link, heed)
        drainer.check_room()
        for place in range(question.rounds):
            for number, name in enumerate(in_turns(list(drained), place)):
                say(place * len(tools) + number, question.rounds * len(tools), name)
                try:
                    drained[name].append(drainer.drain(name))
                except ToolError as error:
                    if name == "fastcap":
                        raise
                    del drained[name]
                    left_out.append(str(error))
        for name in drained:
            commands[name] = drainer.tool(name, Path("DIR")).command
    left_out += left_by_others(question.settings.folder)
    return Comparison(question, ports is None, drained, left_out, commands)


class _Drainer:
    def __init__(self, question: Question, link: Link, heed: Heed) -> None:
        self.question = question
        self.link = link
        self.heed = heed
        self.number = os.getpid() & 0xFFFFFFFF

    def tool(self, name: str, folder: Path) -> Tool:
        asked = request(self.question.settings, self.link.rx, self.question.snaplen)
        return tool(name, asked, folder)

    def drain(self, name: str) -> Drained:
        """ToolError where the tool fails, InputError where the load does."""
        with own_folder(self.question.settings.folder) as folder:
            return self._drain(self.tool(name, folder / "out"), folder)

    def _drain(self, one: Tool, folder: Path) -> Drained:
        settings = self.question.settings
        with running(one, folder, tools_run_on(settings.threads)) as process:
            process.wait_until_live(self.heed)
            warm = self._send(min(_WARM_FRAMES, self._that_fit), self.number ^ 1)
            self._until_idle(process)
            process.stop(self.heed)
            arrived = self.link.arrived()
            sent = self._send(self.question.frames, self.number)
            offered = self.link.arrived() - arrived if self.link.own else sent.frames
            touch(folder, self.question.frames * self._record, self.heed)
            before = process.taken()
            process.resume()
            used = self._until_idle(process).since(before)
            written = process.bytes()
            claimed = process.end(self.heed)
            check_done(process, written)
        found = count(one, process.paths(), self.number, sent, self.link, self.heed)
        if not found.distinct:
            raise ToolError(f"{one.name} wrote none of {offered:,} frames")
        ns = 1e9 / found.distinct
        told = sorted((ns * seconds for seconds in used.threads.values()), reverse=True)
        return Drained(
            one.name, offered, found.distinct, claimed, warm.frames - found.other_benches,
            used.seconds * ns, told,
        )  # fmt: skip

    @property
    def _that_fit(self) -> int:
        return frames_that_fit(self.question.settings.ring, self.question.size)

    @property
    def _record(self) -> int:
        """Bytes at most."""
        return RECORD_HEADER_SIZE + self.question.size

    def check_room(self) -> None:
        """OutputError where the files do not fit."""
        folder = self.question.settings.folder
        needed = (self.question.frames + _WARM_FRAMES) * self._record + _KEEP_FREE
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise OutputError(
                f"{folder}: {needed >> 20:,} MiB are needed, {free >> 20:,} are free; fewer "
                "--frames, or --dir elsewhere"
            )

    def _until_idle(self, process: Process) -> Taken:
        def look() -> int:
            self.heed()
            return process.bytes()

        return until_idle(process, look)

    def _send(self, frames: int, number: int) -> Sent:
        threads = self.question.settings.threads
        load = Load(
            self.link.tx, sizes=((self.question.size, 1),), bench=number, frames=frames,
            seconds=_LONGEST, threads=threads, cpus=sender_runs_on(threads),
        )  # fmt: skip
        return self.link.send(load, self.heed)


# ---- What it means ----------------------------------------------------------------------------


def tables(comparison: Comparison) -> list[Grid]:
    rows = [(name, _figures(several)) for name, several in comparison.drained.items()]
    return [Grid("drain", "tool", rows)] if rows else []


def _figures(several: Sequence[Drained]) -> list[Figure]:
    ns = statistics.median(one.ns for one in several)
    middle = min(several, key=lambda one: abs(one.ns - ns))
    threads = [each for each in middle.threads if each >= _LEAST_NS] or [middle.ns]
    return [
        Figure("offered", "offered", middle.offered),
        Figure("written", "written", middle.written),
        Figure("claimed_lost", "says lost", middle.claimed),
        Figure("lost_unclaimed", "not told", max((one.unclaimed for one in several), key=abs)),
        Figure("cpu_ns", "a frame", round(ns, 1), "ns"),
        Figure("cpu_ns_least", "least", round(min(one.ns for one in several), 1), "ns"),
        Figure("cpu_ns_most", "most", round(max(one.ns for one in several), 1), "ns"),
        Figure("threads_ns", "threads", " + ".join(f"{each:.1f}" for each in threads), "ns"),
        Figure("slowest_thread_ns", "", round(threads[0], 1)),
        Figure("frames_per_second", "carries", round(1e9 / threads[0]), "/s"),
        Figure("line_rate_percent", "of 10G, 64 bytes", round(100 * _LINE_NS / threads[0], 1), "%"),
    ]


def notes(comparison: Comparison) -> list[str]:
    question, settings = comparison.question, comparison.question.settings
    return [
        *_lies(comparison),
        *(f"left out: {what}" for what in comparison.left_out),
        f"{question.frames:,} frames of {question.size} bytes, {question.snaplen or 'all'} kept, "
        f"came to a ring of {settings.ring >> 20} MiB while the tool was stopped; "
        f"{counted(question.rounds, 'round')} in turns; nothing was sent while they were written",
        *_too_many(question),
        *_too_few(question),
        f"a tool carries what its slowest thread does, if each thread has a processor; 64-byte "
        f"frames at 10 Gbit/s are {LINE_RATE:,.0f} a second, one every {_LINE_NS:.1f} ns; the "
        "kernel's work of receiving them is not in any figure here, and takes processors too",
        *(f"{name}: {command}" for name, command in comparison.commands.items()),
    ]  # fmt: skip


def _too_many(question: Question) -> list[str]:
    fit = frames_that_fit(question.settings.ring, question.size)
    if question.frames <= fit:
        return []
    return [f"{fit:,} such frames surely fit into the ring of every tool: others may be lost"]


def _too_few(question: Question) -> list[str]:
    if question.frames >= _FEW:
        return []
    return [
        f"{question.frames:,} frames are few: what a tool does once, and at every moment that it "
        "wakes up, is much of each figure; a larger --ring holds more"
    ]


def _lies(comparison: Comparison) -> list[str]:
    """The worst round of each tool that does not say what it lost."""
    rounds = [one for several in comparison.drained.values() for one in several]
    return [lies.told(one) for one in lies.worst_lies(rounds if comparison.own else ())]


def title(comparison: Comparison) -> str:
    question = comparison.question
    return (
        f"{', '.join(comparison.drained)}: a ring drained, {question.size} bytes on the wire, "
        f"{question.snaplen or 'all'} kept"
    )


def charts(comparison: Comparison) -> list[Bars]:
    bars = []
    for name, several in comparison.drained.items():
        values = [round(one.ns, 1) for one in several]
        bars.append(Bar(name, round(statistics.median(values), 1), min(values), max(values)))
    note = f"line rate of 10 Gbit/s with 64-byte frames leaves {_LINE_NS:.1f} ns a frame"
    return [Bars("cost", "Processor time a frame, all threads", "ns", [BarGroup("", bars)], note)]


def more(comparison: Comparison) -> dict[str, Any]:
    return {
        "runs": [
            {
                "tool": one.tool,
                "round": place + 1,
                "offered": one.offered,
                "written": one.written,
                "lost": one.lost,
                "claimed_lost": one.claimed,
                "lost_unclaimed": one.unclaimed,
                "lost_before": one.warm_lost,
                "cpu_ns": one.ns,
                "threads_ns": list(one.threads),
            }
            for several in comparison.drained.values()
            for place, one in enumerate(several)
        ],
        "left_out": list(comparison.left_out),
        "commands": comparison.commands,
    }
