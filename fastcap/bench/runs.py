"""One tool captures one load: what it wrote, counted in its files by serial number, beside what was
offered, what it says itself that it lost, and what it took for that."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastcap._native.cancel import Cancel
from fastcap._native.generator import FCS
from fastcap.bench.folder import own_folder
from fastcap.bench.generator import Load, Sent, sizes_of
from fastcap.bench.groups import Group, make_group
from fastcap.bench.idle import check_done, until_idle
from fastcap.bench.link import Link
from fastcap.bench.memory import touch
from fastcap.bench.processors import sender_runs_on, tools_run_on
from fastcap.bench.serials import Serials, read_serials
from fastcap.bench.stops import Heed, heeded
from fastcap.bench.timeline import Look, Timeline
from fastcap.bench.tools import WHOLE, Process, Request, Tool, ToolError, running, tool
from fastcap.capture import SMALLEST_BUFFER, check_memory
from fastcap.errors import InputError, OutputError, UsageError
from fastcap.formats.pcap import RECORD_HEADER_SIZE
from fastcap.waiting import Work, start_thread

_LEAST_RING, _LEAST_FILE = 4 << 20, 1 << 20
_KEEP_FREE = 256 << 20  # bytes of the disk
_LOOK = 0.05  # seconds
_SLACK = 1.25  # of `size`, for headers and a port on which others send
_TOO_LATE = 1.5  # times the seconds of a load, and it ends though frames are left


class Case(NamedTuple):
    """What is offered, and what a tool has for it: `size` in bytes on the wire, or
    fastcap.bench.generator.MIX; `rate` in
    frames a second, 0 as fast as they can be sent; `quota` in percent of one processor, None is all
    there are."""

    size: str
    rate: float
    snaplen: int
    quota: float | None = None

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return sizes_of(self.size)

    def record(self, keeps_whole: bool) -> float:
        """Mean bytes of a record."""
        kept = WHOLE if keeps_whole or not self.snaplen else self.snaplen
        sizes = [(min(wire - FCS, kept), weight) for wire, weight in self.sizes]
        total = sum(size * weight for size, weight in sizes)
        return RECORD_HEADER_SIZE + total / sum(weight for _, weight in sizes)


class Settings(NamedTuple):
    """The same for all tools. `ring`, `buffer` and `file_size` in bytes, `seconds` of sending by so
    many `threads`, at most `frames` (0: no limit but the time), `size` bytes of files."""

    folder: str
    seconds: float = 3.0
    frames: int = 0
    ring: int = 64 << 20
    buffer: int = 64 << 20
    file_size: int = 1 << 30
    size: int = 2 << 30
    threads: int = 1
    seed: int = 1


class Run(NamedTuple):
    """`offered` frames reached the interface (with ports: were sent), `rate` of them a second;
    `written` are different frames in the files; `claimed` are lost, as the tool says itself.
    `cpu_s` of processor time, `bytes` of the files. `cable_lost` frames were sent and never reached
    the interface: no tool's fault. The sender was so long behind its pace that it gave up
    `late_s` of it."""

    tool: str
    case: Case
    offered: int
    rate: float
    written: int
    duplicates: int
    claimed: int
    cpu_s: float
    bytes: int
    cable_lost: int
    late_s: float
    timeline: Timeline

    @property
    def lost(self) -> int:
        return self.offered - self.written

    @property
    def seconds(self) -> float:
        """How long frames were sent."""
        return self.offered / self.rate if self.rate else 0.0

    @property
    def lost_percent(self) -> float:
        return 100 * self.lost / self.offered if self.offered else 0.0

    @property
    def unclaimed(self) -> int:
        """Frames that it lost and does not say so; below 0: that it says it lost, and has. Where
        others send too, a tool rightly counts frames that are none of ours."""
        return self.lost - self.claimed

    @property
    def cpu_ns(self) -> float | None:
        """Of processor time a frame written."""
        return 1e9 * self.cpu_s / self.written if self.written else None


class Runner:
    """Runs cases on a link. `number` is in every frame, so that two benches are told apart."""

    def __init__(self, settings: Settings, link: Link, heed: Heed) -> None:
        self.settings = settings
        self.link = link
        self.heed = heed
        self.number = os.getpid() & 0xFFFFFFFF

    def run(self, name: str, case: Case, frames: int) -> Run:
        """At most so many `frames`. ToolError where the tool fails, InputError where the load does;
        UsageError where there can be no quota."""
        with own_folder(self.settings.folder) as folder, contextlib.ExitStack() as opened:
            group = None if case.quota is None else make_group()
            if group is not None:
                opened.callback(group.close)
            one = tool(name, request(self.settings, self.link.rx, case.snaplen), folder / "out")
            return self._run(one, case, frames, folder, group)

    def _run(self, one: Tool, case: Case, frames: int, folder: Path, group: Group | None) -> Run:
        with running(one, folder, tools_run_on(self.settings.threads)) as process:
            process.wait_until_live(self.heed)
            if group is not None and case.quota is not None:
                group.adopt(process.pid)
                group.limit(case.quota)
            touch(folder, round(frames * case.record(one.keeps_whole)), self.heed)
            before, arrived = process.taken(), self.link.arrived()
            watch = Watch(process, self.link, self.heed, _SLACK * self.settings.size)
            sent = self.link.send(self._load(case, frames), watch.look)
            used = until_idle(process, watch.look, case.quota).since(before)
            if group is not None:
                group.lift()
            written = process.bytes()
            claimed = process.end(self.heed)
            size = check_done(process, written)
            offered = self.link.arrived() - arrived if self.link.own else sent.frames
        found = count(one, process.paths(), self.number, sent, self.link, self.heed)
        rate = sent.rate * offered / sent.frames
        return Run(
            one.name, case, offered, rate, found.distinct, found.duplicates, claimed, used.seconds,
            size, sent.frames - offered, sent.late_ns / 1e9,
            watch.timeline(offered, found.distinct, size),
        )  # fmt: skip

    def _load(self, case: Case, frames: int) -> Load:
        settings = self.settings
        return Load(
            self.link.tx, rate=case.rate, sizes=case.sizes, seed=settings.seed, bench=self.number,
            threads=settings.threads, seconds=settings.seconds * _TOO_LATE if case.rate
            else settings.seconds, frames=frames, cpus=sender_runs_on(settings.threads),
        )  # fmt: skip


def request(settings: Settings, interface: str, snaplen: int) -> Request:
    return Request(interface, snaplen, settings.ring, settings.buffer, settings.file_size)


def check(settings: Settings) -> None:
    """OutputError for a directory that cannot be used, UsageError for what no tool takes; a signal
    ends it as `heeded` has it."""
    check_memory(settings.ring, settings.buffer)
    if settings.ring < _LEAST_RING or settings.buffer < SMALLEST_BUFFER:
        raise UsageError(
            f"--ring is at least {_LEAST_RING >> 20}M, --buffer {SMALLEST_BUFFER >> 20}M"
        )
    if settings.file_size < _LEAST_FILE:
        raise UsageError(f"--file-size is at least {_LEAST_FILE >> 20}M: tools count in megabytes")
    with heeded(), own_folder(settings.folder):
        pass


def frames_of(settings: Settings, case: Case, keeps_whole: bool) -> int:
    """How many frames of a case there is time and room for. `keeps_whole`: one of the tools does.
    OutputError where there is no room."""
    free = shutil.disk_usage(settings.folder).free
    frames = int(min(free - _KEEP_FREE, settings.size) / case.record(keeps_whole))
    if frames < 1:
        raise OutputError(
            f"{settings.folder}: no room for the files of a bench: {free >> 20:,} MiB are free, of "
            f"which {_KEEP_FREE >> 20} stay free; --dir elsewhere"
        )
    if settings.frames:
        frames = min(frames, settings.frames)
    if case.rate:
        frames = min(frames, max(1, round(case.rate * settings.seconds)))
    return frames


def count(
    one: Tool, paths: Sequence[Path], number: int, sent: Sent, link: Link, heed: Heed
) -> Serials:
    """What is in its files. ToolError for what nobody sent; InputError where nothing was sent, or
    nothing of it came through two ports. Raises what `heed` raises."""
    if not sent.frames:
        raise InputError(f"{link.tx} sent nothing: has it a carrier?")
    cancel = Cancel()

    def read() -> Serials:
        files = [path for path in paths if path.stat().st_size > 0]
        return read_serials(files, bench=number, sent=sent.by_thread, cancel=cancel)

    work = Work(read)
    thread = start_thread(work.run, "fastcap-count")
    try:
        while not work.done.wait(_LOOK):
            heed()
    finally:
        cancel.set()
        thread.join()
    found = work.result()
    if found.damage:
        raise ToolError(f"{one.name}: its files are damaged: {found.damage[0].reason}")
    if found.never_sent:
        raise ToolError(f"{one.name}: its files hold {found.never_sent:,} frames of nobody")
    if link.own and found.foreign:
        raise ToolError(f"{one.name}: its files hold {found.foreign:,} frames of others")
    if not link.own and not found.distinct:
        raise InputError(
            f"nothing that {link.tx} sent is in the files: is it connected to {link.rx}?"
        )
    return found


class Watch:
    """Looks at a tool at work: what came, and how its files grow, up to `most` bytes."""

    def __init__(self, process: Process, link: Link, heed: Heed, most: float) -> None:
        self._process = process
        self._most = most
        self._link = link
        self._heed = heed
        self._arrived = link.arrived()
        self._began = time.monotonic()
        self._looks: list[Look] = []

    def look(self) -> int:
        """Often; bytes of the files. Raises what `heed` does; ToolError where the tool ended."""
        self._heed()
        self._process.check_alive()
        now, size = time.monotonic(), self._process.bytes()
        if size > self._most:
            raise OutputError(f"{self._process.tool.name}: more than --size: others send here too")
        came = self._link.arrived() - self._arrived
        self._looks.append((now - self._began, came, size))
        return size

    def timeline(self, offered: int, written: int, size: int) -> Timeline:
        """`written` frames make the files of `size` bytes in all, with what a tool kept until it
        ended: the last point is what was lost."""
        looks = [*self._looks, (self._looks[-1][0], offered, size)]
        return Timeline.of(looks, written / size if size else 0.0, offered)
