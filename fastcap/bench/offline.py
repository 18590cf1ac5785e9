"""`fastcap filter` beside tcpdump, on the same files: counts first, then times.

Whole commands are timed, start-up included, in turns. They only count, so nothing is written; what
is made up lies in a temporary directory, never beside anybody's files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import fastcap
from fastcap import ourselves
from fastcap.bench.charts import Bar, BarGroup, Bars
from fastcap.bench.folder import own_folder
from fastcap.bench.machine import memory_bytes
from fastcap.bench.report import Figure, Figures, Grid
from fastcap.bench.stops import Heed
from fastcap.bench.traffic import HOST, LEAST_CAPTURED, make_capture
from fastcap.errors import DamageError, FastcapError, InputError, OutputError, UsageError
from fastcap.formats.linktypes import ETHERNET
from fastcap.formats.pcap import HEADER_SIZE
from fastcap.inputs import expand, open_source
from fastcap.waiting import Work, start_thread

HIT_SHARE = 0.01  # of made-up frames
_TCPDUMP = "tcpdump"
_GIGA = 1e9
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_LEAST_FREE = 64 << 20  # bytes that stay free where frames are made up
_LOOK = 0.05  # seconds between two looks at signals, while a command runs


class Bounds(NamedTuple):
    """What ends a command before it has read all: `heed`, which raises, and `seconds`."""

    heed: Heed
    seconds: float


class Files(NamedTuple):
    """What is filtered. `what` says it in words."""

    paths: Sequence[str]
    bytes: int
    what: str


class Comparison(NamedTuple):
    """`seconds` of every run of each tool, and of its start-up: the same on a file without frames.
    Of `frames`, `matched` were taken."""

    files: Files
    expression: str
    frames: int
    matched: int
    seconds: dict[str, list[float]]
    start_up: dict[str, list[float]]
    notes: Sequence[str]
    damaged: bool


class DisagreementError(FastcapError):
    """fastcap and tcpdump do not count the same frames."""


# ---- Files ------------------------------------------------------------------------------------


@contextlib.contextmanager
def made_up(size: int, captured: int, heed: Heed) -> Iterator[Files]:
    """A capture of made-up frames, for as long as it is needed. OutputError without room; what
    `heed` raises."""
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < size + _LEAST_FREE:
        raise OutputError(
            f"{place}: {free >> 20:,} MiB are free, too few for "
            f"{size >> 20:,} MiB of made-up frames: --size, or TMPDIR elsewhere"
        )
    with own_folder(place) as folder:
        made = make_capture(
            os.path.join(folder, "made-up.pcap"), size, captured=captured,
            wire=max(captured, LEAST_CAPTURED, 508), hit_share=HIT_SHARE, heed=heed,
        )  # fmt: skip
        what = f"made-up frames, {captured} captured bytes each, 1 in 100 from or to {HOST}"
        yield Files([made.path], made.bytes, what)


def given(names: Sequence[str]) -> Files:
    """InputError for what is no capture, or no file."""
    if "-" in names:
        raise UsageError("-: files are read several times, and standard input comes once")
    paths = expand(names)
    size = 0
    for path in paths:
        source = open_source(path)
        source.close()
        if source.fd is not None:
            raise InputError(f"{path}: files are read several times, and this is none")
        size += source.size
    return Files(paths, size, f"{len(paths):,} file{'s' * (len(paths) > 1)}")


def a_host_of(path: str) -> str:
    """A filter for the address that is rarest among the first frames. InputError without any."""
    counts: Counter[bytes] = Counter()
    with fastcap.open(path) as capture:
        if capture.header.linktype == ETHERNET:
            with contextlib.suppress(StopIteration, DamageError):
                counts = _sources(next(iter(capture)))
    if not counts:
        raise InputError(f"{path}: no IP address among its first frames: --filter EXPR, please")
    least = min(counts.values())
    return f"host {_address(min(found for found, n in counts.items() if n == least))}"


def _sources(batch: fastcap.Batch) -> Counter[bytes]:
    """Source addresses of frames without tags."""
    counts: Counter[bytes] = Counter()
    for index in range(len(batch)):
        frame = batch[index]
        start, end = (26, 30) if frame[12:14] == _IPV4 else (22, 38)
        if len(frame) >= end and frame[12:14] in (_IPV4, _IPV6):
            counts[bytes(frame[start:end])] += 1
    return counts


def _address(packed: bytes) -> str:
    import ipaddress

    return str(ipaddress.ip_address(packed))


# ---- Tools ------------------------------------------------------------------------------------


class _Tool(NamedTuple):
    """`input` goes to its standard input. One that is a `peer` may fail: it is left out then."""

    name: str
    command: Sequence[str]
    input: bytes
    peer: bool


class _PeerFailed(Exception):
    pass


def _fastcap(files: Files, expression: str) -> _Tool:
    command = ourselves.command()
    command += ["filter", "-e", expression, "--files-from", "-", "--count", "--json"]
    names = b"".join(os.fsencode(path) + b"\0" for path in files.paths)
    return _Tool("fastcap", command, names, peer=False)


def _tcpdump(files: Files, expression: str) -> _Tool:
    # as root it would become another user, who may not read the files
    stay = ["-Z", "root"] if os.geteuid() == 0 else []
    names = b"".join(os.fsencode(os.path.abspath(path)) + b"\n" for path in files.paths)
    command = [_TCPDUMP, "-n", *stay, "-V", "-", "--count", "--", expression]
    return _Tool(_TCPDUMP, command, names, peer=True)


class _Ran(NamedTuple):
    printed: bytes
    seconds: float


def _run(tool: _Tool, bounds: Bounds, statuses: tuple[int, ...] = (0,)) -> _Ran:
    """A peer's failure is _PeerFailed, ours FastcapError. It is gone afterwards, whatever `heed`
    raised."""
    began = time.perf_counter()
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell
            tool.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise _PeerFailed(error.strerror or str(error)) from error

    def communicate() -> tuple[bytes, bytes, float]:
        printed, said = process.communicate(tool.input)
        return printed, said, time.perf_counter() - began

    work = Work(communicate)
    thread = start_thread(work.run, "fastcap-bench")
    try:
        while not work.done.wait(_LOOK):
            bounds.heed()
            if time.perf_counter() - began > bounds.seconds:
                raise InputError(
                    f"{tool.name} takes more than {bounds.seconds:g} s: fewer files, or "
                    "--time-limit"
                )
    finally:
        process.kill()
        thread.join()
    printed, errors, seconds = work.result()
    if process.returncode in statuses:
        return _Ran(printed, seconds)
    said = errors.decode(errors="replace").strip().splitlines()
    last = said[-1] if said else f"exit status {process.returncode}"
    if tool.peer:
        raise _PeerFailed(last.removeprefix("tcpdump: "))
    raise _failure("\n".join(said).removeprefix("fastcap: ") or last, process.returncode)


def _failure(message: str, status: int) -> FastcapError:
    error = FastcapError(message)
    error.exit_status = status if status > 0 else 1
    return error


def _seconds(tool: _Tool, bounds: Bounds) -> tuple[str, float]:
    """Its name, and what it took."""
    try:
        return tool.name, _run(tool, bounds, (0,) if tool.peer else (0, 3)).seconds
    except _PeerFailed as error:
        raise FastcapError(f"{tool.name} failed, though it did not before: {error}") from error


# ---- The comparison ---------------------------------------------------------------------------


def compare(
    files: Files,
    expression: str,
    runs: int,
    bounds: Bounds,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """DisagreementError where counts differ; FastcapError where ours fails, or takes too long; what
    `bounds.heed` raises."""
    told = json.loads(_run(_fastcap(files, expression), bounds, (0, 3)).printed)
    damaged = any(row["damage"] for row in told["inputs"])
    tools, notes = [_fastcap], []
    why = _why_no_peer(files, expression, bounds, told["frames_matched"], damaged=damaged)
    if why:
        notes.append(why)
    else:
        tools.append(_tcpdump)
    if files.bytes > memory_bytes() // 2:
        notes.append("the files may not fit into the page cache: then the disk was measured too")
    seconds: dict[str, list[float]] = {}
    start_up: dict[str, list[float]] = {}
    with _without_frames(files.paths[0]) as nothing:
        for turn in range(runs):
            for place, tool in enumerate(tools):
                for what, noted in ((nothing, start_up), (files, seconds)):
                    name, took = _seconds(tool(what, expression), bounds)
                    noted.setdefault(name, []).append(took)
                if progress is not None:
                    done = turn * len(tools) + place + 1
                    progress(done * files.bytes, runs * len(tools) * files.bytes)
    frames, matched = told["frames_read"], told["frames_matched"]
    return Comparison(files, expression, frames, matched, seconds, start_up, notes, damaged)


@contextlib.contextmanager
def _without_frames(path: str) -> Iterator[Files]:
    """A capture with the header of another, and nothing else."""
    with own_folder(tempfile.gettempdir()) as folder, open(path, "rb") as file:
        empty = os.path.join(folder, "empty.pcap")
        with open(empty, "xb") as made:
            made.write(file.read(HEADER_SIZE))
        yield Files([empty], HEADER_SIZE, "nothing")


def _why_no_peer(
    files: Files, expression: str, bounds: Bounds, expected: int, *, damaged: bool
) -> str:
    """Why tcpdump is left out; "" where it counts the same. DisagreementError where not."""
    if shutil.which(_TCPDUMP) is None:
        return "tcpdump is not installed: nothing to compare with"
    if damaged:
        return "an input is damaged: tcpdump would stop there, so it is left out"
    why = _cannot_say(files.paths[0], expression, bounds)
    if why:
        return f"tcpdump cannot express the filter: {why}"
    try:
        printed = _run(_tcpdump(files, expression), bounds).printed
    except _PeerFailed as error:
        return f"tcpdump failed, and is left out: {error}"
    counted = re.search(rb"[0-9]+", printed)
    if counted is None:
        return "tcpdump printed no number, and is left out"
    if int(counted[0]) != expected:
        raise DisagreementError(
            f"the counts DISAGREE: fastcap takes {expected:,} frames, tcpdump "
            f"{int(counted[0]):,}, of {shlex.quote(expression)}: no time counts before that is "
            "explained; please report it"
        )
    return ""


def _cannot_say(path: str, expression: str, bounds: Bounds) -> str:
    """What tcpdump has against a filter, as it compiles it and reads nothing; or nothing."""
    command = [_TCPDUMP, "-d", "-r", path, "--", expression]
    try:
        _run(_Tool(_TCPDUMP, command, b"", peer=True), bounds)
    except _PeerFailed as error:
        return str(error)
    return ""


# ---- What it means ----------------------------------------------------------------------------


def tables(comparison: Comparison) -> list[Figures | Grid]:
    files = comparison.files
    input_rows = [
        Figure("what", "read", files.what),
        Figure("files", "files", len(files.paths)),
        Figure("input_bytes", "bytes", files.bytes),
        Figure("frames", "frames", comparison.frames),
        Figure("filter", "filter", comparison.expression or "(all frames)"),
        Figure("frames_matched", "frames matched", comparison.matched),
    ]
    return [Figures("input", "input", input_rows), _times(comparison)]


def charts(comparison: Comparison) -> list[Bars]:
    bars = [
        Bar(tool, *(round(of(seconds), 4) for of in (statistics.median, min, max)))
        for tool, seconds in comparison.seconds.items()
    ]
    note = "Median, least and most of the runs: whole commands, start-up included."
    return [Bars("times", "How long a run takes", "s", [BarGroup("", bars)], note)]


def _times(comparison: Comparison) -> Grid:
    ours = statistics.median(comparison.seconds["fastcap"])
    rows = [
        (tool, _figures(comparison, seconds, statistics.median(comparison.start_up[tool]), ours))
        for tool, seconds in comparison.seconds.items()
    ]
    return Grid("tools", "tool", rows)


def _figures(
    comparison: Comparison, seconds: list[float], start_up: float, ours: float
) -> list[Figure]:
    median = statistics.median(seconds)
    size, frames = comparison.files.bytes, comparison.frames
    rest = median - start_up  # noise where little is read
    per_frame = round(_GIGA * median / frames, 2) if frames else None
    without = round(size / rest / _GIGA, 2) if rest > start_up / 10 else None
    return [
        Figure("median_seconds", "median", round(median, 4), "s"),
        Figure("min_seconds", "least", round(min(seconds), 4), "s"),
        Figure("max_seconds", "most", round(max(seconds), 4), "s"),
        Figure("gb_per_second", "speed", round(size / median / _GIGA, 2), "GB/s"),
        Figure("ns_per_frame", "a frame", per_frame, "ns"),
        Figure("times_as_long_as_fastcap", "ratio", round(median / ours, 2)),
        Figure("start_up_seconds", "start-up", round(start_up, 4), "s"),
        Figure("gb_per_second_without_start_up", "without that", without, "GB/s"),
    ]


def notes(comparison: Comparison, runs: int) -> list[str]:
    agree = len(comparison.seconds) > 1
    told = [
        f"whole commands that count, start-up included; {runs} runs of each in turns; the page "
        "cache is warm: each read all files once before; start-up is of a file without frames"
    ]
    if agree:
        told.insert(0, f"fastcap and tcpdump count the same: {comparison.matched:,} frames")
    return [*told, *comparison.notes]
