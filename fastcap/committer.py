"""One run: ranges of all inputs through programs, and their results in order to the outputs.

Every file is cut into ranges; ranges are tasks that any executor runs; one committer takes their
results in order. A range other than a file's first begins at a guess. The committer compares it
with where the range before ended, and where they differ has the range read again from there: so
the output is the same, to the byte, as that of one walk from the beginning, whatever the guess.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.postfilter import NO_LIMIT
from fastcap._native.program import NativeProgram
from fastcap.engine import Engine, MachineCode, machine_code
from fastcap.filter import Filter
from fastcap.formats.linktypes import LOOP, NULL
from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.inputs import Source
from fastcap.outputs import ClosedPipe, Output
from fastcap.results import Damage, FilterResult, InputReport
from fastcap.segments import Span
from fastcap.selection import Selection, flow_link
from fastcap.summary import add
from fastcap.tasks import Job, Kept, Result, Task, run_task
from fastcap.workers import Workers

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from fastcap.waiting import Work

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes of all files, from another thread."""

# Ranges in flight hold their matches in memory: this many bytes in all, at most. Where all outputs
# together take more than its share, a call stops early, and another one goes on.
_IN_FLIGHT = 96 << 20
# Buffers that wait for the next range: their capacity, of which about half was ever touched.
_WAITING = 256 << 20
_LARGEST_RANGE = 32 << 20
_SMALLEST_RANGE = 64 << 10
# Each of several outputs costs besides: its block, and what its buffers leave unused.
_OUTPUT = 128 << 10
_AHEAD = 2  # ranges waiting beyond those that are worked on


class Run:
    """What to do with the sources, and the report of what was done. `filters`: one for each output,
    or one that only counts; `rest`: one output more takes what none of them takes; `summary`: that
    is summed up by second and protocol."""

    def __init__(
        self,
        sources: list[Source],
        filters: list[Filter],
        *,
        jobs: int,
        rest: bool = False,
        summary: bool = False,
        selection: Selection = Selection(),  # noqa: B008 - never changed
        snaplen: int | None = None,
        limit: int | None = None,
        range_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.sources = sources
        self.code, self.engine = _machine_code(filters)
        self.programs: tuple[NativeProgram | None, ...] = tuple(
            # frames with tags that it skips are judged one by one
            one.translated if one.program.tags_at else one.native
            for one in filters
        )
        self.programs += (None,) if rest or not filters else ()
        self.rest = rest
        self.summary = summary
        self.skipping = filters[0].skipping() if len(filters) == 1 and not rest else None
        self.selection = selection
        self.jobs = jobs
        self.limit = limit
        self.progress = progress
        outputs = len(self.programs)
        room = _IN_FLIGHT - (outputs * _OUTPUT if outputs > 1 else 0)
        # A frame may go to every output; rows of a summary take about as much as small frames.
        takers = outputs + summary
        self.in_flight = min(jobs + _AHEAD, max(2, room // takers // _SMALLEST_RANGE))
        share = room // self.in_flight
        # A range that all outputs take whole is no more than one call may keep.
        self.shortest = max(_SMALLEST_RANGE, share // takers)
        self.range_bytes = range_bytes or min(_LARGEST_RANGE, share)
        self.most_kept = NO_LIMIT
        if takers > 1:
            # Where each frame goes to one of them: a range is as long as its borders let it be.
            self.range_bytes = range_bytes or min(_LARGEST_RANGE, share // 8 * 7)
            self.most_kept = share
        self.writes = False
        self.out_header = _out_header(sources, snaplen)
        self.result = FilterResult([InputReport(s.name, s.header) for s in sources])
        self.result.engine = self.engine
        self.result.notes += self.engine.notes()
        self.result.summary = {} if summary else None
        self.passed_over: list[str] = []
        self.bytes_done = 0
        self.bytes_total = sum(source.size for source in sources)

    def run(
        self, outputs: list[Output], executor: Executor | Workers | None, cancel: Cancel
    ) -> FilterResult:
        """Reads everything, and finishes the outputs; whatever fails, what was not finished is
        removed."""
        own = Workers(self.jobs)
        commit = _Committer(self, outputs, executor or own, cancel)
        try:
            commit.all()
            commit.flush()
            for number, output in enumerate(outputs):
                if number not in commit.closed:
                    self.result.outputs += output.finish()
                elif not commit.is_unread:
                    name = output.target.name
                    self.result.notes.append(f"{name}: whoever read it closed it before the end")
            self.result.reader_left = commit.is_unread
        except BaseException:
            cancel.set()
            for output in outputs:
                output.discard()
            raise
        finally:
            commit.close()
            own.close()
        return self.result

    def job(self, source: Source) -> Job:
        """For ranges of a source."""
        selection = self.selection
        return Job(
            self.programs,
            source.header.layout,
            self.out_header.layout,
            self.writes,
            NO_LIMIT if self.limit is None else self.limit + selection.skip,
            self.rest,
            self.summary,
            self.skipping,
            selection.since_ns,
            selection.until_ns,
            selection.sample,
            flow_link(source.header.linktype) if self.summary else selection.link,
            self.code,
            self.most_kept,
        )

    def shorten_ranges(self) -> None:
        """Matches were more than a call may keep. What comes will be alike."""
        self.range_bytes = min(self.range_bytes, max(self.shortest, self.range_bytes // 2))

    def tasks(self) -> Iterator[tuple[int, Task | None]]:
        """The number of an input and a range of it, in order; None for a stream as a whole."""
        for number, source in enumerate(self.sources):
            if source.fd is not None:
                yield number, None
                continue
            if self.selection.passes_over(source):
                self.passed_over.append(source.name)
                self.bytes_total -= source.size
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


def linktype_of(source: Source) -> int:
    """The link type that filters of a source's frames are compiled for."""
    header = source.header
    if header.linktype == NULL and header.swapped and sys.byteorder == "little":
        # The address family of NULL frames is in the byte order of the capturing machine. Seen
        # from a little-endian one, frames of a big-endian one are LOOP frames.
        return LOOP
    return header.linktype


def _out_header(sources: list[Source], snaplen: int | None) -> FileHeader:
    """The first input's header, with a snaplen that no frame of the others exceeds."""
    header = sources[0].header
    if any(source.header.frame_limit > header.frame_limit for source in sources):
        header = header._replace(snaplen=max(source.header.frame_limit for source in sources))
    if snaplen is not None and snaplen < header.frame_limit:
        header = header._replace(snaplen=snaplen)
    return header


def _machine_code(filters: list[Filter]) -> tuple[MachineCode | None, Engine]:
    """For all filters at once."""
    if not filters:
        return None, Engine("interpreter", "no filter")
    return machine_code([one.program for one in filters], filters[0].engine, judge=True)


class _Committer:
    """Takes results in the order of the inputs: adds them up, appends what matched."""

    def __init__(
        self,
        run: Run,
        outputs: list[Output],
        executor: Executor | Workers,
        cancel: Cancel,
    ) -> None:
        self.run = run
        self.outputs = outputs
        self.closed: set[int] = set()  # outputs whose reader went away
        self.executor = executor
        self.cancel = cancel
        # and the one that is being committed
        self.memory = Memory((run.in_flight + 1) * len(run.programs), _WAITING)
        self.tasks = run.tasks()
        self.pending: deque[tuple[int, Task | None, Future[Result] | Work[Result] | None]] = deque()
        self.number = -1  # of the input that is being committed
        self.expected = 0  # offset in it of the next record
        self.ended = False  # nothing more of it counts: damage
        self.left = run.limit  # None: no limit
        self.to_skip = run.selection.skip

    def all(self) -> None:
        self.submit()
        while self.pending and self.left != 0 and not self.is_unread:
            self.one(*self.pending.popleft())
            self.submit()  # when nothing holds the memory of that one any more

    def one(
        self, number: int, task: Task | None, future: Future[Result] | Work[Result] | None
    ) -> None:
        if number != self.number:
            self.begin(number)
        if task is None or future is None:
            self.stream(self.run.sources[number])
        elif not self.ended:
            self.range(task, future)
        else:
            future.cancel()

    @property
    def is_unread(self) -> bool:
        """There were outputs, and whoever read them is gone."""
        return len(self.outputs) > 0 and len(self.closed) == len(self.outputs)

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

    def range(self, task: Task, future: Future[Result] | Work[Result]) -> None:
        result = future.result()
        if result.start != self.expected:
            result = self.redo(task)
        result = self.part(task, result)
        if result.filled:
            result = self.rest(task, result)
        if result.damage is not None:
            source = self.run.sources[self.number]
            if result.cut and _size_now(source) > source.size:
                result = result._replace(
                    damage="the file ends inside a record: it is still growing"
                )
            self.damaged(result, source.size - result.end)

    def part(self, task: Task, result: Result) -> Result:
        """Commits what one call read of a range; gives what was committed."""
        if self.to_skip > 0:
            result = self.skip(task, result)
        if self.left is not None and result.taken >= self.left and task.job.limit != self.left:
            # Which frame was the last depends on all ranges before: read up to just that one.
            result = self.again(task, self.left)
        self.commit(result)
        return result

    def rest(self, task: Task, result: Result) -> Result:
        """Of a range of which a call kept as much as it may: call after call, so that no more is in
        memory at once."""
        self.run.shorten_ranges()
        while self.expected < task.stop and result.damage is None:
            if self.left == 0 or self.is_unread:
                break
            stop = min(task.stop, self.expected + self.run.shortest)
            one = task._replace(stop=stop)
            result = self.part(one, self.again(one, task.job.limit))
        return result

    def redo(self, task: Task) -> Result:
        """A wrong guess. A record that began before this range may reach into it or past it."""
        if self.expected >= task.stop:
            return Result(0, 0, self.expected, self.expected, None, False, 0, 0, b"", ())
        self.run.result.ranges_redone += 1
        return self.again(task, task.job.limit)

    def skip(self, task: Task, result: Result) -> Result:
        """Without the first frames that the filter takes: all of a range, or up to one in it."""
        if result.taken > self.to_skip:
            result = self.again(task, self.to_skip, keep=False)
        self.to_skip -= result.taken
        self.commit(result.skipped())
        return self.again(task, task.job.limit) if self.to_skip == 0 else result.nothing_more()

    def again(self, task: Task, limit: int, *, keep: bool | None = None) -> Result:
        keeps = task.job.keep if keep is None else keep
        job = task.job._replace(limit=limit, keep=keeps)
        exact = task._replace(start=self.expected, guess=False, job=job)
        if self.expected >= task.stop:
            return Result(0, 0, self.expected, self.expected, None, False, 0, 0, b"", ())
        return self.executor.submit(run_task, exact, self.cancel, self.memory).result()

    def stream(self, source: Source) -> None:
        from fastcap.streams import read_stream  # no file needs it

        job = self.run.job(source)
        if self.left is not None:
            job = job._replace(limit=self.left)
        pieces = read_stream(source, job, self.to_skip, self.cancel, self.memory)
        for result, self.to_skip in pieces:
            self.commit(result)
            if result.damage is not None:
                self.damaged(result, None)
            if self.is_unread:
                return

    def commit(self, result: Result) -> None:
        report = self.report
        report.frames_read += result.frames_read
        report.bytes_read += result.end - result.start
        report.tagged_missed += result.tagged_missed
        self.run.result.chains_redone += result.chains_redone
        if self.run.result.summary is not None:
            add(self.run.result.summary, result.summary)
        span = Span()
        for number, kept in enumerate(result.kept):
            span = span.joined(kept.matched)
            if kept.matched.frames and number < len(self.outputs):
                self.append(number, kept)
        # a frame may be in several outputs
        report.span = report.span.joined(span._replace(frames=result.taken))
        self.expected = result.end
        if self.left is not None:
            self.left -= result.taken
        self.run.bytes_done += result.end - result.start
        if self.run.progress is not None:
            self.run.progress(self.run.bytes_done, self.run.bytes_total)

    def append(self, number: int, kept: Kept) -> None:
        if number in self.closed:
            return
        try:
            self.outputs[number].append(kept.records, kept.matched)
        except ClosedPipe:
            self.outputs[number].discard()
            self.closed.add(number)

    def flush(self) -> None:
        """Before the first file gets its name: an output that fails leaves none behind."""
        for number, output in enumerate(self.outputs):
            if number in self.closed:
                continue
            try:
                output.flush()
            except ClosedPipe:
                output.discard()
                self.closed.add(number)

    def damaged(self, result: Result, length: int | None) -> None:
        assert result.damage is not None
        self.report.damage.append(Damage(result.end, length, result.damage))
        self.ended = True

    def close(self) -> None:
        for _, _, future in self.pending:
            if future is not None:
                future.cancel()
        self.pending.clear()


def _size_now(source: Source) -> int:
    try:
        return os.stat(source.name).st_size
    except OSError:
        return 0
