"""The files of one stem: their names, who may write them, what an earlier capture left behind.

`-w /data/net1.pcap` makes /data/net1_00000001_20261121T022817Z.pcap and so on: the sequence number
sorts them, the time is that of the earliest frame, in UTC. A file is written as
/data/.net1_00000001.pcap.capturing until it is complete. Sequence 0 stands for the bare name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fastcap import sidecar
from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.records import BlockWalk
from fastcap._native.writer import publish
from fastcap.errors import FastcapError, InputError, OutputError
from fastcap.folders import sync_folder
from fastcap.formats import pcapng
from fastcap.formats.pcap import HEADER_SIZE, parse_header
from fastcap.inputs import Identity
from fastcap.locks import BusyError, Lock, is_at, open_regular
from fastcap.outputs import refusal
from fastcap.permissions import Permissions
from fastcap.privileges import user_name
from fastcap.segments import Segment, Span
from fastcap.tasks import Job, Task, run_task

_DIGITS = 8
UNFINISHED = ".capturing"
_PERMISSIONS = Permissions()
_PIECE = 4 << 20  # bytes that are read at once; more than a block has
BARE = 0  # the sequence number of the file that has the bare name


class Finished(NamedTuple):
    """A finished file: what sorts it, and its path."""

    sequence: int
    path: str


class Series:
    """The files of one stem, of which this process is the only writer until `close`. They get
    these permissions, and numbers above what `after` says. `on_deleted` is told of each finished
    one that is deleted: its path, the numbers of its JSON, and why.

    OutputError where another capture writes this stem, or its directory cannot be used.
    """

    def __init__(
        self,
        path: str,
        permissions: Permissions = _PERMISSIONS,
        on_deleted: Callable[[str, dict[str, Any], str], None] = lambda *_: None,
        *,
        after: Callable[[], int] = lambda: 0,
    ) -> None:
        self.path = path
        self.after = after
        self.permissions = permissions
        self.on_deleted = on_deleted
        self.folder, base = os.path.split(path)
        self.stem, self.suffix = os.path.splitext(base)
        self._finished = _numbered(base)
        self._unfinished = re.compile(
            r"\." + re.escape(self.stem) + r"_([0-9]{8,})" + re.escape(self.suffix + UNFINISHED),
            re.DOTALL,
        )
        self._lock_path = os.path.join(self.folder, f".{self.stem}{self.suffix}.lock")
        try:
            self._check_length()
            self._lock = Lock(self._lock_path)
        except BusyError as error:
            raise self._busy(error) from None
        except OSError as error:
            raise self._refusal(path, error) from error

    def _check_length(self) -> None:
        """Before a frame is captured: at the end there would be no name for it."""
        most = os.pathconf(self.folder or ".", "PC_NAME_MAX")
        name = os.path.basename(self.name(10**_DIGITS - 1, 0))
        longest = len(os.fsencode(name)) + sidecar.LONGER
        if longest > most:
            raise OutputError(
                f"{self.path}: with number and time the names of its files have {longest} "
                f"bytes, and {most} are allowed; choose a shorter one"
            )

    def probe(self) -> None:
        """Creates, renames and deletes a file, as the capture will have to. OutputError with what
        the directory lacks for that."""
        path = os.path.join(self.folder, f".{self.stem}{self.suffix}.probe")
        try:
            for name in (path, path + "d"):  # left by one that was killed
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
            os.close(self.permissions.create(path))
            os.rename(path, path + "d")
            os.unlink(path + "d")
        except OSError as error:
            raise self._refusal(path, error) from error

    def _refusal(self, path: str, error: OSError) -> OutputError:
        if error.errno not in (errno.EACCES, errno.EPERM):
            return refusal(path, error)
        folder = self.folder or "."
        if error.filename == self._lock_path and os.path.lexists(self._lock_path):
            return OutputError(f"{self._lock_path}: left by another user's capture: remove it")
        if "group" in (error.strerror or ""):
            return OutputError(f"{folder}: {error.strerror}")
        me, owner = user_name(os.geteuid()), user_name(os.stat(folder).st_uid)
        place = shlex.quote(folder)
        alone = ", which keeps CAP_NET_RAW alone," if me == "root" else ""
        other = f", or capture as its owner: --user {owner}" if me == "root" != owner else ""
        return OutputError(
            f"{folder}: {me}{alone} may not create, rename and delete files there: "
            f"chown {me} {place}{other}"
        )

    def close(self) -> None:
        """Another capture may write this stem from now on."""
        self._lock.close()

    def renew(self) -> None:
        """Takes the lock again where its directory was taken away and is there again. OSError;
        OutputError where another capture was faster."""
        try:
            self._lock.renew()
        except BusyError as error:
            raise self._busy(error) from None

    def _busy(self, error: BusyError) -> OutputError:
        return OutputError(
            f"{self.path}: another capture writes there, process {error.owner}; "
            "stop it, or choose another name"
        )

    # ---- Names --------------------------------------------------------------------------------

    def temporary(self, sequence: int) -> str:
        """Where a file is written before it is complete."""
        hidden = f".{self.stem}_{sequence:0{_DIGITS}}{self.suffix}{UNFINISHED}"
        return os.path.join(self.folder, hidden)

    def name(self, sequence: int, first_ns: int | None) -> str:
        """The name of a finished file whose earliest frame has this time."""
        if sequence == BARE:
            return self.path
        seconds = time.time() if first_ns is None else first_ns // 1_000_000_000
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
        return os.path.join(self.folder, f"{self.stem}_{sequence:0{_DIGITS}}_{when}{self.suffix}")

    def finished(self) -> list[Finished]:
        """The numbered files that are there, of this capture and of earlier ones, oldest first."""
        return self._matching(self._finished)

    def unfinished(self) -> list[Finished]:
        """What captures that were killed left behind. Ours too, once it writes."""
        return self._matching(self._unfinished)

    def _matching(self, pattern: re.Pattern[str]) -> list[Finished]:
        found = ((pattern.fullmatch(name), name) for name in os.listdir(self.folder or "."))
        return sorted(
            Finished(int(match[1]), os.path.join(self.folder, name))
            for match, name in found
            if match
        )

    def next_sequence(self) -> int:
        """One more than the highest that is there, finished or not."""
        there = [*self.finished(), *self.unfinished()]
        highest = max((sequence for sequence, _ in there), default=0)
        # asked later: who deletes a file says its number first
        return max(highest, self.after()) + 1

    # ---- Files --------------------------------------------------------------------------------

    def holds(self, sequence: int, fd: int) -> bool:
        """Whether the file that is written, and open as `fd`, is still where it should be."""
        return is_at(fd, self.temporary(sequence))

    def segment(self, sequence: int, length: int, span: Span) -> Segment:
        """What a complete file will be. FileExistsError where its name is taken: what lies beside
        that is not ours either."""
        name = self.name(sequence, span.first_ns)
        if os.path.lexists(name) and not _is_same(self.temporary(sequence), name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        return Segment(name, length, span)

    def publish(self, sequence: int, segment: Segment) -> None:
        """Gives a complete and synced file its name; `sync_names` makes that last. OSError;
        FileExistsError where it is taken."""
        publish(self.temporary(sequence), segment.path, replace=False)

    def sync_names(self) -> None:
        """Afterwards a power cut does not take the names away. OSError."""
        sync_folder(self.folder)

    def delete_oldest(self, keep: int) -> list[tuple[str, str]]:
        """Deletes all numbered files but the newest `keep`, and what lies beside them; the paths
        of those that cannot be deleted, and why. OSError where the directory cannot be read."""
        refused = []
        for _, path in self.finished()[:-keep]:
            try:
                self._delete(path, "files")
            except OSError as error:
                refused.append((path, error.strerror or ""))
        return refused

    def delete_oldest_one(self, why: str) -> bool:
        """Of those that can be deleted; whether there was one. OSError where there are files, and
        none of them can be."""
        refusal: OSError | None = None
        for _, path in self.finished():
            try:
                self._delete(path, why)
            except OSError as error:
                refusal = error
            else:
                return True
        if refusal is not None:
            raise refusal
        return False

    def _delete(self, path: str, why: str) -> None:
        told = sidecar.numbers(path)
        sidecar.remove(path)  # first: it is never alone
        with contextlib.suppress(FileNotFoundError):  # whoever took it may have moved it
            os.unlink(path)
            self.on_deleted(path, told, why)

    def recover(self, tell: Callable[[str], None]) -> None:
        """Ends what an earlier capture left unfinished at its last whole record, and gives it a
        name; tells a line about each at once. Call it before the first own file. OutputError."""
        with contextlib.suppress(OSError):
            self._remove_unwritten()
        for sequence, path in self.unfinished():
            try:
                note = self._recover(sequence, path)
            except OSError as error:
                raise refusal(path, error) from error
            tell(note)

    def _remove_unwritten(self) -> None:
        """JSON that was not complete."""
        for name in os.listdir(self.folder or "."):
            capture = name[1:].removesuffix(sidecar.SUFFIX)
            if name == "." + capture + sidecar.SUFFIX and self._finished.fullmatch(capture):
                os.unlink(os.path.join(self.folder, name))

    def _recover(self, sequence: int, path: str) -> str:
        was = f"{path}: left by a capture that was killed"
        if sequence == BARE and _is_same(path, self.path):
            os.unlink(path)
            return f"{was}, a second name of {self.path}: removed"
        temporary = path
        if sequence == BARE:  # the bare name is for the capture that begins now
            sequence = self.next_sequence()
            temporary = self.temporary(sequence)
            os.rename(path, temporary)
        length = os.path.getsize(temporary)
        try:
            kept, span = end_at_last_record(temporary)
        except (OSError, FastcapError) as error:  # nobody knows what is in it
            return f"{was}, and left as it is, in {temporary}: {error}"
        if span.frames == 0:
            os.unlink(temporary)
            return f"{was}, without a frame: removed"
        name = self.name(sequence, span.first_ns)
        if _is_same(temporary, name):
            os.unlink(temporary)
            return f"{was}, a second name of {name}: removed"
        segment = self.segment(sequence, kept, span)
        with contextlib.suppress(OSError):
            record = {**segment.as_json(), "recovered": True}
            sidecar.write(segment.path, record, self.permissions)
        self.publish(sequence, segment)
        self.sync_names()
        return (
            f"{was}: {span.frames:,} frames are whole, "
            f"{length - kept:,} bytes behind them cut off; now {segment.path}"
        )


def _numbered(base: str) -> re.Pattern[str]:
    """The names of the finished files of a stem."""
    stem, suffix = os.path.splitext(base)
    return re.compile(
        re.escape(stem) + r"_([0-9]{8,})_[0-9]{8}T[0-9]{6}Z" + re.escape(suffix), re.DOTALL
    )


def is_numbered(name: str, base: str) -> bool:
    """Whether a file of this name belongs to the series of -w `base`."""
    return _numbered(base).fullmatch(name) is not None


def is_gone(path: str) -> bool:
    """Whether nothing has this path; where nobody may look something is believed to."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _is_same(path: str, name: str) -> bool:
    """Whether a capture was killed between the two steps of giving a file its name, where the file
    system cannot do it in one (csrc/writer.c)."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.lstat(path), os.lstat(name))
    return False


def end_at_last_record(path: str) -> tuple[int, Span]:
    """Cuts a file that was not finished behind its last whole record and syncs it: its length and
    what it spans. One that ends within its header stays as it is. OSError; InputError where it
    cannot be read or its header is no capture's; OutputError for what is no regular file."""
    fd = open_regular(path)
    try:
        return cut(fd, path)
    finally:
        os.close(fd)


def cut(fd: int, path: str) -> tuple[int, Span]:
    """The same for a file that is open, to read and write, as `fd`."""
    status = os.fstat(fd)
    if status.st_size < HEADER_SIZE:
        return status.st_size, Span()
    start = os.pread(fd, HEADER_SIZE, 0)
    if start.startswith(pcapng.MAGIC):
        return _cut_blocks(fd, status.st_size, path)
    header = parse_header(start, path)
    job = Job((None,), header.layout, header.layout, keep=False)
    identity = Identity(status.st_dev, status.st_ino)
    size = status.st_size
    task = Task(path, identity, size, HEADER_SIZE, size, guess=False, job=job)
    result = run_task(task, Cancel(), Memory(1, 0))
    os.ftruncate(fd, result.end)
    os.fsync(fd)
    return result.end, result.kept[0].matched


def _cut_blocks(fd: int, size: int, path: str) -> tuple[int, Span]:
    walk = BlockWalk()
    end = whole = 0
    while end < size:
        whole, damaged = walk.go_on(os.pread(fd, min(_PIECE, size - end), end))
        end += whole
        if damaged and end == 0:
            raise InputError(f"{path}: its first block is none that fastcap writes")
        if damaged or whole == 0:
            break
    if end == 0:
        return size, Span()
    os.ftruncate(fd, end)
    os.fsync(fd)
    return end, Span(walk.frames, walk.first_ns, walk.last_ns)
