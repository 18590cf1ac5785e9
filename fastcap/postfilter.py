"""Many captures through one filter into one output: `fastcap.filter_files`.

Every file is cut into ranges; ranges are tasks that any executor runs; one committer takes their
results in order. A range other than a file's first begins at a guess. The committer compares it
with where the range before ended, and where they differ has the range read again from there: so
the output is the same, to the byte, as that of one walk from the beginning, whatever the guess.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.postfilter import NO_LIMIT
from fastcap._native.program import NativeProgram
from fastcap.errors import InputError, UsageError
from fastcap.filter import Filter
from fastcap.formats.linktypes import HOST_ORDER, LOOP, NULL
from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.inputs import STANDARD_INPUT, Source, expand, open_source
from fastcap.outputs import ClosedPipe, Output, existing_parts, notes_on, resolve
from fastcap.results import Damage, FilterResult, InputReport
from fastcap.segments import Segment, Span
from fastcap.streams import read_stream
from fastcap.tasks import Job, Result, Task, run_task
from fastcap.waiting import run_waiting

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes of all files, from another thread."""

# Ranges in flight hold their matches in memory: this many bytes in all, at most.
_IN_FLIGHT = 96 << 20
_LARGEST_RANGE = 16 << 20
_SMALLEST_RANGE = 1 << 20
MOST_JOBS = 1024
MOST_FRAMES = MOST_BYTES = 1 << 62
MOST_SNAPLEN = 0x7FFFFFFF
_AHEAD = 2  # ranges waiting beyond those that are worked on


def filter_files(
    expression: str,
    inputs: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    jobs: int | None = None,
    snaplen: int | None = None,
    limit: int | None = None,
    output_size: int | None = None,
    on_damage: str = "stop",
    vlan: str = "wire",
    force: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
    range_bytes: int | None = None,
) -> FilterResult:
    """Filters captures into one output, frames in the order of the inputs, or only counts.

    `inputs` are files, directories, FIFOs, or "-" for standard input. `output` is a file name,
    "-", a device or a FIFO; None counts. A file appears under its name only when it is complete.

    `jobs`: ranges worked on at once, default one a processor. `snaplen`: bytes of a frame that
    are kept. `limit`: matching frames after which it stops. `output_size`: bytes; the output
    becomes a series of files no longer than that. `on_damage`: "stop" reads a damaged input up to
    the damage, and then the next input. `vlan`: "skip" lets pcap-filter text and field names see
    frames without their VLAN tags. `force` replaces existing files. `executor` runs the work
    in place of threads; with processes the frames come back through pipes. `range_bytes`: bytes
    of a file that are one task.

    All inputs must have one link type. The first one's byte order and precision are the output's;
    records of the others are converted.

    InputError, OutputError, FilterError, UsageError; KeyboardInterrupt ends the work, and what was
    not finished is removed. Where finished files of a series remain, the exception lists them in
    its attribute `finished_parts`.

    >>> import tempfile, fastcap
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/empty.pcap"
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    ...     fastcap.filter_files("tcp port 443", [path]).frames_read
    0
    """
    _check_options(jobs, snaplen, limit, output_size, on_damage, output, range_bytes)
    started = time.perf_counter()
    commit: _Committer | None = None
    if isinstance(inputs, (str, bytes, os.PathLike)):
        raise UsageError("inputs are a list of names; for one, write [name]")
    given = [os.fsdecode(name) for name in inputs]
    folders = [name for name in given if os.path.isdir(name)]
    names = expand(given)
    if not names:
        raise UsageError("no input: name files, directories, or - for standard input")
    sources = _open_all(names)
    try:
        run = _Run(sources, jobs or _processors(), snaplen, limit, range_bytes, progress)
        run.compile(expression, vlan)
        target = None
        if output is not None:
            name = os.fsdecode(output)
            target = resolve(name, sources, series=output_size is not None, force=force)
            run.writes = True

        def work(cancel: Cancel) -> FilterResult:
            nonlocal commit
            commit = run.committer(executor, cancel)
            if target is not None:
                commit.output = Output(
                    target, run.out_header, cancel, size=output_size, force=force
                )
            return run.run(commit)

        result = run_waiting(work)
        series = target.name if target is not None and output_size is not None else None
        if result.tagged_missed:
            result.notes.append(
                f"{result.tagged_missed:,} frames with VLAN tags do not match, and would without "
                "the tags: --vlan skip"
            )
        result.notes += _notes(sources, run.out_header, result.outputs, series)
        if target is not None:
            result.notes += notes_on(target, folders)
    except BaseException as error:
        if commit is not None and commit.output is not None and commit.output.segments:
            parts = [part.path for part in commit.output.segments]
            error.finished_parts = parts  # type: ignore[attr-defined] # of whatever class it is
        raise
    finally:
        for source in sources:
            source.close()
    result.elapsed_s = time.perf_counter() - started
    return result


def _check_options(
    jobs: int | None,
    snaplen: int | None,
    limit: int | None,
    output_size: int | None,
    on_damage: str,
    output: object,
    range_bytes: int | None,
) -> None:
    for name, value, most in (
        ("jobs", jobs, MOST_JOBS),
        ("snaplen", snaplen, MOST_SNAPLEN),
        ("limit", limit, MOST_FRAMES),
        ("output_size", output_size, MOST_BYTES),
        ("range_bytes", range_bytes, MOST_BYTES),
    ):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} is 1 to {most:,}, not {value}")
    if on_damage != "stop":
        raise UsageError(f"on_damage is 'stop', the only policy yet, not {on_damage!r}")
    if output_size is not None and output is None:
        raise UsageError("output_size splits an output: name one")


def _notes(
    sources: list[Source], header: FileHeader, outputs: list[Segment], series: str | None
) -> list[str]:
    notes = []
    if outputs and not header.nanoseconds:
        finer = [source.name for source in sources if source.header.nanoseconds]
        if finer:
            more = f" and {len(finer) - 1:,} more" if len(finer) > 1 else ""
            notes.append(
                f"{finer[0]}{more}: nanoseconds are cut to microseconds, which the first input "
                "has; name it first to keep them"
            )
    if series is not None:
        written = {segment.path for segment in outputs}
        stale = [part for part in existing_parts(series) if part not in written]
        if stale:
            notes.append(f"{stale[0]}: of an earlier series, {len(stale):,} such files remain")
    return notes


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_all(names: list[str]) -> list[Source]:
    sources: list[Source] = []
    refused: list[InputError] = []
    if names.count(STANDARD_INPUT) > 1:
        raise UsageError("standard input can be read only once")
    try:
        for name in names:
            try:
                sources.append(open_source(name))
                _check_alike(sources[0], sources[-1])
            except InputError as error:
                refused.append(error)
        if len(refused) > 1:
            more = f"{len(refused) - 1:,} more of {len(names):,} inputs cannot be used"
            raise InputError(f"{refused[0]} (and {more}: fastcap info names each)")
        if refused:
            raise refused[0]
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _check_alike(first: Source, other: Source) -> None:
    if other.header.link_word != first.header.link_word:
        raise InputError(
            f"{other.name}: link type {other.header.link_name}, but {first.name} has "
            f"{first.header.link_name}: a filter is for one link type; filter them apart"
        )
    mixed = other.header.little_endian != first.header.little_endian
    if mixed and first.header.linktype in HOST_ORDER:
        raise InputError(
            f"{other.name}: {other.header.byte_order}, but {first.name} is "
            f"{first.header.byte_order}: frames of link type {first.header.link_name} hold numbers "
            "in that order; filter them apart"
        )


# ---- The run ----------------------------------------------------------------------------------


class _Run:
    """One run: what to do with the sources, and the report of what was done."""

    def __init__(
        self,
        sources: list[Source],
        jobs: int,
        snaplen: int | None,
        limit: int | None,
        range_bytes: int | None,
        progress: Progress | None,
    ) -> None:
        self.sources = sources
        self.jobs = jobs
        self.limit = NO_LIMIT if limit is None else limit
        self.progress = progress
        self.in_flight = jobs + _AHEAD
        self.range_bytes = range_bytes or max(
            _SMALLEST_RANGE, min(_LARGEST_RANGE, _IN_FLIGHT // self.in_flight)
        )
        self.filter: Filter | None = None
        self.skipping: NativeProgram | None = None
        self.writes = False
        self.out_header = _out_header(sources, snaplen)
        self.result = FilterResult([InputReport(s.name, s.header) for s in sources])
        self.bytes_done = 0
        self.bytes_total = sum(source.size for source in sources)

    def compile(self, expression: str, vlan: str) -> None:
        header = self.sources[0].header
        linktype = header.linktype
        if linktype == NULL and header.swapped and sys.byteorder == "little":
            # The address family of NULL frames is in the byte order of the capturing machine. Seen
            # from a little-endian one, frames of a big-endian one are LOOP frames.
            linktype = LOOP
        self.filter = Filter(expression, linktype, vlan)
        self.skipping = self.filter.skipping()

    def committer(self, executor: Executor | None, cancel: Cancel) -> _Committer:
        own = None if executor else ThreadPoolExecutor(self.jobs, "fastcap-worker")
        return _Committer(self, executor or own, own, cancel)  # type: ignore[arg-type]

    def run(self, commit: _Committer) -> FilterResult:
        output = commit.output
        try:
            commit.all()
            if output is not None:
                self.result.outputs = output.finish()
        except ClosedPipe:
            assert output is not None
            output.discard()
            self.result.reader_left = True
        except BaseException:
            commit.cancel.set()
            if output is not None:
                output.discard()
            raise
        finally:
            commit.close()
        return self.result

    def job(self, source: Source) -> Job:
        native = None if self.filter is None else self.filter.native
        return Job(
            native,
            source.header.layout,
            self.out_header.layout,
            self.writes,
            self.limit,
            self.skipping,
        )

    def tasks(self) -> Iterator[tuple[int, Task | None]]:
        """The number of an input and a range of it, in order; None for a stream as a whole."""
        for number, source in enumerate(self.sources):
            if source.fd is not None:
                yield number, None
                continue
            job = self.job(source)
            start = HEADER_SIZE
            while start < source.size:
                stop = min(source.size, (start // self.range_bytes + 1) * self.range_bytes)
                yield (
                    number,
                    Task(
                        source.name,
                        source.identity,
                        source.size,
                        start,
                        stop,
                        start != HEADER_SIZE,
                        job,
                    ),
                )
                start = stop


def _out_header(sources: list[Source], snaplen: int | None) -> FileHeader:
    """The first input's header, with a snaplen that no frame of the others exceeds."""
    header = sources[0].header
    if any(source.header.frame_limit > header.frame_limit for source in sources):
        header = header._replace(snaplen=max(source.header.frame_limit for source in sources))
    if snaplen is not None and snaplen < header.frame_limit:
        header = header._replace(snaplen=snaplen)
    return header


class _Committer:
    """Takes results in the order of the inputs: adds them up, appends what matched."""

    def __init__(self, run: _Run, executor: Executor, own: Executor | None, cancel: Cancel) -> None:
        self.run = run
        self.output: Output | None = None
        self.executor = executor
        self.own = own  # the executor, where it is ours to shut down
        self.cancel = cancel
        self.memory = Memory(run.in_flight + 1)  # and the one that is being committed
        self.tasks = run.tasks()
        self.pending: deque[tuple[int, Task | None, Future[Result] | None]] = deque()
        self.number = -1  # of the input that is being committed
        self.expected = 0  # offset in it of the next record
        self.ended = False  # nothing more of it counts: damage
        self.left = run.limit

    def all(self) -> None:
        self.submit()
        while self.pending and self.left > 0:
            number, task, future = self.pending.popleft()
            if number != self.number:
                self.begin(number)
            if task is None or future is None:
                self.stream(self.run.sources[number])
            elif not self.ended:
                self.range(task, future)
            else:
                future.cancel()
            self.submit()

    def submit(self) -> None:
        while len(self.pending) < self.run.in_flight:
            item = next(self.tasks, None)
            if item is None:
                return
            number, task = item
            future = None
            if task is not None and not (self.ended and number == self.number):
                future = self.executor.submit(run_task, task, self.cancel, self.memory)
                self.pending.append((number, task, future))
            elif task is None:
                self.pending.append((number, None, None))

    def begin(self, number: int) -> None:
        self.number = number
        self.expected = HEADER_SIZE
        self.ended = False

    @property
    def report(self) -> InputReport:
        return self.run.result.inputs[self.number]

    def range(self, task: Task, future: Future[Result]) -> None:
        result = future.result()
        if result.start != self.expected:
            result = self.redo(task)
        if result.matched.frames >= self.left and task.job.limit != self.left:
            # Which frame was the last depends on all ranges before: read up to just that one.
            result = self.again(task, self.left)
        self.commit(result)
        if result.damage is not None:
            source = self.run.sources[self.number]
            if result.cut and _size_now(source) > source.size:
                result = result._replace(
                    damage="the file ends inside a record: it is still growing"
                )
            self.damaged(result, source.size - result.end)

    def redo(self, task: Task) -> Result:
        """A wrong guess. A record that began before this range may reach into it or past it."""
        if self.expected >= task.stop:
            return Result(0, Span(), self.expected, self.expected, None, False, b"", 0)
        self.run.result.ranges_redone += 1
        return self.again(task, task.job.limit)

    def again(self, task: Task, limit: int) -> Result:
        job = task.job._replace(limit=limit)
        exact = task._replace(start=self.expected, guess=False, job=job)
        return self.executor.submit(run_task, exact, self.cancel, self.memory).result()

    def stream(self, source: Source) -> None:
        job = self.run.job(source)._replace(limit=self.left)
        for result in read_stream(source, job, self.cancel, self.memory):
            self.commit(result)
            if result.damage is not None:
                self.damaged(result, None)

    def commit(self, result: Result) -> None:
        report = self.report
        report.frames_read += result.frames_read
        report.bytes_read += result.end - result.start
        report.span = report.span.joined(result.matched)
        report.tagged_missed += result.tagged_missed
        self.expected = result.end
        self.left -= result.matched.frames
        if self.output is not None and result.matched.frames:
            self.output.append(result.records, result.matched)
        self.run.bytes_done += result.end - result.start
        if self.run.progress is not None:
            self.run.progress(self.run.bytes_done, self.run.bytes_total)

    def damaged(self, result: Result, length: int | None) -> None:
        assert result.damage is not None
        self.report.damage.append(Damage(result.end, length, result.damage))
        self.ended = True

    def close(self) -> None:
        for _, _, future in self.pending:
            if future is not None:
                future.cancel()
        self.pending.clear()
        if self.own is not None:
            self.own.shutdown(wait=True, cancel_futures=True)


def _size_now(source: Source) -> int:
    try:
        return os.stat(source.name).st_size
    except OSError:
        return 0


def report_sources(
    sources: list[Source], *, jobs: int | None = None, progress: Progress | None = None
) -> FilterResult:
    """Reads open sources whole and reports frames, bytes, times and damage of each. Their link
    types may differ. Streams are used up; the caller closes them."""
    started = time.perf_counter()
    run = _Run(sources, jobs or _processors(), None, None, None, progress)
    result = run_waiting(lambda cancel: run.run(run.committer(None, cancel)))
    result.elapsed_s = time.perf_counter() - started
    return result
