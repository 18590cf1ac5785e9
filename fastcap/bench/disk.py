"""How fast a disk takes frames: through the writer that a capture uses, as long as that lasts.

`fastcap.rotation.Rotation` writes, syncs, names and deletes the files, as it does for a capture.
What gives it chunks here is no ring but `_Feeder`, which always has one. Memory is not what is
measured, so the chunks are few, and the same again and again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
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
from fastcap.bench.scratch import CHUNK, PAUSE, Plan, Room, Scratch, mib, scratch
from fastcap.bench.stops import end_as
from fastcap.errors import OutputError
from fastcap.formats.pcap import HEADER_SIZE, RECORD_HEADER_SIZE
from fastcap.outputs import Target
from fastcap.rotation import Rotation
from fastcap.series import Series
from fastcap.waiting import start_thread

_POOL = 8  # chunks
_SNAPLEN = 80  # of the records in the files
_MEGA = 1e6


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
    size = RECORD_HEADER_SIZE + _SNAPLEN
    seconds = int(time.time())
    while at < CHUNK:
        left = CHUNK - at
        length = left if left < 2 * size else size
        captured = length - RECORD_HEADER_SIZE
        struct.pack_into("<IIII", chunk, at, seconds, 0, captured, captured)
        chunk.frames += 1
        at += length
    return chunk


class _Feeder:
    """Stands where the reader of a ring does (NativeCapture): has a chunk whenever the writer
    comes, until the time is over or somebody stops it. Notes how long the writer took.

    `deleted` says how many bytes of finished files were deleted: the others take up the room.
    """

    def __init__(self, plan: Plan, header: bytes, deleted: Callable[[], int]) -> None:
        rng = np.random.default_rng(1)
        self.plan = plan
        self.room = Room(plan)
        self.deleted = deleted
        self.first = _chunk(starts_file=True, header=header, rng=rng)
        self.others = [_chunk(starts_file=False, header=header, rng=rng) for _ in range(_POOL - 1)]
        for chunk in (self.first, *self.others):
            chunk.on_return = self._returned
        self.a_file = plan.file_size // CHUNK  # chunks
        self.given = 0  # chunks
        self.stopped = threading.Event()
        self.ended = False
        self.began: float | None = None
        self.ends: list[float] = []
        self.writes: list[float] = []
        self.turns: list[float] = []
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
        if not over and not self.room.is_there(self.given * CHUNK - self.deleted()):
            if self.room.stopped_early:
                self.stop()
            time.sleep(PAUSE)
            return None
        self.room.end_hold()
        self.ended = over
        return self._give(ends=over or (self.given + 1) % self.a_file == 0)

    def _end_turn(self, now: float) -> None:
        """The writer is back: what it did besides the write delays the next one too."""
        if len(self.turns) < len(self.writes):
            self.turns.append(now - self._at)

    def _is_over(self, now: float) -> bool:
        if self.stopped.is_set():
            return True
        return self.began is not None and now - self.began >= self.plan.seconds

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
    with scratch(plan.folder) as own:
        measured = _measure_in(own, plan, progress)
    return measured._replace(notes=[*measured.notes, *own.notes])


def _measure_in(own: Scratch, plan: Plan, progress: Callable[[int, int], None] | None) -> Measured:
    deleted = [0]
    path = os.path.join(own.folder, "bench.pcap")

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
        tell = progress or (lambda _done, _total: None)
        stop = own.wait(writer, feeder.stop, lambda: tell(len(feeder.ends) * CHUNK, 0))
        done = time.monotonic()
    end_as(stop)
    if rotation.error is not None:
        raise own.told_of(rotation.error)
    room = feeder.room
    if room.stopped_early:
        notes.append(room.stopped_early)
    if feeder.began is None or not feeder.ends:
        raise OutputError(f"{plan.folder}: no room to write in: {room.stopped_early or 'none'}")
    return Measured(
        feeder.ends, feeder.writes, feeder.turns, len(feeder.ends) * CHUNK, rotation.counts.files,
        room.held_back, room.longest_hold, feeder.ends[-1], done - feeder.began, notes,
    )  # fmt: skip


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
    what = f"of {len(writes):,} writes of {mib(CHUNK)}"
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
    record = RECORD_HEADER_SIZE + snaplen
    rate = measured.bytes / measured.synced
    frames = rate / record
    # A capture waits for syncs later than a bench does; that it never will is not known.
    stall = max(*measured.turns, measured.longest_hold, 0.0)
    rows = [
        Figure("record_bytes", "a record", record, "bytes", f"{RECORD_HEADER_SIZE} + {snaplen}"),
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
