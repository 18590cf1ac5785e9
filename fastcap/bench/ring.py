"""What a capture's reader and writer take for a frame, with no network and no rights.

`NativeCapture` reads a simulated ring (csrc/simulated.h) as it reads an interface's, and
`fastcap.rotation.Rotation` writes, syncs, names and deletes the files, as for a capture. Between
the two stands `_Gate`, which keeps to what may be on the disk. The result is checked before a time
counts: the account, and every record of the files that are left.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, cast

from fastcap._native.cancel import Cancel
from fastcap._native.capture import NO_LIMIT, Chunk, NativeCapture
from fastcap._native.generator import FCS, HEAD, LONGEST, SHORTEST, NativeGenerator
from fastcap._native.simulated import NativeSimulated
from fastcap.bench import charts as drawn
from fastcap.bench.generator import SIZES
from fastcap.bench.memory import touch
from fastcap.bench.plan import wire_bits
from fastcap.bench.report import Figure, Figures, Grid
from fastcap.bench.scratch import PAUSE, Plan, Room, Scratch, mib, scratch
from fastcap.bench.serials import Serials, read_serials
from fastcap.bench.stops import end_as
from fastcap.capture import SMALLEST_BUFFER, buffer_chunks, check_memory, ring_blocks
from fastcap.errors import FastcapError, InputError, OutputError, UsageError
from fastcap.formats.linktypes import ETHERNET
from fastcap.formats.pcap import FileHeader
from fastcap.outputs import Target, refusal
from fastcap.rotation import Rotation
from fastcap.segments import Segment
from fastcap.series import Series
from fastcap.waiting import Work, start_thread

LEAST_RING = 1 << 20
MOST_FRAMES = 1 << 31  # of a run: the check has a bit for each
SIZE = 2 << 30  # bytes of the disk that are used where nobody says how many
FILE_SIZE = 256 << 20
_LEAST_RATE, _MOST_RATE = 0.001, 1e9
_FLUSH_NS = 1_000_000_000  # as a capture has it
_BENCH = 0x72696E67
_FLOWS, _TCP_PERCENT, _SEED = 1000, 85, 1
_NOBODY = bytes.fromhex("02fcffffffff")
_LINE = 10**10  # bits a second
_GIGA, _MEGA = 1e9, 1e6


class Question(NamedTuple):
    """`sizes` of frames on the wire, as of a Load: pairs of bytes and weight. `ring`, `buffer`:
    bytes. `rate`: frames a second, 0 for as fast as they go."""

    sizes: tuple[tuple[int, int], ...]
    snaplen: int
    ring: int
    buffer: int
    rate: float

    def check(self) -> None:
        """UsageError for what no capture has, and for more memory than there is."""
        if not all(SHORTEST <= wire <= LONGEST for wire, _ in self.sizes):
            raise UsageError(
                f"--frame {self.sizes[0][0]}: {SHORTEST} to {LONGEST} bytes, its FCS included, "
                "or mix"
            )
        for name, size, least in (
            ("--ring", self.ring, LEAST_RING),
            ("--buffer", self.buffer, SMALLEST_BUFFER),
        ):
            if size < least:
                raise UsageError(f"{name} {size:,} bytes: at least {least >> 20}M")
        if self.rate != 0 and not _LEAST_RATE <= self.rate <= _MOST_RATE:
            raise UsageError(
                f"--rate {self.rate:g}: {_LEAST_RATE} to {_MOST_RATE:,.0f} frames a second"
            )
        check_memory(self.ring, self.buffer)

    @property
    def wire(self) -> float:
        """Bytes of a frame, on average."""
        return sum(w * n for w, n in self.sizes) / sum(n for _, n in self.sizes)

    @property
    def in_words(self) -> str:
        return f"frames of {self.sizes[0][0]} bytes" if len(self.sizes) == 1 else "a mix of frames"


class Run(NamedTuple):
    """What one run did. Of `offered` frames `dropped` found no room in the ring, the others were
    `written`. Processor time of each thread in nanoseconds; `seconds` from the first frame until
    the last write returned. `ring_most` is 0 to 1, `buffer_most` bytes; `stall`, `hold` and
    `held_back` seconds. `late_ns`: in so much of its time the simulated kernel offered nothing."""

    offered: int
    dropped: int
    written: int
    files: int
    bytes: int
    checked: int  # frames in the files that were left, each of which was looked at
    seconds: float
    reader_ns: int
    writer_ns: int
    finisher_ns: int
    kernel_ns: int
    ring_full: int
    ring_most: float
    buffer_most: int
    waits_for_writer: int
    stall: float
    hold: float
    held_back: float
    late_ns: int

    @property
    def capture_ns(self) -> int:
        """Of the three threads that a capture has."""
        return self.reader_ns + self.writer_ns + self.finisher_ns


def cpu_ns(run: Run) -> float:
    """A frame written."""
    return run.capture_ns / run.written


class Measured(NamedTuple):
    runs: Sequence[Run]
    notes: Sequence[str]


class WrongResultError(FastcapError):
    """What is in the files, or in the account, is not what the ring was given."""


# ---- One run ----------------------------------------------------------------------------------


class _Thread:
    """A thread, and the processor time that it took."""

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self.name = name
        self.function = function
        self.cpu_ns = 0
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None

    def start(self) -> threading.Thread:
        self.thread = start_thread(self._run, self.name)
        return self.thread

    def _run(self) -> None:
        try:
            self.function()
        except BaseException as error:
            self.error = error
        finally:
            self.cpu_ns = time.thread_time_ns()

    def join(self) -> None:
        """Also of one that never began."""
        if self.thread is not None:
            self.thread.join()


class _Gate:
    """Stands between the writer and the queue (NativeCapture): lets a chunk through when there is
    room on the disk for it, and notes how long the writer took for each."""

    def __init__(self, native: NativeCapture, cancel: Cancel, plan: Plan) -> None:
        self.native = native
        self.cancel = cancel
        self.room = Room(plan)
        self.given = 0  # bytes
        self.stall = 0.0  # seconds: the longest between a chunk and the writer's coming for more
        self.last = 0.0  # when the writer was done with a chunk
        self._at: float | None = None  # when it got one
        self._files: dict[str, int] = {}  # bytes of those that are finished and there
        self._deleted = 0
        self._is_abandoned = False

    def stop(self) -> None:
        """The writer cannot go on."""
        self.cancel.set()
        self.native.stop()

    def abandon(self) -> None:
        """Nobody wants the result any more: nothing is written from now on."""
        self._is_abandoned = True
        self.cancel.set()

    def named(self, segment: Segment) -> None:
        self._files[segment.path] = segment.bytes

    def deleted(self, path: str) -> None:
        self._deleted += self._files.pop(path)

    def next_chunk(self, milliseconds: int) -> Chunk | Literal[False] | None:
        """As NativeCapture has it."""
        if self._at is not None:
            self.last = time.monotonic()
            self.stall = max(self.stall, self.last - self._at)
            self._at = None
        if self._must_wait():
            time.sleep(PAUSE)
            return None
        chunk = self.native.next_chunk(milliseconds)
        if isinstance(chunk, Chunk):
            if self._is_abandoned:
                chunk.give_back()
                return None
            self.given += len(chunk)
            self._at = time.monotonic()
        return chunk

    def _must_wait(self) -> bool:
        """What the queue holds when the disk fills up is still written: then all frames are
        accounted for."""
        if self._is_abandoned or self.room.stopped_early:
            return False
        if self.room.is_there(self.given - self._deleted):
            return False
        self._end_where_it_is_full()
        return True

    def _end_where_it_is_full(self) -> None:
        if self.room.stopped_early:
            self.cancel.set()


class _Running:
    """Threads and files of one run, in a directory that is there."""

    def __init__(self, question: Question, plan: Plan, folder: str) -> None:
        self.question = question
        self.plan = plan
        self.folder = folder
        self.cancel = Cancel()
        self.simulated, self.native = _open(question, plan)
        self.gate = _Gate(self.native, self.cancel, plan)
        self.segments: dict[str, Segment] = {}
        self.bytes = 0
        self.finisher_ns = 0
        self.began = 0.0
        self.notes: list[str] = []

    def run(self, own: Scratch, progress: Callable[[int, int], None]) -> Run:
        path = os.path.join(self.folder, "bench.pcap")
        with contextlib.closing(Series(path, on_deleted=self._deleted)) as series:
            rotation = Rotation(
                cast("NativeCapture", self.gate),
                series,
                Target(path, in_place=False),
                Cancel(),
                bare=False,
                keep=self.plan.keep,
                header=_header(self.question.snaplen),
                on_segment=self._named,
                on_note=self.notes.append,
            )
            reader = _Thread("fastcap-reader", self.native.run)
            writer = _Thread("fastcap-writer", rotation.run)
            kernel = _Thread("fastcap-kernel", self._play)
            end_as(self._threads(own, reader, writer, kernel, progress))
            if rotation.error is not None:
                raise own.told_of(rotation.error)
            left = [path for _, path in series.finished()]
        found = self._read(own, left)
        self._check(rotation, found, [self.segments[path] for path in left])
        _remove(left)
        return self._told(found, rotation, reader.cpu_ns, writer.cpu_ns, kernel.cpu_ns)

    def _threads(
        self,
        own: Scratch,
        reader: _Thread,
        writer: _Thread,
        kernel: _Thread,
        progress: Callable[[int, int], None],
    ) -> int:
        """Runs them to their end; the signal that asked for it, or 0."""
        try:
            reader.start()
            writing = writer.start()
            kernel.start()
            stop = own.wait(writing, self.gate.abandon, lambda: progress(self.gate.given, 0))
        finally:
            self.gate.stop()  # where one of them did not begin, or failed
            for thread in (kernel, reader, writer):
                thread.join()
        for thread in (kernel, reader, writer):
            if thread.error is not None:
                raise thread.error
        return stop

    def _play(self) -> None:
        self.began = time.monotonic()
        try:
            self.simulated.run(
                self.cancel,
                rate=self.question.rate,
                frames=MOST_FRAMES,
                duration_ns=round(self.plan.seconds * _GIGA),
            )
        finally:
            self.native.stop()

    # From the finisher's thread, whose time is looked at whenever it comes by:

    def _named(self, segment: Segment) -> None:
        self.segments[segment.path] = segment
        self.bytes += segment.bytes
        self.gate.named(segment)
        self.finisher_ns = time.thread_time_ns()

    def _deleted(self, path: str, _told: dict[str, Any], _why: str) -> None:
        self.gate.deleted(path)
        self.finisher_ns = time.thread_time_ns()

    # ---- Checking -----------------------------------------------------------------------------

    def _read(self, own: Scratch, paths: Sequence[str]) -> Serials:
        """The files that are left, on a thread of its own: a signal is heard meanwhile."""
        cancel = Cancel()
        offered = self.simulated.account()["offered"]
        work = Work(read_serials_of, paths, offered, cancel)
        end_as(own.wait(start_thread(work.run, "fastcap-check"), cancel.set, lambda: None))
        try:
            return work.result()
        except InputError as error:
            raise own.told_of(error) from error

    def _check(self, rotation: Rotation, found: Serials, left: Sequence[Segment]) -> None:
        if rotation.counts.written == 0:
            why = self.gate.room.stopped_early or "no frame was written"
            raise OutputError(f"{self.plan.folder}: no room to write in: {why}")
        check_account(self.simulated.account(), self.native.account(), rotation)
        check_files(found, left, labelled=self.question.snaplen >= HEAD)

    def _told(
        self, found: Serials, rotation: Rotation, reader_ns: int, writer_ns: int, kernel_ns: int
    ) -> Run:
        kernel, reader, gate = self.simulated.account(), self.native.account(), self.gate
        block_count = _blocks(self.question)[1]
        return Run(
            offered=kernel["offered"],
            dropped=kernel["dropped"],
            written=rotation.counts.written,
            files=rotation.counts.files,
            bytes=self.bytes,
            checked=found.frames,
            seconds=gate.last - self.began,
            reader_ns=reader_ns,
            writer_ns=writer_ns,
            finisher_ns=self.finisher_ns,
            kernel_ns=kernel_ns,
            ring_full=kernel["full"],
            ring_most=kernel["most_waiting"] / block_count,
            buffer_most=self.native.buffer_used()[1],
            waits_for_writer=reader["waits_for_writer"],
            stall=gate.stall,
            hold=gate.room.longest_hold,
            held_back=gate.room.held_back,
            late_ns=kernel["late_ns"],
        )


def _blocks(question: Question) -> tuple[int, int]:
    return ring_blocks(question.ring, question.snaplen)


def _header(snaplen: int) -> bytes:
    return FileHeader(True, True, snaplen, ETHERNET).pack()


def _open(question: Question, plan: Plan) -> tuple[NativeSimulated, NativeCapture]:
    """FastcapError where there is no memory."""
    block_size, block_count = _blocks(question)
    chunk, chunks = buffer_chunks(question.buffer)
    generator = NativeGenerator(
        seed=_SEED, bench=_BENCH, sizes=question.sizes, flows=_FLOWS, tcp_percent=_TCP_PERCENT,
        destination=_NOBODY,
    )  # fmt: skip
    try:
        simulated = NativeSimulated(
            generator, snaplen=question.snaplen, block_size=block_size, block_count=block_count
        )
        native = NativeCapture(
            simulated=simulated, interface=0, block_size=block_size, block_count=block_count,
            promiscuous=False, ignore_outgoing=False, chunk_size=chunk, chunks=chunks,
            header=_header(question.snaplen), trailer=0, snaplen=question.snaplen, slice_layer=0,
            slice_more=0, pcapng=False, nanoseconds=True, ethernet=True, eager=False,
            rotate_bytes=plan.file_size, rotate_ns=0, flush_ns=_FLUSH_NS, limit=NO_LIMIT,
            program=None, ring_filter=b"", counter_fd=-1, counter_filter=b"",
        )  # fmt: skip
    except MemoryError:
        raise FastcapError(
            f"no memory for --ring {mib(question.ring)} and --buffer {mib(question.buffer)}"
        ) from None
    return simulated, native


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except OSError as error:
            raise refusal(os.path.dirname(path), error) from error


# ---- Checking ---------------------------------------------------------------------------------


def read_serials_of(paths: Sequence[str], offered: int, cancel: Cancel) -> Serials:
    return read_serials(paths, bench=_BENCH, sent=(offered,), cancel=cancel)


def check_account(kernel: dict[str, int], reader: dict[str, int], rotation: Rotation) -> None:
    """WrongResultError where a frame is not accounted for."""
    _expect("frames that the reader was told of", reader["accepted"], kernel["offered"])
    _expect("frames that the reader counts as dropped", reader["dropped"], kernel["dropped"])
    _expect("frames read", reader["read"], kernel["offered"] - kernel["dropped"])
    _expect("frames kept", reader["kept"], reader["read"])
    _expect("frames lost by the writer", rotation.counts.lost, 0)
    _expect("frames written", rotation.counts.written, reader["kept"])


def check_files(found: Serials, left: Sequence[Segment], *, labelled: bool) -> None:
    """The files that are left: every record is a frame that was offered, and none is there twice.
    Where frames are cut before the end of their labels they are only counted. WrongResultError."""
    _expect("files with damage", len(found.damage), 0)
    _expect("frames in the files", found.frames, sum(segment.span.frames for segment in left))
    _expect("frames of nobody", found.foreign, 0 if labelled else found.frames)
    _expect("different frames", found.distinct, found.frames if labelled else 0)


def _expect(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise WrongResultError(
            f"the result is WRONG: {what}: {found:,}, and not {expected:,}: no time counts before "
            "that is explained; please report it"
        )


# ---- All runs ---------------------------------------------------------------------------------


def measure(
    question: Question,
    plan: Plan,
    runs: int,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Runs it so many times, and leaves nothing behind, whatever happens. WrongResultError;
    OutputError where the disk refuses; Interrupted and KeyboardInterrupt end it."""
    told: list[Run] = []
    notes: list[str] = []
    with scratch(plan.folder) as own:
        for _ in range(runs):
            run, noted, early = _one_run(question, plan, own, progress)
            told.append(run)
            notes += noted
            if early:
                notes.append(early)
                break
    return Measured(told, [*notes, *own.notes])


def _one_run(
    question: Question,
    plan: Plan,
    own: Scratch,
    progress: Callable[[int, int], None] | None,
) -> tuple[Run, list[str], str]:
    """With a ring and a buffer of its own, which are gone when it returns; notes, and why it ended
    early, if it did."""
    touch(own.folder, plan.size, lambda: end_as(next(iter(own.signals.wait(0)), 0)))
    running = _Running(question, plan, own.folder)
    run = running.run(own, progress or (lambda _done, _total: None))
    return run, running.notes, running.gate.room.stopped_early


# ---- What it means ----------------------------------------------------------------------------


def tables(measured: Measured, question: Question) -> list[Figures | Grid]:
    runs = measured.runs
    return [_threads(runs), _speed(runs, question), _counts(runs), _wire(runs, question)]


def _a_frame(runs: Sequence[Run], ns: Callable[[Run], int]) -> list[float]:
    return [ns(run) / run.written for run in runs]


def _threads(runs: Sequence[Run]) -> Grid:
    def row(name: str, ns: Callable[[Run], int]) -> tuple[str, list[Figure]]:
        values = _a_frame(runs, ns)
        return name, [
            Figure("median_ns", "median", round(statistics.median(values), 2), "ns"),
            Figure("least_ns", "least", round(min(values), 2), "ns"),
            Figure("most_ns", "most", round(max(values), 2), "ns"),
        ]

    rows = [
        row("reader", lambda run: run.reader_ns),
        row("writer", lambda run: run.writer_ns),
        row("finisher", lambda run: run.finisher_ns),
        row("all three", lambda run: run.capture_ns),
    ]
    return Grid("threads", "processor time a frame", rows)


def charts(measured: Measured) -> list[drawn.Bars]:
    bars = []
    for name, figures in _threads(measured.runs).rows:
        median, least, most = (figure.value for figure in figures)
        assert isinstance(median, float)
        assert isinstance(least, float)
        assert isinstance(most, float)
        bars.append(drawn.Bar(name, median, least, most))
    note = "line rate of 10 Gbit/s with 64-byte frames leaves 67.2 ns a frame"
    group = drawn.BarGroup("", bars)
    return [drawn.Bars("threads", "Processor time a frame", "ns", [group], note)]


def _speed(runs: Sequence[Run], question: Question) -> Figures:
    rates = [run.written / run.seconds for run in runs]
    offered = f"--rate {question.rate:,.0f}" if question.rate else "the ring is kept full"
    rows = [
        Figure("frames_per_second", "reader and writer together",
               round(statistics.median(rates)), "frames/s",
               f"until the last write returned, median; {offered}"),
        Figure("frames_per_second_least", "the slowest run", round(min(rates)), "frames/s"),
        Figure("frames_per_second_most", "the fastest run", round(max(rates)), "frames/s"),
        Figure("longest_stall_ms", "the longest stall of the writer",
               round(1000 * max(run.stall for run in runs), 3), "ms",
               "a write, and opening and handing over files"),
        Figure("waits_for_writer", "the reader waited for the writer",
               sum(run.waits_for_writer for run in runs), "times", "--buffer was full"),
        Figure("buffer_most_mib", "of the buffer in use, at most",
               max(run.buffer_most for run in runs) >> 20, "MiB",
               f"of {question.buffer >> 20:,}"),
        Figure("ring_most_percent", "of the ring in use, at most",
               round(100 * max(run.ring_most for run in runs), 1), "%",
               "" if question.rate else "it is kept full without --rate"),
        Figure("held_back_seconds", "waited for syncs",
               round(sum(run.held_back for run in runs), 3), "s",
               "the writer, because --size was on the disk already"),
        Figure("longest_hold_ms", "the longest of these",
               round(1000 * max(run.hold for run in runs), 3), "ms"),
    ]  # fmt: skip
    return Figures("speed", "speed", rows)


def _counts(runs: Sequence[Run]) -> Figures:
    offered, dropped = sum(run.offered for run in runs), sum(run.dropped for run in runs)
    rows = [
        Figure("runs", "runs", len(runs)),
        Figure("frames_offered", "frames offered", offered),
        Figure("frames_dropped", "dropped by the ring", dropped),
        Figure("frames_written", "written", sum(run.written for run in runs), "",
               f"{offered:,} - {dropped:,}"),
        Figure("frames_checked", "of these looked at in files",
               sum(run.checked for run in runs), "", "others were deleted by then"),
        Figure("ring_full_times", "the ring became full", sum(run.ring_full for run in runs)),
        Figure("files", "files", sum(run.files for run in runs)),
        Figure("written_mb", "bytes in them",
               round(sum(run.bytes for run in runs) / _MEGA, 1), "MB"),
    ]  # fmt: skip
    return Figures("counts", "all runs", rows)


def _wire(runs: Sequence[Run], question: Question) -> Figures:
    """Per length what a thread carries of a line. Longer records than those that were written may
    cost more, so nothing is said of frames that would have some."""
    times = {
        "reader": statistics.median(_a_frame(runs, lambda run: run.reader_ns)),
        "writer": statistics.median(_a_frame(runs, lambda run: run.writer_ns)),
    }
    rows = []
    for name, wire in _lengths(question):
        between = _GIGA * _bits(wire) / _LINE
        rows += [
            Figure(f"{thread}_percent_{name}", f"{name.replace('_', ' ')}: the {thread} carries",
                   round(100 * between / ns, 1), "%",
                   f"{_bits(wire):,.5g} bits / 10 Gbit/s = {between:,.4g} ns; / {ns:.4g} ns")
            for thread, ns in times.items()
        ]  # fmt: skip
    return Figures("line", "of a line of 10 Gbit/s", rows)


def _bits(wire: float) -> float:
    """Bits of the wire's time, as fastcap.bench.plan.wire_bits for a mean."""
    return wire_bits(0) + 8 * wire


def _lengths(question: Question) -> list[tuple[str, float]]:
    if len(question.sizes) > 1:
        return [("mix", question.wire)]
    frame = question.sizes[0][0]
    captured = min(frame - FCS, question.snaplen)
    lengths = sorted({frame, *SIZES})
    return [
        (f"{wire}_bytes", float(wire))
        for wire in lengths
        if min(wire - FCS, question.snaplen) <= captured
    ]


def notes(measured: Measured, question: Question, processors: int) -> list[str]:
    runs = measured.runs
    found = (
        "was found to be a frame that was offered, once"
        if question.snaplen >= HEAD
        else f"was counted; with a snaplen of {HEAD} and more it is looked at too"
    )
    kernel = statistics.median(_a_frame(runs, lambda run: run.kernel_ns))
    told = [
        "before a time counted, the account balanced, and each record of the files that were left "
        f"{found}",
        f"what plays the kernel took {kernel:.1f} ns a frame besides, on one of {processors} "
        "processors; the true kernel's work, from the interrupt to the ring, is in no figure",
    ]
    late = sum(run.late_ns for run in runs)
    if late:
        told.append(f"it came late, and offered nothing in {late / _MEGA:,.1f} ms of its time")
    if any(run.offered >= MOST_FRAMES for run in runs):
        told.append(f"a run ended after {MOST_FRAMES:,} frames")
    return [*told, *measured.notes]
