"""How fast a disk takes frames: through the writer that a capture uses, as long as that lasts.

`fastcap.rotation.Rotation` writes, syncs, names and deletes the files, as it does for a capture.
What gives it chunks here is no ring but `_Feeder`, which always has one. Memory is not what is
measured, so the chunks are few, and the same again and again.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import re
import secrets
import shutil
import signal
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from fastcap._native.cancel import Cancel
from fastcap._native.capture import NativeCapture
from fastcap.bench import charts as drawn
from fastcap.bench.report import Figure, Figures
from fastcap.bench.traffic import RECORD_HEADER
from fastcap.errors import FastcapError, Interrupted, OutputError, UsageError
from fastcap.formats.pcap import HEADER_SIZE
from fastcap.outputs import Target, refusal
from fastcap.rotation import Rotation
from fastcap.series import Series
from fastcap.signals import STOPS, Signals
from fastcap.waiting import start_thread

CHUNK = 4 << 20  # bytes of a write, as of a capture with its usual buffer
FEWEST_FILES = 4  # one that is written, the next, one that is synced, one that is kept
LEAST_SIZE = FEWEST_FILES * CHUNK
MOST_SIZE = 20 << 30  # bytes that are used where nobody says how many
FILE_SIZE = 1 << 30
_SHARE = 4  # of the free space, one part in so many is used
_MOST_RESERVE = 1 << 30
_RESERVE_SHARE = 20  # one part in so many of a file system stays free, up to that
_POOL = 8  # chunks
_SNAPLEN = 80  # of the records in the files
_PAUSE = 0.005  # seconds between two looks whether files are finished
_WAKES = 0.2  # seconds between two looks at signals
_TRIES = 3
_PREFIX = ".fastcap-bench-"
_MEGA = 1e6


class Plan(NamedTuple):
    """What may be written where: at most `size` bytes are on the disk at once, and `reserve` bytes
    of it stay free. `keep` finished files stay until newer ones are there."""

    folder: str
    seconds: float
    size: int
    file_size: int
    reserve: int

    @property
    def keep(self) -> int:
        return max(1, self.size // self.file_size - 2)


class Measured(NamedTuple):
    """Of each chunk: when the writer was done with it, seconds since the first; the seconds that
    its write took; and those in which the writer came for no other. `written` seconds passed until
    the last write returned, `synced` until all was on the disk. For
    `held_back` of them, the longest time `longest_hold`, files had to be finished first."""

    ends: Sequence[float]
    writes: Sequence[float]
    turns: Sequence[float]
    bytes: int
    files: int
    held_back: float
    longest_hold: float
    written: float
    synced: float
    notes: Sequence[str]


def plan(folder: str, seconds: float, size: int | None, file_size: int | None) -> Plan:
    """Decides what is used of a file system. UsageError, OutputError where it has no room."""
    if math.isnan(seconds):
        raise UsageError("--seconds nan: a number of seconds, please")
    if not os.path.isdir(folder):
        what = "no directory" if os.path.lexists(folder) else "is not there"
        raise UsageError(f"{folder}: {what}: name a directory on the disk in question")
    try:
        told = os.statvfs(folder)
    except OSError as error:
        raise refusal(folder, error) from error
    reserve = min(_MOST_RESERVE, told.f_blocks * told.f_frsize // _RESERVE_SHARE)
    free = told.f_bavail * told.f_frsize
    usable = free - reserve
    wanted = min(free // _SHARE, usable, MOST_SIZE) if size is None else size
    if wanted > usable:
        raise OutputError(
            f"{folder}: {_mib(free)} are free, of which {_mib(reserve)} stay free: "
            f"--size {_mib(wanted)} does not fit"
        )
    if wanted < LEAST_SIZE:
        raise OutputError(
            f"{folder}: {_mib(max(0, wanted))} to write in, and {_mib(LEAST_SIZE)} are the least"
            + (f" ({_mib(free)} are free)" if size is None else "")
        )
    return Plan(folder, seconds, wanted, _file_size(file_size, wanted), reserve)


def _file_size(asked: int | None, size: int) -> int:
    """Whole chunks, so that files end where writes do."""
    if asked is None:
        return min(FILE_SIZE, size // FEWEST_FILES // CHUNK * CHUNK)
    if asked < CHUNK:
        raise UsageError(f"--file-size: {_mib(CHUNK)} are the least, the bytes of one write")
    if asked * FEWEST_FILES > size:
        raise UsageError(
            f"--file-size {_mib(asked)}: {FEWEST_FILES} such files do not fit into "
            f"{_mib(size)}: a smaller one, or more --size"
        )
    return asked // CHUNK * CHUNK


def _mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


# ---- Frames -----------------------------------------------------------------------------------


class _Chunk(mmap.mmap):
    """What the writer sees of a chunk (fastcap._native.capture.Chunk), at a page's start as there.
    Noise in it: a file system that compresses gains nothing."""

    frames = 0
    file = 0
    ends = False
    head = tail = 0
    gaps: Sequence[tuple[int, int, int | None]] = ()
    gaps_left_out = (0, 0)
    first_ns = last_ns = ended_ns = 0
    on_return: Callable[[], None]

    def give_back(self) -> None:
        self.on_return()


def _chunk(*, starts_file: bool, header: bytes, rng: np.random.Generator) -> _Chunk:
    """Whole records, the last one as long as there is room: so any chunk may follow any other."""
    chunk = _Chunk(-1, CHUNK)
    chunk.write(rng.bytes(CHUNK))
    at = len(header) if starts_file else 0
    chunk[:at] = header[:at]
    size = RECORD_HEADER + _SNAPLEN
    seconds = int(time.time())
    while at < CHUNK:
        left = CHUNK - at
        length = left if left < 2 * size else size
        captured = length - RECORD_HEADER
        struct.pack_into("<IIII", chunk, at, seconds, 0, captured, captured)
        chunk.frames += 1
        at += length
    return chunk


class _Feeder:
    """Stands where the reader of a ring does (NativeCapture): has a chunk whenever the writer
    comes, until the time is over or somebody stops it. Notes how long the writer took.

    `deleted` says how many bytes of finished files were deleted; while `plan.size` bytes are there
    the writer has to wait until files are finished, which is the disk's fault, and is counted.
    """

    def __init__(self, plan: Plan, header: bytes, deleted: Callable[[], int]) -> None:
        rng = np.random.default_rng(1)
        self.plan = plan
        self.deleted = deleted
        self.first = _chunk(starts_file=True, header=header, rng=rng)
        self.others = [_chunk(starts_file=False, header=header, rng=rng) for _ in range(_POOL - 1)]
        for chunk in (self.first, *self.others):
            chunk.on_return = self._returned
        self.a_file = plan.file_size // CHUNK  # chunks
        self.given = 0  # chunks
        self.stopped = threading.Event()
        self.ended = False
        self.stopped_early = ""
        self.began: float | None = None
        self.ends: list[float] = []
        self.writes: list[float] = []
        self.turns: list[float] = []
        self.held_back = self.longest_hold = 0.0
        self._held_since: float | None = None
        self._at = 0.0  # when the chunk that is written was taken

    def stop(self) -> None:
        self.stopped.set()

    def next_chunk(self, _milliseconds: int) -> _Chunk | Literal[False] | None:
        """As NativeCapture has it: False at the end, None for not yet."""
        now = time.monotonic()
        if self.began is not None:
            self._end_turn(now)
        if self.ended:
            return False
        over = self._is_over(now)
        if over and self.given % self.a_file == 0:
            return False  # the last file is whole
        if not over and not self._has_room():
            if self._held_since is None:
                self._held_since = now
            time.sleep(_PAUSE)
            return None
        self._end_hold(now)
        self.ended = over
        return self._give(ends=over or (self.given + 1) % self.a_file == 0)

    def _end_turn(self, now: float) -> None:
        """The writer is back: what it did besides the write delays the next one too."""
        if len(self.turns) < len(self.writes):
            self.turns.append(now - self._at)

    def _end_hold(self, now: float) -> None:
        if self._held_since is not None:
            self.held_back += now - self._held_since
            self.longest_hold = max(self.longest_hold, now - self._held_since)
            self._held_since = None

    def _is_over(self, now: float) -> bool:
        if self.stopped.is_set():
            return True
        return self.began is not None and now - self.began >= self.plan.seconds

    def _has_room(self) -> bool:
        if self.given * CHUNK - self.deleted() + CHUNK > self.plan.size:
            return False
        try:
            told = os.statvfs(self.plan.folder)
        except OSError as error:
            self.stopped_early = f"ended early: {error.strerror}"
        else:
            if told.f_bavail * told.f_frsize >= self.plan.reserve + CHUNK:
                return True
            self.stopped_early = (
                f"ended early: the disk fills up, and {_mib(self.plan.reserve)} of it stay free"
            )
        self.stop()
        return False

    def _give(self, *, ends: bool) -> _Chunk:
        place = self.given % self.a_file
        chunk = self.others[self.given % len(self.others)] if place else self.first
        chunk.file = self.given // self.a_file
        chunk.ends = ends
        chunk.first_ns = chunk.last_ns = chunk.ended_ns = time.time_ns()
        self.given += 1
        self._at = time.monotonic()
        if self.began is None:
            self.began = self._at
        return chunk

    def _returned(self) -> None:
        now = time.monotonic()
        self.writes.append(now - self._at)
        self.ends.append(now - (self.began or now))


# ---- The run ----------------------------------------------------------------------------------


def measure(plan: Plan, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Writes, and leaves nothing behind, whatever happens. OutputError where the disk refuses;
    Interrupted and KeyboardInterrupt end it."""
    folder = os.path.join(plan.folder, f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    # Signals are looked at, so that none comes between a file and its removal.
    with Signals((*STOPS, signal.SIGHUP)) as signals:
        try:
            os.mkdir(folder, 0o700)
        except OSError as error:
            raise refusal(plan.folder, error) from error
        try:
            measured = _measure_in(folder, plan, signals, progress)
        finally:
            left = _remove(folder)
        if left:
            raise OutputError(f"{folder}: cannot be removed: {left}")
        _heed(next(iter(signals.wait(0)), 0))  # one that came while files were removed
    return measured._replace(notes=[*measured.notes, *_left_by_others(plan.folder)])


def _measure_in(
    folder: str,
    plan: Plan,
    signals: Signals,
    progress: Callable[[int, int], None] | None,
) -> Measured:
    deleted = [0]
    path = os.path.join(folder, "bench.pcap")

    def on_deleted(_path: str, _told: dict[str, Any], _why: str) -> None:
        deleted[0] += plan.file_size

    notes: list[str] = []
    with contextlib.closing(Series(path, on_deleted=on_deleted)) as series:
        header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, CHUNK, 1)
        assert len(header) == HEADER_SIZE
        feeder = _Feeder(plan, header, lambda: deleted[0])
        rotation = Rotation(
            cast("NativeCapture", feeder),
            series,
            Target(path, in_place=False),
            Cancel(),
            bare=False,
            keep=plan.keep,
            header=header,
            on_segment=lambda _: None,
            on_note=notes.append,
        )
        writer = start_thread(rotation.run, "fastcap-writer")
        stop = _wait(writer, feeder, signals, progress)
        done = time.monotonic()
    _heed(stop)
    if rotation.error is not None:
        raise _told_of(rotation.error, folder, plan.folder)
    if feeder.stopped_early:
        notes.append(feeder.stopped_early)
    if feeder.began is None or not feeder.ends:
        raise OutputError(f"{plan.folder}: no room to write in: {feeder.stopped_early or 'none'}")
    return Measured(
        feeder.ends, feeder.writes, feeder.turns, len(feeder.ends) * CHUNK, rotation.counts.files,
        feeder.held_back, feeder.longest_hold, feeder.ends[-1], done - feeder.began, notes,
    )  # fmt: skip


def _wait(
    writer: threading.Thread,
    feeder: _Feeder,
    signals: Signals,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Until the writer has ended; the signal that asked for it, or 0."""
    stop = 0
    while writer.is_alive():
        came = signals.wait(0)
        if came and not stop:
            stop = came[0]
            feeder.stop()
        if progress is not None:
            progress(len(feeder.ends) * CHUNK, 0)
        writer.join(_WAKES)
    return stop


def _heed(stop: int) -> None:
    """Ends as the signal asks, if there was one."""
    if stop == signal.SIGINT:
        raise KeyboardInterrupt
    if stop:
        raise _Ended(f"ended by {signal.Signals(stop).name}", 128 + stop)


def _told_of(error: FastcapError, folder: str, place: str) -> FastcapError:
    """The writer names its file, which nobody will find."""
    files = re.escape(folder) + r"(/[^/:]*)?(?=: )"
    return type(error)(re.sub(files, lambda _: place, str(error)))


class _Ended(Interrupted):
    """By a signal, with the exit status that says so."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def _remove(folder: str) -> str:
    """Why it could not be. Tries again: a disk that failed once may work the next time."""
    why = ""
    for _ in range(_TRIES):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return ""
        except OSError as error:
            why = error.strerror or str(error)
        else:
            return ""
    return why


def _left_by_others(folder: str) -> list[str]:
    """Only a bench that was killed leaves files; whoever runs the next one is told."""
    notes = []
    for name in sorted(os.listdir(folder)) if os.access(folder, os.R_OK) else []:
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            path = os.path.join(folder, name)
            notes.append(f"{path}: left by a bench that was killed: remove it")
    return notes


# ---- What it means ----------------------------------------------------------------------------


def tables(measured: Measured, snaplen: int) -> list[Figures]:
    return [_speed(measured), _times(measured), _frames(measured, snaplen)]


def charts(measured: Measured) -> list[drawn.Lines]:
    rates = by_second(measured.ends, measured.written)
    if not rates:
        return []
    line = drawn.Series("fastcap, its writer", list(enumerate(rates, 1)))
    note = "Until the last write returned; what is not synced by then waits in the page cache."
    x = "seconds since the first write"
    return [drawn.Lines("by_second", "What was written in each second", x, "MB", [line], note)]


def more(measured: Measured) -> dict[str, list[float]]:
    """What only JSON has."""
    return {"mb_in_each_second": by_second(measured.ends, measured.written)}


def _speed(measured: Measured) -> Figures:
    rates = by_second(measured.ends, measured.written)
    rows = [
        Figure("written_mb", "written", round(measured.bytes / _MEGA, 1), "MB"),
        Figure("files", "files finished", measured.files),
        Figure("sustained_mb_per_second", "sustained, all of it synced",
               _rate(measured.bytes, measured.synced), "MB/s",
               f"until the last sync returned: {measured.synced:.2f} s"),
        Figure("until_last_write_mb_per_second", "until the last write returned",
               _rate(measured.bytes, measured.written), "MB/s",
               f"the rest was still in the page cache: {measured.written:.2f} s"),
        Figure("least_second_mb_per_second", "the slowest whole second",
               min(rates, default=None), "MB/s"),
        Figure("median_second_mb_per_second", "the median second",
               percentile(rates, 50), "MB/s"),
    ]  # fmt: skip
    return Figures("speed", "speed", rows)


def _times(measured: Measured) -> Figures:
    writes = [1000 * seconds for seconds in measured.writes]
    turns = [1000 * seconds for seconds in measured.turns]
    what = f"of {len(writes):,} writes of {_mib(CHUNK)}"
    rows = [
        Figure("write_p50_ms", "a write, median", percentile(writes, 50), "ms", what),
        Figure("write_p99_ms", "a write, 99 of 100", percentile(writes, 99), "ms"),
        Figure("write_max_ms", "the longest write", percentile(writes, 100), "ms"),
        Figure("longest_stall_ms", "the longest stall", percentile(turns, 100), "ms",
               "a write, and opening and handing over files, until the next one"),
        Figure("held_back_seconds", "waited for syncs", round(measured.held_back, 3), "s",
               "the writer, because --size was on the disk already"),
        Figure("longest_hold_ms", "the longest of these", round(1000 * measured.longest_hold, 3),
               "ms"),
    ]  # fmt: skip
    return Figures("times", "times", rows)


def _frames(measured: Measured, snaplen: int) -> Figures:
    record = RECORD_HEADER + snaplen
    rate = measured.bytes / measured.synced
    frames = rate / record
    # A capture waits for syncs later than a bench does; that it never will is not known.
    stall = max(*measured.turns, measured.longest_hold, 0.0)
    rows = [
        Figure("record_bytes", "a record", record, "bytes", f"{RECORD_HEADER} + {snaplen}"),
        Figure("frames_per_second", "the disk carries", int(frames), "frames/s",
               f"{rate / _MEGA:,.1f} MB/s / {record} bytes"),
        Figure("stall_buffer_mb", "buffer for the longest stall or wait",
               round(rate * stall / _MEGA, 1), "MB",
               f"{rate / _MEGA:,.1f} MB/s × {stall:.3f} s"),
    ]  # fmt: skip
    return Figures("frames", f"frames, snaplen {snaplen}", rows)


def _rate(size: int, seconds: float) -> float:
    return round(size / _MEGA / seconds, 1)


def by_second(ends: Sequence[float], until: float) -> list[float]:
    """MB in each whole second. A write that ends in another second than it began counts in that.

    >>> by_second([0.1, 0.9, 2.5, 3.2], 3.2)
    [8.4, 0.0, 4.2]
    """
    counts = [0] * int(until)
    for end in ends:
        if int(end) < len(counts):
            counts[int(end)] += 1
    return [round(count * CHUNK / _MEGA, 1) for count in counts]


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The least value that so many percent are not above.

    >>> percentile([3.0, 1.0, 2.0], 50), percentile([3.0, 1.0, 2.0], 99), percentile([], 50)
    (2.0, 3.0, None)
    """
    if not values:
        return None
    place = -(-len(values) * percent // 100)
    return round(sorted(values)[max(0, place - 1)], 3)
