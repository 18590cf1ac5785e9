"""Outputs: one file, a numbered series of files, or something that is written in place.

A file is written under a hidden temporary name beside its own and renamed when it is complete, so
whoever sees the name sees the whole file. Nothing is replaced unless that was asked for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from fastcap._native.cancel import Cancel
from fastcap._native.records import take
from fastcap._native.writer import BLOCK, NativeWriter, publish
from fastcap.errors import Interrupted, OutputError, UsageError
from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.inputs import Source, why
from fastcap.segments import Segment, Span

if TYPE_CHECKING:
    from typing_extensions import Buffer

STANDARD_OUTPUT = "-"
# Names of descriptors that are open already, whatever they lead to.
_DESCRIPTORS = r"/dev/(?P<stream>stdout|stderr)|(?:/dev/fd|/proc/self/fd)/(?P<fd>[0-9]{1,9})"
_STREAMS = {"stdout": 1, "stderr": 2}
_SERIES_DIGITS = 8
_TEMPORARY = r"(?s:\..*\.fastcap-([0-9]{1,9})-[0-9a-f]{8})"
OTHER_FORMATS = (".pcapng", ".ntar", ".gz", ".zst", ".lz4", ".xz", ".bz2")
_READER_POLL = 0.05  # seconds
_BLOCKS = 24 << 20  # bytes of what waits to be written, of all outputs
_WAY_OUT = {
    errno.ENOSPC: "; make room, or write elsewhere",
    errno.EDQUOT: "; make room, or write elsewhere",
    errno.ENOENT: "; create the directory first",
    errno.EACCES: "; write elsewhere, or as its owner",
    errno.EROFS: "; write elsewhere",
    errno.EFBIG: "; split it: --output-size 2G",
}


class ClosedPipe(Exception):
    """Whoever read our output went away. Not an error: they had enough."""


def refusal(name: str, error: OSError) -> OutputError:
    return OutputError(f"{name}: {why(error)}{_WAY_OUT.get(error.errno or 0, '')}")


# ---- Before anything is touched ---------------------------------------------------------------


class Target(NamedTuple):
    """What an output name means on this machine. `fd` is the descriptor it stands for, where that
    is open already; then, and for devices and FIFOs, it is written in place."""

    name: str
    in_place: bool
    fd: int | None = None


def resolve(name: str, sources: Iterable[Source], *, series: bool, force: bool) -> Target:
    """Checks an output before anything is touched. UsageError where it is one of the inputs or
    cannot be a series; OutputError where it exists, is a directory, or its directory does not."""
    target = target_of(name)
    if series:
        _check_series(target, sources, force=force)
        return target
    _refuse_input(target, sources)
    if not target.in_place and not force and os.path.lexists(name):
        raise OutputError(f"{name}: exists; choose another name, or replace it with --force")
    return target


def target_of(name: str) -> Target:
    """UsageError for a terminal; OutputError for a directory, or where there is none."""
    if not name:
        raise UsageError("an output needs a name, not ''")
    if name == STANDARD_OUTPUT:
        return _descriptor("standard output", 1)
    match = re.fullmatch(_DESCRIPTORS, name) if name[0] == "/" else None
    if match:
        return _descriptor(name, int(match["fd"] or _STREAMS[match["stream"]]))
    # a link is written through: its target is what is replaced, or not
    return Target(os.path.realpath(name) if os.path.islink(name) else name, _is_in_place(name))


def _descriptor(name: str, fd: int) -> Target:
    if os.isatty(fd):
        raise UsageError(f"{name}: a capture is binary, and this is a terminal: pipe it")
    return Target(name, in_place=True, fd=fd)


def _is_in_place(name: str) -> bool:
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        folder = os.path.dirname(name) or "."
        if not os.path.isdir(folder):
            raise OutputError(f"{name}: no directory {folder}; create it first") from None
        return False
    except OSError as error:
        raise refusal(name, error) from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{name}: a directory; name a file in it")
    return not stat.S_ISREG(mode)


def _refuse_input(target: Target, sources: Iterable[Source]) -> None:
    name = target.name
    try:
        status = os.stat(name) if target.fd is None else os.fstat(target.fd)
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode):
        return
    for source in sources:
        if source.identity == (status.st_dev, status.st_ino):
            raise UsageError(f"{name}: the output is also an input ({source.name})")


def _check_series(target: Target, sources: Iterable[Source], *, force: bool) -> None:
    if target.in_place:
        raise UsageError(f"--output-size splits files; {target.name} is written in place")
    parts = existing_parts(target.name)
    for part in parts:
        _refuse_input(Target(part, in_place=False), sources)
    if parts and not force:
        raise OutputError(
            f"{parts[0]}: exists, of an earlier series; "
            "choose another name, or replace parts with --force"
        )


def part_name(name: str, number: int) -> str:
    """The name of a part of a series.

    >>> part_name("/data/web.pcap", 3)
    '/data/web_00000003.pcap'
    """
    stem, suffix = os.path.splitext(name)
    return f"{stem}_{number:0{_SERIES_DIGITS}}{suffix}"


def existing_parts(name: str) -> list[str]:
    """Paths of the parts that a series of this name has already, sorted."""
    stem, suffix = os.path.splitext(os.path.basename(name))
    pattern = re.compile(
        re.escape(stem) + rf"_\d{{{_SERIES_DIGITS},}}" + re.escape(suffix), re.DOTALL
    )
    folder = os.path.dirname(name)
    return sorted(
        os.path.join(folder, found)
        for found in os.listdir(folder or ".")
        if pattern.fullmatch(found)
    )


def notes_on(target: Target, folders: Iterable[str]) -> list[str]:
    """What the user should know of an output: that its name promises another format, that it lies
    in an input directory, and what runs left behind that were killed."""
    notes: list[str] = []
    if target.in_place:
        return notes
    folder, base = os.path.split(os.path.realpath(target.name))
    if base.lower().endswith(OTHER_FORMATS):
        notes.append(f"{target.name}: written as pcap, uncompressed, whatever its name says")
    for given in folders:
        inside = os.path.realpath(given)
        if folder == inside or folder.startswith(inside.rstrip("/") + "/"):
            notes.append(
                f"{target.name}: lies in the input directory {given}: the next run reads it"
            )
    return notes + _left_behind(folder, base)


def _left_behind(folder: str, base: str) -> list[str]:
    start = "." + os.path.splitext(_hidden_start(base))[0]
    notes = []
    # The output is complete by now: a directory that cannot be listed, or a file that goes
    # meanwhile, is no failure of this run.
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            match = re.fullmatch(_TEMPORARY, name) if name.startswith(start) else None
            if match and not _is_running(int(match[1])):
                path = os.path.join(folder, name)
                notes.append(
                    f"{path}: {os.path.getsize(path):,} bytes of an unfinished run that is not "
                    "running here any more; delete it if no other machine writes it"
                )
    return notes


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _hidden_start(base: str) -> str:
    return os.fsdecode(os.fsencode(base)[:200])  # a name has at most 255 bytes


# ---- Writing ----------------------------------------------------------------------------------


def open_in_place(name: str, cancel: Cancel) -> int:
    """Opens a device or a FIFO; waits for a FIFO's reader, but not deaf to `cancel`."""
    while True:
        try:
            return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(name).st_mode):
                raise
        if cancel.is_set():
            raise Interrupted("interrupted while nobody read the FIFO")
        time.sleep(_READER_POLL)


def block_for(outputs: int) -> int:
    """Bytes of one write where there are so many outputs."""
    return min(BLOCK, 1 << (_BLOCKS // outputs).bit_length() - 1)


class _Part:
    """One open file of an output."""

    def __init__(self, target: Target, header: bytes, cancel: Cancel, block: int) -> None:
        self.name = target.name
        self.span = Span()
        self.temporary: str | None = None
        self.fd = self._open(target, cancel)
        try:
            self.writer = NativeWriter(self.fd, cancel, block)
            self.append(header, Span())
        except BaseException:
            self.discard()
            raise

    def _open(self, target: Target, cancel: Cancel) -> int:
        try:
            if target.fd is not None:
                return os.dup(target.fd)
            if target.in_place:
                return open_in_place(target.name, cancel)
            folder, base = os.path.split(target.name)
            hidden = f".{_hidden_start(base)}.fastcap-{os.getpid()}-{os.urandom(4).hex()}"
            self.temporary = os.path.join(folder, hidden)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(self.temporary, flags, 0o666)
            with contextlib.suppress(OSError):  # what is replaced keeps its permissions
                os.fchmod(fd, stat.S_IMODE(os.stat(target.name).st_mode))
            return fd
        except OSError as error:
            self.temporary = None
            raise refusal(target.name, error) from error

    @property
    def length(self) -> int:
        return self.writer.length

    def append(self, data: Buffer, span: Span) -> None:
        try:
            self.writer.append(data)
        except OSError as error:
            self._failed(error)
        self.span = self.span.joined(span)

    def flush(self) -> None:
        try:
            self.writer.flush()
        except OSError as error:
            self._failed(error)

    def finish(self, *, replace: bool) -> Segment:
        try:
            self.writer.flush()
            fd, self.fd = self.fd, -1
            os.close(fd)  # some file systems tell only now that there was no room
            if self.temporary is not None:
                publish(self.temporary, self.name, replace=replace)
                self.temporary = None
        except FileExistsError:
            raise OutputError(
                f"{self.name}: appeared while we wrote; choose another name, or use --force"
            ) from None
        except OSError as error:
            self._failed(error)
        return Segment(self.name, self.length, self.span)

    def discard(self) -> None:
        """Removes what was not finished."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):  # there is an error to report already
                os.close(self.fd)
        if self.temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.temporary)
        self.fd = -1
        self.temporary = None

    def _failed(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            raise ClosedPipe from None
        raise refusal(self.name, error) from error


class Output:
    """Where matching records go, in the order in which they are appended.

    `size` makes it a numbered series whose files are at most so many bytes long, or one record.
    `block`: bytes of one write.
    `segments` lists the finished files.
    """

    def __init__(
        self,
        target: Target,
        header: FileHeader,
        cancel: Cancel,
        *,
        size: int | None = None,
        force: bool = False,
        block: int = BLOCK,
    ) -> None:
        self.target = target
        self.header = header
        self.cancel = cancel
        self.size = size
        self.force = force
        self.block = block
        self.segments: list[Segment] = []
        self.part = self._open()

    def _open(self) -> _Part:
        target = self.target
        if self.size is not None:
            target = Target(part_name(target.name, len(self.segments) + 1), in_place=False)
        return _Part(target, self.header.pack(), self.cancel, self.block)

    def append(self, records: Buffer, span: Span) -> None:
        """Whole records in the output's layout, and what they span."""
        if self.size is None:
            self.part.append(records, span)
        else:
            self._append_to_series(memoryview(records), self.size)

    def _append_to_series(self, records: memoryview, size: int) -> None:
        while len(records):
            room = max(0, size - self.part.length)
            length, span = self._fitting(records, room)
            if length == 0 and self.part.length > HEADER_SIZE:
                self._next_part()
                continue
            if length == 0:  # one record alone is longer than a file may be
                length, span = self._fitting(records, 0, at_least_one=True)
                assert length > 0, "what is appended are whole records"
            self.part.append(records[:length], span)
            records = records[length:]

    def _fitting(
        self, records: memoryview, room: int, *, at_least_one: bool = False
    ) -> tuple[int, Span]:
        length, frames, first, last = take(
            records, self.header.layout, room, at_least_one=at_least_one
        )
        return length, Span(frames, first, last)

    def _next_part(self) -> None:
        self.segments.append(self.part.finish(replace=self.force))
        self.part = self._open()

    def flush(self) -> None:
        """Hands everything to the kernel: what can fail has failed then, for the most part."""
        self.part.flush()

    def finish(self) -> list[Segment]:
        """Gives the last file its name; the segments of all files."""
        self.segments.append(self.part.finish(replace=self.force))
        return self.segments

    def discard(self) -> None:
        """Removes the file that is not finished; finished parts of a series stay."""
        self.part.discard()
