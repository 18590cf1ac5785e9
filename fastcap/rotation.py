"""The writer's side of a capture: chunks from the queue into files, on a thread of its own.

A second thread syncs finished files and gives them their names, so that a slow sync holds up
neither the ring's reader nor the writing of the next file, which is open before it is needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from fastcap._native.cancel import Cancel
from fastcap._native.capture import Chunk, NativeCapture
from fastcap._native.writer import NativeWriter
from fastcap.errors import FastcapError, InputError, OutputError
from fastcap.outputs import Target, open_in_place, refusal
from fastcap.segments import Segment, Span
from fastcap.series import BARE, Series, end_at_last_record

_WAIT_MS = 500
# Files that may wait to be synced and named; then the writer waits for the disk.
_MOST_FINISHING = 64
_MODE = 0o640  # frames are other people's letters


class _File:
    """A file that is written, or waits for its name. `span` is of the records in it so far."""

    def __init__(self, fd: int, sequence: int, cancel: Cancel) -> None:
        self.fd = fd
        self.sequence = sequence
        self.writer = NativeWriter(fd, cancel)
        self.span = Span()
        self.ended = False


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

    `bare` gives the first file the bare name. `keep` deletes all numbered files but that many.
    `on_segment` is told of each finished file, `on_note` of what the user should know, both from
    another thread. `run` is for one thread.
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
        on_segment: Callable[[Segment], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.native = native
        self.series = series
        self.target = target
        self.cancel = cancel
        self.keep = keep
        self.on_segment = on_segment
        self.on_note = on_note
        self.counts = Counts()
        self.error: FastcapError | None = None
        self.reader_left = False
        self.current = target.name  # for people: what is written now
        self._next = BARE if bare or series is None else series.next_sequence()
        self._open: dict[int, _File] = {}  # by the reader's number
        # Files get their names in the order in which they began, though the one of the interval
        # before may end after others: it waits for late frames.
        self._begun: deque[_File] = deque()
        self._spare: _File | None = None
        self._finisher = ThreadPoolExecutor(1, "fastcap-finisher")
        self._finishing = threading.Semaphore(_MOST_FINISHING)

    # ---- The thread ---------------------------------------------------------------------------

    def run(self) -> None:
        """Until the queue ends. Errors of the output end the capture and are in `error`; every
        frame is counted as written or lost all the same."""
        try:
            self._prepare()
            while (chunk := self.native.next_chunk(_WAIT_MS)) is not False:
                if chunk is None:
                    continue
                frames, ended = chunk.frames, None
                try:
                    ended = self._take(chunk)
                except Exception as error:  # whatever it is, the reader needs its chunks back
                    self._give_up(_unexpected(error))
                    self.counts.add(lost=frames)
                finally:
                    chunk.give_back()
                if ended is not None:
                    self._finish(ended)
                self._prepare()
        finally:
            self._finisher.shutdown()
            self._close_rest()

    def _take(self, chunk: Chunk) -> _File | None:
        """Writes and counts a chunk. The file that it ends, if it does."""
        frames = chunk.frames
        if self.error is not None or self.reader_left:
            self.counts.add(lost=frames)
            return None
        file = None
        try:
            file = self._open.get(chunk.file) or self._begin(chunk.file)
            file.writer.write(chunk)
        except OSError as error:
            self._failed(error, file, frames)
            return None
        except FastcapError as error:
            self._give_up(error)
            self.counts.add(lost=frames)
            return None
        file.span = file.span.joined(Span(frames, chunk.first_ns, chunk.last_ns))
        self.counts.add(written=frames)
        return self._open.pop(chunk.file) if chunk.ends else None

    # ---- Files --------------------------------------------------------------------------------

    def _begin(self, number: int) -> _File:
        file, self._spare = self._spare or self._create(), None
        if self.series is not None:
            self.current = self.series.temporary(file.sequence)
        self._open[number] = file
        self._begun.append(file)
        return file

    def _prepare(self) -> None:
        """Opens the file after the one that is written. That it cannot is told when it is needed:
        until then there may be room again."""
        if self.series is None or self._spare is not None or self.error is not None:
            return
        with contextlib.suppress(OSError):
            self._spare = self._create()

    def _create(self) -> _File:
        if self.series is None:
            target = self.target
            fd = os.dup(target.fd) if target.fd is not None else open_in_place(
                target.name, self.cancel
            )  # fmt: skip
            return _File(fd, BARE, self.cancel)
        path = self.series.temporary(self._next)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        file = _File(fd, self._next, self.cancel)
        self._next = self._next + 1 if self._next != BARE else self.series.next_sequence()
        return file

    def _finish(self, file: _File) -> None:
        file.ended = True
        while self._begun and self._begun[0].ended:
            self._finishing.acquire()
            finishing = self._finisher.submit(self._publish, self._begun.popleft())
            finishing.add_done_callback(self._finished)

    def _finished(self, finishing: Future[None]) -> None:
        self._finishing.release()
        error = finishing.exception()
        if isinstance(error, Exception):
            self._give_up(_unexpected(error))

    def _publish(self, file: _File) -> None:
        """On the finisher's thread."""
        try:
            self._sync_and_name(file, file.writer.length, file.span)
        except OSError as error:
            path = self.series.temporary(file.sequence) if self.series else self.target.name
            self._give_up(_of_file(path, error))
            self.counts.add(written=-file.span.frames, lost=file.span.frames)

    def _sync_and_name(self, file: _File, length: int, span: Span) -> None:
        series = self.series
        if series is None:
            os.close(file.fd)
            self.on_segment(Segment(self.target.name, length, span))
            return
        try:
            os.fsync(file.fd)
        finally:
            os.close(file.fd)
        segment = series.publish(file.sequence, length, span)
        self.counts.add(files=1)
        self.on_segment(segment)
        if self.keep is not None:
            self._delete_oldest(series, self.keep)

    def _delete_oldest(self, series: Series, keep: int) -> None:
        try:
            series.delete_oldest(keep)
        except OSError as error:
            self.on_note(f"cannot delete {error.filename}: {error.strerror}; the disk will fill up")

    # ---- Failures -----------------------------------------------------------------------------

    def _give_up(self, error: FastcapError) -> None:
        if self.error is None:
            self.error = error
        self.native.stop()

    def _failed(self, error: OSError, file: _File | None, frames: int) -> None:
        """A chunk could not be written, or its file not be opened."""
        if error.errno == errno.EPIPE and self.series is None:
            self.reader_left = True
            self.counts.add(lost=frames)
            self.native.stop()
            return
        path = self.target.name
        if self.series is not None:
            path = self.series.temporary(self._next if file is None else file.sequence)
        self._give_up(_of_file(path, error))
        self.counts.add(lost=frames)
        self._open.clear()
        while self._begun:
            end = self._publish if self._begun[0].ended else self._end_at_last_record
            self._finisher.submit(end, self._begun.popleft())

    def _end_at_last_record(self, file: _File) -> None:
        """What the file holds of whole records is kept under its name. On the finisher's thread."""
        if self.series is None:
            os.close(file.fd)
            return
        path = self.series.temporary(file.sequence)
        try:
            length, span = end_at_last_record(path)
            # some of the chunk that failed may be there
            more = span.frames - file.span.frames
            self.counts.add(written=more, lost=-more)
            if span.frames:
                self._sync_and_name(file, length, span)
            else:
                os.close(file.fd)
                os.unlink(path)
        except (OSError, InputError):
            # the next start finds it; until then nobody can say that its frames are safe
            self.counts.add(written=-file.span.frames, lost=file.span.frames)

    def _close_rest(self) -> None:
        for file in self._begun:  # the reader ended without ending them
            with contextlib.suppress(OSError):
                os.close(file.fd)
        if self._spare is not None:
            os.close(self._spare.fd)
            if self.series is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self.series.temporary(self._spare.sequence))


def _unexpected(error: Exception) -> FastcapError:
    failure = FastcapError(f"the writer failed, which is a bug of fastcap's: {error!r}")
    failure.__cause__ = error
    return failure


def _of_file(path: str, error: OSError) -> OutputError:
    if isinstance(error, FileExistsError):
        return OutputError(f"{path}: its name is taken, by somebody else; it stays as it is")
    return refusal(path, error)
