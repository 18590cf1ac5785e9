"""The writer's side of a capture: chunks from the queue into files, on a thread of its own.

A second thread syncs finished files and gives them their names, so that a slow sync holds up
neither the ring's reader nor the writing of the next file, which is open before it is needed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fastcap import sidecar
from fastcap._native.cancel import Cancel
from fastcap._native.capture import Chunk, NativeCapture
from fastcap._native.writer import NativeWriter
from fastcap.disk import Disk, Trouble
from fastcap.errors import FastcapError, Interrupted, OutputError
from fastcap.outputs import Target, open_in_place, refusal
from fastcap.segments import Gap, Gaps, Segment, Span
from fastcap.series import BARE, Series, cut, end_at_last_record, is_gone

_WAIT_MS = 500
_RETRY = 1.0  # seconds until a file that got no name is named again
# Files that may wait to be synced and named; then the writer waits for the disk.
_MOST_FINISHING = 64


class Closing(NamedTuple):
    """What a file that ends holds: records from `since_ns`, when the one before ended, to
    `until_ns`; before and behind them the ring dropped `dropped` frames, and `lost` more were to be
    in it and could not be written."""

    since_ns: int
    until_ns: int
    frames: int
    dropped: int
    lost: int


class _Unwritten(NamedTuple):
    """Of the chunks of a file that are lost: frames that were in them, and frames missing there."""

    frames: int = 0
    gaps: Gaps = Gaps()

    def joined(self, chunk: Chunk) -> _Unwritten:
        gaps = self.gaps.joined(_gaps_of(chunk, 0, 0))
        return _Unwritten(self.frames + chunk.frames, gaps.unlisted())  # their record is lost


class _File:
    """A file that is written, or waits for its name: owns `fd`. `span` is of the records in it so
    far, `ended` says that they are all."""

    def __init__(self, fd: int, sequence: int) -> None:
        self.fd = fd
        self.sequence = sequence
        status = os.fstat(fd)
        self.was_empty = stat.S_ISREG(status.st_mode) and status.st_size == 0
        try:
            self.writer = NativeWriter(fd, Cancel())  # never set: a stop still writes all
        except BaseException:
            os.close(fd)
            raise
        self.span = Span()
        self.ended = False
        self.sound = 0  # bytes of it that count
        self.is_torn = False  # what does not count may lie behind them
        self.tail = 0  # bytes at its end, of a record that ends in the next chunk
        self.has_gap = False  # chunks are missing: its span is not known until it is read
        self.lost = 0  # frames that should be in it
        self.gaps = Gaps()
        self.ended_ns: int | None = None  # when its reader ended it

    def cut(self, length: int) -> None:
        """Takes back what is behind `length` bytes. OSError."""
        os.ftruncate(self.fd, length)
        os.lseek(self.fd, length, os.SEEK_SET)
        self.writer.rewind(length)


class _Complete(NamedTuple):
    """A file that is written and synced, and has no name yet."""

    sequence: int
    length: int
    span: Span
    gaps: Gaps


class Counts:
    """What became of the frames that the reader handed over; read by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.written = 0
        self.lost = 0
        self.files = 0

    def add(self, *, written: int = 0, lost: int = 0, files: int = 0) -> None:
        with self._lock:
            self.written += written
            self.lost += lost
            self.files += files


class Rotation:
    """Writes the chunks of a capture into the files of a series, or in place into `target`.

    `bare` gives the first file the bare name. `header` is what files begin with, `trailer` makes
    what they end with. `keep` deletes all numbered files but that many. `before_name` is told of
    each file that is complete, right before it gets its name, and again where that has to be tried
    again; `on_segment` of each that has it, `on_note` of what the user should know, all from other
    threads. `cancel` ends the wait for the reader of a FIFO, and nothing else. `disk` says what is
    done when named files cannot be written. `run` is for one thread.
    """

    def __init__(
        self,
        native: NativeCapture,
        series: Series | None,
        target: Target,
        cancel: Cancel,
        *,
        bare: bool,
        keep: int | None,
        header: bytes = b"",
        trailer: Callable[[Closing], bytes] | None = None,
        on_segment: Callable[[Segment], None],
        on_note: Callable[[str], None],
        before_name: Callable[[Segment], None] = lambda _: None,
        disk: Disk | None = None,
    ) -> None:
        self.native = native
        self.disk = disk if series is not None else None
        self.series = series
        self.target = target
        self.cancel = cancel
        self.keep = keep
        self.header = header
        self.trailer = trailer
        self.since_ns = time.time_ns()  # when the file before ended
        self.on_segment = on_segment
        self.on_note = on_note
        self.before_name = before_name
        self.counts = Counts()
        self.error: FastcapError | None = None
        self.reader_left = False
        self.current = target.name  # for people: what is written now
        self._next = BARE if bare or series is None else series.next_sequence()
        self._open: dict[int, _File] = {}  # by the reader's number
        self._beheaded: dict[int, _Unwritten] = {}  # files whose first chunks are lost
        self._again: dict[int, int] = {}  # sequences of files that are gone and begin again
        # Files get their names in the order in which they began, though the one of the interval
        # before may end after others: it waits for late frames.
        self._begun: deque[_File] = deque()
        self._spare: _File | None = None
        self._finishing: queue.Queue[_File | None] = queue.Queue(_MOST_FINISHING)
        # The finisher's own:
        self._nameless: deque[_Complete] = deque()
        self._naming = Trouble(on_note)
        self._told_undeletable: set[str] = set()

    # ---- The thread ---------------------------------------------------------------------------

    def run(self) -> None:
        """Until the queue ends. Errors of the output end the capture and are in `error`; every
        frame is counted as written or lost all the same, and the reader gets its chunks back."""
        finisher = threading.Thread(target=self._finish_files, name="fastcap-finisher", daemon=True)
        try:
            finisher.start()
        except RuntimeError as error:  # with an error no file begins, so nobody needs it
            self._give_up(FastcapError(f"no thread to finish files with: {error}"))
        more = True
        while more:
            try:
                more = self._turn()
            except Exception as error:
                self._give_up(_unexpected(error))
        if finisher.ident is not None:
            self._finish(self._begun)  # after an error none of them got its end
            self._finishing.put(None)
            finisher.join()
        self._drop_spare()

    def _turn(self) -> bool:
        """The next chunk, if one comes soon; False at the end."""
        self._prepare()
        chunk = self.native.next_chunk(_WAIT_MS)
        if chunk is None or chunk is False:
            return chunk is None
        self._take(chunk)
        while self._begun and self._begun[0].ended:
            self._finish([self._begun[0]])
        return True

    def _take(self, chunk: Chunk) -> None:
        """Writes a chunk and gives it back; its frames are counted once, whatever fails."""
        number, frames = chunk.file, chunk.frames
        written, failure = 0, None
        try:
            if self.error is None and not self.reader_left:
                written = (
                    self._write(chunk) if self.disk is None else self._insist(chunk, self.disk)
                )
        except Exception as error:
            failure = error
        finally:
            chunk.give_back()
        self.counts.add(written=written, lost=frames - written)
        file = self._open.get(number)
        if file is not None and failure is not None:
            file.lost += frames
        if failure is not None:
            self._failed(failure, self._path_of(file))

    def _insist(self, chunk: Chunk, disk: Disk) -> int:
        """Tries again while the disk refuses, as long as there is room for frames to wait in."""
        with memoryview(chunk) as view:
            disk.keep_free(view.nbytes)
        while True:
            try:
                written = self._write(chunk)
            except OSError as error:
                if disk.stops:
                    raise
                if disk.may_go_on(error, self.current):
                    continue
                self._drop(chunk)
                disk.lost(chunk.frames)
                return 0
            disk.works(self.current)
            return written

    def _write(self, chunk: Chunk) -> int:
        """How many frames are in the file now that were not before: one whose beginning is lost is
        none. OSError; then some of the chunk may be there."""
        file = self._open.get(chunk.file) or self._begin(chunk.file)
        if self.series is not None and not self.series.holds(file.sequence, file.fd):
            file = self._begin_again(chunk.file, file)
        if file.is_torn:
            file.cut(file.sound)
        file.is_torn = True
        if file.has_gap and file.sound == 0:
            file.writer.write(self.header)
        skipped = chunk.head if file.tail == 0 else 0
        with memoryview(chunk) as view, view[skipped:] as rest:
            file.writer.write(rest)
        file.sound, file.is_torn = file.writer.length, False
        frames = chunk.frames - (skipped > 0)
        file.gaps = file.gaps.joined(_gaps_of(chunk, file.span.frames, chunk.frames - frames))
        file.lost += chunk.frames - frames
        if frames > 0:
            file.span = file.span.joined(Span(frames, chunk.first_ns, chunk.last_ns))
        file.tail = chunk.tail
        self._end_with(chunk, file)
        return frames

    def _drop(self, chunk: Chunk) -> None:
        """The file goes on without it, from its last whole record."""
        file = self._open.get(chunk.file)
        if file is None and chunk.ends:
            self._beheaded.pop(chunk.file, None)
        elif file is None:
            before = self._beheaded.get(chunk.file, _Unwritten())
            self._beheaded[chunk.file] = before.joined(chunk)
        if file is None:
            return
        unwritten = _Unwritten(file.lost).joined(chunk)
        file.lost, file.gaps = unwritten.frames, file.gaps.joined(unwritten.gaps)
        file.sound, file.is_torn = file.sound - file.tail, True
        file.tail = 0
        file.has_gap = True
        self._end_with(chunk, file)

    def _end_with(self, chunk: Chunk, file: _File) -> None:
        if chunk.ends:
            file.ended, file.ended_ns = True, chunk.ended_ns
            del self._open[chunk.file]

    # ---- Files --------------------------------------------------------------------------------

    def _begin(self, number: int) -> _File:
        if self.series is None:
            file = self._open_in_place()
        else:
            if number in self._again:
                self.series.renew()
                file = self._create(self.series, self._again[number])
                del self._again[number]
            else:
                file = self._spare or self._create_next(self.series)
                self._spare = None
            file.has_gap = number in self._beheaded
            file.lost, file.gaps = self._beheaded.pop(number, _Unwritten())
            self.current = self._path_of(file)
        self._open[number] = file
        self._begun.append(file)
        return file

    def _begin_again(self, number: int, file: _File) -> _File:
        """Somebody took the file, or its directory, away, and what it holds."""
        frames = file.span.frames
        self.counts.add(written=-frames, lost=frames)
        if frames:
            self.on_note(f"{self._path_of(file)}: it is gone, and {frames:,} frames with it")
        del self._open[number]
        self._begun.remove(file)
        os.close(file.fd)
        if file.sound > 0 or file.has_gap:
            self._beheaded[number] = _Unwritten(file.lost + frames, file.gaps.unlisted())
        self._again[number] = file.sequence
        return self._begin(number)

    def _prepare(self) -> None:
        """Opens the file after the one that is written. That it cannot is told when it is needed:
        until then there may be room again."""
        if self.series is None or self._spare is not None or self.error is not None:
            return
        with contextlib.suppress(OSError, MemoryError):
            self._spare = self._create_next(self.series)

    def _create_next(self, series: Series) -> _File:
        sequence = self._next
        following = series.next_sequence() if sequence == BARE else sequence + 1
        file = self._create(series, sequence)
        self._next = following
        return file

    def _create(self, series: Series, sequence: int) -> _File:
        path = series.temporary(sequence)
        fd = series.permissions.create(path)
        try:
            return _File(fd, sequence)
        except BaseException:
            os.unlink(path)
            raise

    def _open_in_place(self) -> _File:
        target = self.target
        if target.fd is not None:
            return _File(os.dup(target.fd), BARE)
        try:
            return _File(open_in_place(target.name, self.cancel), BARE)
        except Interrupted:
            raise OutputError(f"{target.name}: stopped before anybody opened the FIFO") from None

    def _drop_spare(self) -> None:
        if self._spare is not None and self.series is not None:
            os.close(self._spare.fd)
            with contextlib.suppress(OSError):
                os.unlink(self.series.temporary(self._spare.sequence))

    # ---- The finisher's thread ----------------------------------------------------------------

    def _finish(self, files: Iterable[_File]) -> None:
        """Hands files over to the finisher; waits where it has too many already."""
        for file in list(files):
            self._finishing.put(file)
            self._begun.remove(file)

    def _finish_files(self) -> None:
        more = True
        while more:
            try:
                more = self._finish_next()
            except BaseException as error:
                self._give_up(_unexpected(error))

    def _finish_next(self) -> bool:
        """False behind the last."""
        try:
            file = self._finishing.get(timeout=_RETRY if self._nameless else None)
        except queue.Empty:
            self._name_files(last=False)
            return True
        if file is not None:
            self._finish_file(file)
        self._name_files(last=file is None)
        return file is not None

    def _finish_file(self, file: _File) -> None:
        """What a file does not hold in the end, whatever failed, is lost."""
        complete = None
        try:
            complete = self._complete(file)
        except Exception as error:
            self._not_finished(error, file.sequence)
        finally:
            more = (complete.span.frames if complete else 0) - file.span.frames
            self.counts.add(written=more, lost=-more)
        if complete is None:
            return
        if self.series is None:
            segment = Segment(self.target.name, complete.length, complete.span, complete.gaps)
            self.before_name(segment)
            self.on_segment(segment)
        else:
            self._nameless.append(complete)

    def _complete(self, file: _File) -> _Complete | None:
        """Syncs a file. One that did not get its end, because a write failed, is cut behind its
        last whole record; None where that leaves nothing."""
        length, span = file.writer.length, file.span
        try:
            if not file.ended or file.has_gap:  # some of the chunk that failed may be there
                if self.series is not None:
                    length, span = end_at_last_record(self._path_of(file))
                elif file.was_empty:
                    with contextlib.suppress(OSError, FastcapError):  # it stays as it is
                        length, span = _cut_in_place(file.fd)
            is_nothing = span.frames == 0 and (not file.ended or file.has_gap)
            if self.trailer is not None and not is_nothing:
                length += self._add_trailer(file, length, span, self.trailer)
            if self.series is not None:
                os.fsync(file.fd)
        finally:
            os.close(file.fd)
        if self.series is not None and is_nothing:
            os.unlink(self._path_of(file))
            return None
        return _Complete(file.sequence, length, span, file.gaps)

    def _add_trailer(
        self, file: _File, length: int, span: Span, trailer: Callable[[Closing], bytes]
    ) -> int:
        """Behind `length` bytes; its own length. Where it cannot be written the file is whole
        without it."""
        in_place = self.series is None
        if in_place and (not file.ended or self.reader_left or self.error is not None):
            return 0
        until = file.ended_ns or time.time_ns()
        lost = file.lost + file.span.frames - span.frames
        data = trailer(Closing(self.since_ns, until, span.frames, file.gaps.frames, max(0, lost)))
        self.since_ns = until
        try:
            if not in_place:
                file.cut(length)
            file.writer.write(data)
        except OSError as error:
            self.reader_left |= in_place and isinstance(error, BrokenPipeError)
            if file.was_empty:
                file.cut(length)
            if not self.reader_left:
                path = self._path_of(file)
                self.on_note(f"{path}: {error.strerror}: the statistics at its end are missing")
            return 0
        return len(data)

    def _name_files(self, *, last: bool) -> None:
        """Gives files their names, in order. The first that cannot have one, because its directory
        refuses, waits, and those behind it too; where this is the `last` try it is left under its
        hidden name, and its frames count as lost."""
        assert self.series is not None or not self._nameless
        while self._nameless and self.series is not None:
            complete = self._nameless[0]
            try:
                segment = self._name(complete, self.series)
            except Exception as error:
                if not last and self._may_wait(error, complete):
                    return
                self._nameless.popleft()
                self.counts.add(written=-complete.span.frames, lost=complete.span.frames)
                self._not_finished(error, complete.sequence)
                continue
            self._nameless.popleft()
            self._naming.is_over(segment.path, "named")
            self.counts.add(files=1)
            self._sync_names(self.series)
            self.on_segment(segment)
            if self.keep is not None:
                self._delete_oldest(self.series, self.keep)

    def _name(self, complete: _Complete, series: Series) -> Segment:
        segment = series.segment(complete.sequence, complete.length, complete.span)
        segment = segment._replace(gaps=complete.gaps)
        self.before_name(segment)
        try:
            series.publish(complete.sequence, segment)
        except BaseException:
            with contextlib.suppress(OSError):
                sidecar.remove(segment.path)
            raise
        return segment

    def _may_wait(self, error: Exception, complete: _Complete) -> bool:
        """Not where the file itself is gone, or its name is somebody else's."""
        if self.disk is None or self.disk.stops or not isinstance(error, OSError):
            return False
        path = self._path_of(complete)
        if isinstance(error, FileExistsError) or is_gone(path):
            return False
        self._naming.goes_on(path, error, "it gets its name when that works again")
        return True

    def _not_finished(self, error: Exception, sequence: int) -> None:
        path = self.target.name if self.series is None else self.series.temporary(sequence)
        if self.disk is None or self.disk.stops or not isinstance(error, OSError):
            self._failed(error, path)
        else:
            self.on_note(f"{_of_file(path, error)}; its frames count as lost")

    def _sync_names(self, series: Series) -> None:
        try:
            series.sync_names()
        except OSError as error:  # the frames are in the file all the same
            self.on_note(f"{series.path}: a power cut may take its name: {error.strerror}")

    def _delete_oldest(self, series: Series, keep: int) -> None:
        for path, why in series.delete_oldest(keep):
            if path not in self._told_undeletable:
                self._told_undeletable.add(path)
                self.on_note(f"cannot delete {path}: {why}; the disk will fill up")

    # ---- Failures -----------------------------------------------------------------------------

    def _give_up(self, error: FastcapError) -> None:
        if self.error is None:
            self.error = error
        self.native.stop()

    def _failed(self, error: Exception, path: str) -> None:
        """A chunk could not be written, or a file not be opened, synced or named."""
        if isinstance(error, BrokenPipeError) and self.series is None:
            self.reader_left = True
            self.native.stop()
        elif isinstance(error, OSError):
            self._give_up(_of_file(path, error))
        else:
            self._give_up(error if isinstance(error, FastcapError) else _unexpected(error))

    def _path_of(self, file: _File | _Complete | None) -> str:
        """Where it is before it has its name; None for the next."""
        if self.series is None:
            return self.target.name
        return self.series.temporary(self._next if file is None else file.sequence)


def _gaps_of(chunk: Chunk, first: int, skipped: int) -> Gaps:
    """Of a chunk whose first record in the file has the number `first`: the one before that, where
    `skipped` is 1, has no beginning there."""
    listed = tuple(
        Gap(first + max(0, record - skipped), frames, time_ns)
        for record, frames, time_ns in chunk.gaps
    )
    left_out, frames_left_out = chunk.gaps_left_out
    return Gaps(listed, left_out, frames_left_out + sum(gap.frames for gap in listed))


def _cut_in_place(fd: int) -> tuple[int, Span]:
    """Of standard output that is a file and was empty when the capture began."""
    path = f"/proc/self/fd/{fd}"
    readable = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return cut(readable, path)
    finally:
        os.close(readable)


def _unexpected(error: BaseException) -> FastcapError:
    failure = FastcapError(f"the writer failed, which is a bug of fastcap's: {error!r}")
    failure.__cause__ = error
    return failure


def _of_file(path: str, error: OSError) -> OutputError:
    if isinstance(error, FileExistsError):
        return OutputError(f"{path}: its name is taken, by somebody else; it stays as it is")
    return refusal(path, error)
