"""The originals of a spool: which files there are, which are finished, and in what order.

A file is an original when it lies in the spool itself, is not hidden, and is named or begins like a
capture. The order is that of the names, numbers compared as numbers: net1_00000009 comes before
net1_00000010, and tcpdump's x.pcap2 before x.pcap10.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from inotify_simple import INotify, flags

from fastcap import sidecar
from fastcap.errors import InputError, UsageError
from fastcap.formats.pcap import HEADER_SIZE, parse_header
from fastcap.inputs import is_named_capture
from fastcap.outputs import refusal

NAME, CLOSED, QUIET = "name", "closed", "quiet"
_LOOK_EVERY = 10.0  # seconds: file systems that tell nothing, and whatever was missed
_AGAIN = 1.0  # seconds, where the directory could not be read
_TICK = 0.2  # seconds between two looks at files that may be quiet by now
_LARGEST_SIDECAR = 1 << 20
_MOST = (1 << 63) - 1
_NUMBERED = re.compile(r"(.*)_([0-9]{8,})_[0-9]{8}T[0-9]{6}Z(\.[^.]*)?", re.DOTALL)
_TCPDUMP = re.compile(r"(.*?\.(?:pcap|cap|dmp|dump))[0-9]+", re.DOTALL | re.IGNORECASE)
_EVENTS = (
    flags.CLOSE_WRITE
    | flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.CREATE
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
)
_ENDED = flags.CLOSE_WRITE | flags.MOVED_TO
_LOST = flags.IGNORED | flags.DELETE_SELF | flags.MOVE_SELF


class Seen(NamedTuple):
    """A file as it was seen: what tells it from another of the same name, and from itself when
    somebody has written more."""

    name: str
    device: int
    inode: int
    bytes: int
    changed_ns: int


def seen_of(name: str, status: os.stat_result) -> Seen:
    """Numbers of files may have 64 bits, and SQLite's have 63 and a sign."""
    device, inode = status.st_dev & _MOST, status.st_ino & _MOST
    return Seen(name, device, inode, status.st_size, status.st_mtime_ns)


def is_same(path: str, seen: Seen) -> bool:
    """Whether it is the file that was seen, as it was. OSError."""
    return seen_of(seen.name, os.lstat(path)) == seen


class Facts(NamedTuple):
    """What the JSON beside an original says, or its first record; None is not known. `dropped` by
    the ring, `lost` by the writer, `missed` by the interface: frames, of its time."""

    frames: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    dropped: int = 0
    lost: int = 0
    missed: int = 0


class Finished(NamedTuple):
    """The rule by which a file is finished: its name, that nobody has it open to write, or that it
    did not change for so many seconds."""

    rule: str
    seconds: float = 0.0

    @classmethod
    def of(cls, text: str) -> Finished:
        """name, closed, quiet:SECONDS. UsageError."""
        rule, colon, number = text.partition(":")
        if rule in (NAME, CLOSED) and not colon:
            return cls(rule)
        if rule == QUIET and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
            return cls(QUIET, float(number))
        raise UsageError(f"finished is name, closed or quiet:SECONDS, such as quiet:10, not {text}")


def order_of(name: str) -> tuple[str | int, ...]:
    """What sorts originals.

    >>> sorted(["x.pcap10", "x.pcap", "x.pcap9"], key=order_of)
    ['x.pcap', 'x.pcap9', 'x.pcap10']
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))


def sequence_of(name: str) -> tuple[str, int] | None:
    """Series and number of a file that fastcap captured."""
    match = _NUMBERED.fullmatch(name)
    return (match[1] + (match[3] or ""), int(match[2])) if match else None


def _is_ours(name: str) -> bool:
    return name.startswith(".") or name.endswith(sidecar.SUFFIX)


def is_wanted(name: str) -> bool:
    """Whether a file of this name is an original whatever is in it."""
    if _is_ours(name):
        return False
    return is_named_capture(name) or _TCPDUMP.fullmatch(name) is not None


class Spool:
    """Sees files come and go in a directory; for one thread. OutputError where it cannot be read.

    `numbered`: files that fastcap captured and numbered, and no others. `look` gives files that are
    finished and were not given before. `forget` has one looked at again.
    """

    def __init__(
        self,
        folder: str,
        finished: Finished,
        on_note: Callable[[str], None] = lambda _: None,
        *,
        numbered: bool = False,
    ) -> None:
        self.folder = folder
        self.numbered = numbered
        self.finished = finished
        self.on_note = on_note
        self._given: dict[str, Seen] = {}
        self._unfinished: dict[str, tuple[Seen, float]] = {}  # since when it is like that
        self._looked = float("-inf")  # at the whole directory; monotonic
        self._there: set[str] | None = None
        self._told: set[str] = set()
        self._refusal: OSError | None = None  # of the last look at the whole directory
        self._watch = INotify(nonblocking=True)
        self._watched = -1
        try:
            self._add_watch()
            os.listdir(folder)
        except OSError as error:
            self._watch.close()
            raise refusal(folder, error) from error

    def _add_watch(self) -> None:
        self._watched = self._watch.add_watch(self.folder, _EVENTS)

    def fileno(self) -> int:
        """Readable when something happened."""
        return int(self._watch.fileno())

    def close(self) -> None:
        self._watch.close()

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    @property
    def seconds_to_next_look(self) -> float:
        """Until `look` should be called though nothing was heard."""
        if self._unfinished and self.finished.rule != NAME:
            return _TICK
        return max(0.0, self._looked + _LOOK_EVERY - time.monotonic())

    @property
    def unfinished(self) -> int:
        """How many files are there and not finished."""
        return len(self._unfinished)

    @property
    def cannot_tell(self) -> bool:
        """Of one of them, whether it is finished."""
        return bool(self._told & self._unfinished.keys())

    # ---- Looking ------------------------------------------------------------------------------

    def look(self) -> tuple[list[Seen], list[str]]:
        """Files that are finished now, in their order, and names of those that came and went before
        anybody looked. OSError where the directory cannot be read, until it can be."""
        heard = self._heard()
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            heard = None
        elif self._refusal is not None:
            raise self._refusal
        names = self._all_names() if heard is None else set(heard)
        found, gone = [], []
        for name in names | set(self._unfinished):
            seen = self._see(name)
            if seen is not None:
                if self._given.get(name) != seen and self._is_finished(seen):
                    self._unfinished.pop(name, None)
                    self._given[name] = seen
                    found.append(seen)
            elif self._is_missed(name, was_finished=heard is not None and heard.get(name, False)):
                gone.append(name)
        found.sort(key=lambda seen: order_of(seen.name))
        return found, gone

    def _is_missed(self, name: str, *, was_finished: bool) -> bool:
        """Whether it was an original that nobody has taken, and is not there under any name."""
        before = self._unfinished.pop(name, None)
        is_ours = sequence_of(name) is not None if self.numbered else is_wanted(name)
        if not is_ours or name in self._given or os.path.lexists(self.path(name)):
            return False
        if before is not None:
            return not self._has_inode(before[0])
        return was_finished

    def _has_inode(self, seen: Seen) -> bool:
        with os.scandir(self.folder) as entries:
            return any(entry.inode() & _MOST == seen.inode for entry in entries)

    def _all_names(self) -> set[str]:
        if self._watched < 0:
            with contextlib.suppress(OSError):  # then it is looked at every few seconds
                self._add_watch()
        try:
            there = set(os.listdir(self.folder))
        except OSError as error:
            self._refusal = error
            self._looked = time.monotonic() - _LOOK_EVERY + _AGAIN
            raise
        self._refusal = None
        self._looked = time.monotonic()
        self._there = there
        for name in [name for name in self._given if name not in there]:
            del self._given[name]
        return there

    def same_file(self, seen: Seen) -> list[Seen]:
        """The names that a file has now which was seen under another. OSError."""
        names = (self._see(name) for name in sorted(os.listdir(self.folder)))
        return [one for one in names if one is not None and one[1:] == seen[1:]]

    def forget(self, name: str) -> None:
        """It is given again, at the next look at the whole directory, which is soon."""
        self._given.pop(name, None)
        self._looked = min(self._looked, time.monotonic() - _LOOK_EVERY + _TICK)

    def vanished(self) -> set[str] | None:
        """All names that the last look at the whole directory found, once; None where there was
        none since."""
        there, self._there = self._there, None
        return there

    def _heard(self) -> dict[str, bool] | None:
        """Names that something happened to, and whether somebody finished with them there; None:
        whatever it was, look at all."""
        names: dict[str, bool] = {}
        left: dict[int, str] = {}  # what was renamed, by the event's cookie
        for event in self._watch.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                return None
            if event.wd == self._watched and event.mask & _LOST:
                self._drop_watch()  # another directory may have its name by now
                return None
            if not event.name or event.mask & flags.ISDIR:
                continue
            if event.mask & flags.MOVED_FROM:
                left[event.cookie] = event.name
                continue
            if event.mask & flags.MOVED_TO and event.cookie in left:
                names[left.pop(event.cookie)] = False  # it has another name now
            names[event.name] = names.get(event.name, False) or bool(event.mask & _ENDED)
        return names

    def _drop_watch(self) -> None:
        with contextlib.suppress(OSError):
            self._watch.rm_watch(self._watched)
        self._watched = -1

    def _see(self, name: str) -> Seen | None:
        """None for what is no original."""
        if (
            _is_ours(name)
            or not self._is_text(name)
            or (self.numbered and sequence_of(name) is None)
        ):
            return None
        try:
            status = os.lstat(self.path(name))
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        if not is_wanted(name) and not _has_magic(self.path(name)):
            return None
        return seen_of(name, status)

    def _is_text(self, name: str) -> bool:
        """The journal, and who reads it, can say it."""
        try:
            name.encode()
        except UnicodeEncodeError:
            if name not in self._told:
                self._told.add(name)
                self.on_note(f"{self.path(name)!r}: its name is no UTF-8, so it is left")
            return False
        return True

    # ---- Finished -----------------------------------------------------------------------------

    def _is_finished(self, seen: Seen) -> bool:
        if self.finished.rule == NAME:
            return True
        now = time.monotonic()
        before, since = self._unfinished.get(seen.name, (seen, now))
        since = since if before == seen else now
        self._unfinished[seen.name] = (seen, since)
        if self.finished.rule == QUIET:
            return now - since >= self.finished.seconds
        return self._is_closed(seen)

    def _is_closed(self, seen: Seen) -> bool:
        """A lease to read is given where nobody has the file open to write: fcntl(2)."""
        try:
            fd = os.open(self.path(seen.name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return self._cannot_tell(seen.name, error)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return True
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            return self._cannot_tell(seen.name, error)
        finally:
            os.close(fd)

    def _cannot_tell(self, name: str, error: OSError) -> bool:
        if error.errno != errno.ENOENT and name not in self._told:
            self._told.add(name)
            self.on_note(
                f"{self.path(name)}: {error.strerror}: whether it is still written cannot be told, "
                "so it is left; follow it as its owner or root, or with --finished quiet:30"
            )
        return False


# ---- One file ---------------------------------------------------------------------------------


def _has_magic(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            parse_header(file.read(HEADER_SIZE), path)
    except (InputError, OSError):
        return False
    return True


_MEANWHILE = ("frames_dropped_ring", "frames_lost_writer", "frames_missed_interface")


def facts_of(path: str, seen: Seen) -> Facts:
    """From the JSON beside it, where that is of this file; else from its first record. Whatever
    lies there: it may be anybody's."""
    record = _sidecar(path)
    try:
        if record["bytes"] == seen.bytes:
            meanwhile = record.get("meanwhile", {})
            return Facts(
                _number(record["frames"]),
                None if record["first_ns"] is None else _number(record["first_ns"]),
                None if record["last_ns"] is None else _number(record["last_ns"]),
                *(_number(meanwhile.get(name, 0)) for name in _MEANWHILE),
            )
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    return Facts(first_ns=_first_time(path))


def _number(value: Any) -> int:
    """ValueError for what is none that SQLite can hold."""
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(value)
    return value


def has_sidecar(path: str) -> bool:
    """Whether the JSON beside a file is one that a capture wrote. OSError where that cannot be told
    now."""
    try:
        record = _read_sidecar(path)
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
    return isinstance(record, dict) and {"path", "frames", "bytes"} <= record.keys()


def _sidecar(path: str) -> Any:
    """None for what cannot be read."""
    try:
        return _read_sidecar(path)
    except OSError:
        return None


def _read_sidecar(path: str) -> Any:
    """None for what is no JSON; never waits for a FIFO that somebody put there. OSError."""
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(sidecar.path_of(path), how), "rb") as file:
        try:
            return json.loads(file.read(_LARGEST_SIDECAR) or b"")
        except (ValueError, RecursionError):
            return None


def _first_time(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            header = parse_header(file.read(HEADER_SIZE), path)
            record = file.read(8)
    except (InputError, OSError):
        return None
    if len(record) < 8:
        return None
    seconds, fraction = struct.unpack("<II" if header.little_endian else ">II", record)
    return int(seconds) * 1_000_000_000 + int(fraction) * (1 if header.nanoseconds else 1000)
