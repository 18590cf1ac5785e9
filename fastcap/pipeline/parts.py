"""The parts of an output: a numbered series of files, the last of which is open over many
originals.

/data/kept/web.pcap becomes /data/kept/web_00000001.pcap and so on; a part that is open is
/data/kept/.web_00000001.pcap.1f00aa2b.keeping, where the eight digits are of the journal that says
how much of it counts.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fastcap._native.cancel import Cancel
from fastcap._native.records import take
from fastcap._native.writer import NativeWriter, publish
from fastcap.errors import InputError, OutputError, UsageError
from fastcap.folders import sync_folder
from fastcap.formats.linktypes import HOST_ORDER
from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.locks import BusyError, Lock, open_regular
from fastcap.outputs import OTHER_FORMATS, Target, existing_parts, part_name, refusal, target_of
from fastcap.permissions import Permissions
from fastcap.pipeline.journal import FULL, GONE, NAMED, OPEN, Part
from fastcap.segments import Span
from fastcap.series import end_at_last_record

if TYPE_CHECKING:
    from typing_extensions import Buffer

SUFFIX = ".keeping"


class Destination:
    """Where the frames of one --to go: names, and the right to write them, until `close`.

    UsageError for what is no series of files; OutputError where the directory cannot be used or
    another service writes there.
    """

    def __init__(self, path: str, spool: str, permissions: Permissions) -> None:
        target = target_of(path)
        if target.in_place:
            raise UsageError(f"{path}: no file; an output of a pipeline is a series of files")
        if target.name.lower().endswith(OTHER_FORMATS):
            raise UsageError(f"{path}: parts are written as pcap, uncompressed: name it so")
        # the names of its parts stay the same wherever the next service is started
        self.path = os.path.abspath(target.name)
        self.permissions = permissions
        self.folder, self._base = os.path.split(self.path)
        if os.path.realpath(self.folder) == os.path.realpath(spool):
            raise UsageError(
                f"{path}: lies in the spool, where its parts would be filtered again; choose "
                "another directory"
            )
        most = os.pathconf(self.folder, "PC_NAME_MAX")
        if len(os.fsencode(os.path.basename(self.temporary(1, "0" * 8)))) > most:
            raise OutputError(f"{path}: the names of its parts are too long; choose a shorter one")
        try:
            self._lock = Lock(os.path.join(self.folder, f".{self._base}.lock"))
        except BusyError as error:
            raise OutputError(
                f"{path}: another service writes there, process {error.owner}; stop it, or choose "
                "another name"
            ) from None
        except OSError as error:
            raise refusal(path, error) from error

    def close(self) -> None:
        self._lock.close()

    def name(self, number: int) -> str:
        return part_name(self.path, number)

    def temporary(self, number: int, journal: str) -> str:
        base = os.path.basename(self.name(number))
        return os.path.join(self.folder, f".{base}.{journal}{SUFFIX}")

    def highest(self) -> int:
        """Of the numbers that are taken. OSError."""
        pattern = _numbers_of(self._base)
        found = (pattern.fullmatch(os.path.basename(path)) for path in existing_parts(self.path))
        return max((int(match[1]) for match in found if match), default=0)

    def left(self) -> list[tuple[str, int, str]]:
        """Open parts that are there: path, number, journal. OSError."""
        stem, suffix = os.path.splitext(self._base)
        pattern = re.compile(
            rf"\.{re.escape(stem)}_([0-9]{{8,}}){re.escape(suffix)}\.([0-9a-f]{{8}})"
            + re.escape(SUFFIX),
            re.DOTALL,
        )
        found = ((pattern.fullmatch(name), name) for name in sorted(os.listdir(self.folder)))
        return [
            (os.path.join(self.folder, name), int(match[1]), match[2])
            for match, name in found
            if match
        ]

    def sync(self) -> None:
        """The names in its directory. OSError."""
        sync_folder(self.folder)

    def free_name(self, number: int) -> str:
        """What a part is called whose name somebody took meanwhile."""
        while os.path.lexists(self.name(number)):
            number += 1
        return self.name(number)


def _numbers_of(base: str) -> re.Pattern[str]:
    stem, suffix = os.path.splitext(base)
    return re.compile(re.escape(stem) + r"_([0-9]{8,})" + re.escape(suffix), re.DOTALL)


# ---- The service's side ------------------------------------------------------------------------


def cut(part: Part) -> bool:
    """Takes back what is behind what is sure; False where less is there than was sure, or nothing.
    OSError."""
    try:
        fd = open_regular(part.temporary)
    except (FileNotFoundError, OutputError):
        return False
    try:
        length = os.fstat(fd).st_size
        if length > part.bytes:
            os.ftruncate(fd, part.bytes)
        return length >= part.bytes
    finally:
        os.close(fd)


def give_name(part: Part) -> None:
    """To a part that is full. Repeated it does nothing. OSError; FileExistsError."""
    if os.path.lexists(part.temporary):
        try:
            publish(part.temporary, part.name, replace=False)
        except FileExistsError:
            # killed between the two steps where a file system cannot rename without replacing
            if not os.path.samestat(os.lstat(part.temporary), os.lstat(part.name)):
                raise
            os.unlink(part.temporary)


def salvage(destination: Destination, part: Part) -> Part:
    """Gives what is left of a part its name, up to its last whole record. OSError."""
    gone = part._replace(state=GONE, bytes=0, span=Span())
    try:
        length, span = end_at_last_record(part.temporary)
    except (FileNotFoundError, OutputError, InputError):
        return gone
    if span.frames == 0:
        os.unlink(part.temporary)
        return gone
    name = destination.free_name(part.number)
    publish(part.temporary, name, replace=False)
    destination.sync()
    return part._replace(name=name, bytes=length, span=span, state=NAMED)


def adopt(destination: Destination, path: str, number: int) -> str:
    """Ends an open part of a journal that is not there any more at its last whole record, and gives
    it a name; a line that says so. OSError."""
    try:
        length, span = end_at_last_record(path)
    except OSError:
        raise
    except Exception as error:
        return f"{path}: left by a service whose journal is gone, and left as it is: {error}"
    if span.frames == 0:
        os.unlink(path)
        return f"{path}: left by a service whose journal is gone, without a frame: removed"
    name = destination.free_name(number)
    publish(path, name, replace=False)
    destination.sync()
    return (
        f"{path}: left by a service whose journal is gone: {span.frames:,} frames, "
        f"{length:,} bytes; some may come again; now {name}"
    )


# ---- The worker's side -------------------------------------------------------------------------


class Open(NamedTuple):
    """What a worker needs to know of a part to append to it."""

    number: int
    bytes: int
    frames: int
    first_ns: int | None
    last_ns: int | None


class Keeper:
    """Appends to the open part of an output and begins the next one when it is full: what
    fastcap.committer takes for an output. It neither syncs nor names. Errors are OutputErrors.

    `name_of(number)` is where a part is written; `last` is the highest number that was ever given.
    """

    def __init__(
        self,
        path: str,
        name_of: Callable[[int], str],
        size: int,
        last: int,
        permissions: Permissions,
        block: int,
    ) -> None:
        self.target = Target(path, in_place=False)
        self._name_of = name_of
        self._size = size
        self._last = last
        self._permissions = permissions
        self._block = block
        self._header: FileHeader | None = None
        self._fd = -1
        self._writer: NativeWriter | None = None
        self._span = Span()
        self._changed: list[Part] = []  # parts that this original filled
        self.matched: dict[int, int] = {}  # frames of this original, by the part's number

    @property
    def header(self) -> FileHeader | None:
        """Of the open part; None where there is none."""
        return self._header if self._fd >= 0 else None

    def go_on(self, part: Open, header: FileHeader) -> None:
        """With a part that is there and open."""
        try:
            self._fd = open_regular(self._name_of(part.number))
            os.lseek(self._fd, part.bytes, os.SEEK_SET)
        except OSError as error:
            raise refusal(self.target.name, error) from error
        self._start_writer(part.bytes)
        self._last, self._header = part.number, header
        self._span = Span(part.frames, part.first_ns, part.last_ns)

    def begin(self, header: FileHeader) -> None:
        """The next original, whose frames this header fits: a part that cannot hold them ends."""
        self._changed, self.matched = [], {}
        if self._fd >= 0 and self._header != header:
            self._end_part()
        self._header = header

    def append(self, records: Buffer, span: Span) -> None:
        assert self._header is not None
        left = memoryview(records)
        while left.nbytes:
            if self._fd < 0:
                self._begin_part(self._header)
            assert self._writer is not None
            length = self._writer.length
            taken, part = self._fitting(left, max(0, self._size - length))
            if taken == 0 and length > HEADER_SIZE:
                self._end_part()
                continue
            if taken == 0:  # one record alone is longer than a part may be
                taken, part = self._fitting(left, 0, at_least_one=True)
                assert taken > 0, "what is appended are whole records"
            self._write(left[:taken])
            self._span = self._span.joined(part)
            self.matched[self._last] = self.matched.get(self._last, 0) + part.frames
            left = left[taken:]

    def _fitting(
        self, records: memoryview, room: int, *, at_least_one: bool = False
    ) -> tuple[int, Span]:
        assert self._header is not None
        length, frames, first, last = take(
            records, self._header.layout, room, at_least_one=at_least_one
        )
        return length, Span(frames, first, last)

    def _begin_part(self, header: FileHeader) -> None:
        number = self._last + 1
        path = self._name_of(number)
        try:
            with contextlib.suppress(FileNotFoundError):  # of a worker that was killed
                os.unlink(path)
            self._fd = self._permissions.create(path)
        except OSError as error:
            raise refusal(self.target.name, error) from error
        self._last = number
        self._start_writer(0)
        self._span = Span()
        self._write(header.pack())

    def _start_writer(self, length: int) -> None:
        self._writer = NativeWriter(self._fd, Cancel(), self._block)
        self._writer.rewind(length)

    def _write(self, data: Buffer) -> None:
        assert self._writer is not None
        try:
            self._writer.append(data)
        except OSError as error:
            raise refusal(self.target.name, error) from error

    def _end_part(self) -> None:
        """It is full, or its header does not fit any more."""
        self.flush()
        self._changed.append(self._part(FULL))
        with contextlib.suppress(OSError):  # the service syncs it, and hears of any error
            os.close(self._fd)
        self._fd, self._writer = -1, None

    def _part(self, state: str) -> Part:
        assert self._writer is not None
        assert self._header is not None
        return Part(
            self._last, self._name_of(self._last), "", self._header.pack(), self._writer.length,
            self._span, state,
        )  # fmt: skip

    def flush(self) -> None:
        """Hands everything to the kernel."""
        if self._writer is not None:
            try:
                self._writer.flush()
            except OSError as error:
                raise refusal(self.target.name, error) from error

    def finish(self) -> list[None]:
        """Nothing is finished by one original."""
        return []

    def discard(self) -> None:
        """The service cuts what was not finished."""

    def changed(self) -> list[Part]:
        """Parts as they are behind this original, where it changed them; `name` is not the
        worker's to say."""
        is_touched = self._fd >= 0 and self._last in self.matched
        return [*self._changed, *([self._part(OPEN)] if is_touched else [])]


def fits(header: FileHeader, other: FileHeader) -> bool:
    """Whether frames of a file with header `other` go into a part with `header` without loss."""
    return (
        header.link_word == other.link_word
        and header.nanoseconds >= other.nanoseconds
        and header.frame_limit >= other.frame_limit
        and (header.little_endian == other.little_endian or header.linktype not in HOST_ORDER)
    )
