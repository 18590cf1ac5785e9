"""What a power cut would have left, as the file operations that were made tell it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from fastcap.pipeline.journal import FOLDER
from tests.faults.harness import AFTER, BEFORE, Fault, Point
from tests.pcaps import record
from tests.pipeline.spool import Output, Spool, serial

_SYNCS = ("fsync", "fdatasync")
_WRITES = ("write", "pwrite", "writev", "pwritev", "ftruncate", "truncate")
_JOURNAL = ("journal.db", "journal.db-wal", "journal.db-journal")


class _File:
    """Of a part, the bytes that are surely on the disk."""

    def __init__(self) -> None:
        self.sure = 0
        self.is_spoilt = False  # by a sync that failed: the kernel forgets what it could not write
        self.has_name = False  # on the disk


def _name_of(journal: str) -> str:
    return f"the name of {journal}"


class Disk:
    """The finished outputs of a spool, and what was on the disk each time that an original went."""

    def __init__(self, spool: Spool, kept: Iterable[Output]) -> None:
        self._folders = {output.folder.name for output in kept}
        self._last = {original.name: serial(original.frames[-1]) for original in spool.originals}
        # of each part: the serial numbers of its frames, and where they end
        self._ends: dict[str, list[tuple[int, int]]] = {}
        for output in kept:
            for part in output.parts():
                frames = Output.frames_of(part)
                lengths = (len(record(frame)) for frame in frames)
                ends = list(itertools.accumulate(lengths, initial=24))[1:]
                self._ends[part.path.name] = list(zip(map(serial, frames), ends, strict=True))
        self._files: dict[str, _File] = {}
        self._spool = spool.folder.name
        self._journals: set[str] = set()  # files of the journal that are there
        self._unsynced: set[str] = set()  # of these, and names of theirs and of their directory
        self.removals = 0

    def follow(self, points: Iterable[Point], fault: Fault) -> None:
        """Goes through the operations of a run, behind those of the runs before."""
        for point in points:
            if point.struck and fault.kill == BEFORE:
                continue
            made = not point.struck or fault.kill == AFTER
            old, _, _ = point.name.partition(">")
            if old in self._last and point.operation in ("unlink", "rename"):
                self._check_removal(old)
            elif point.name in _JOURNAL:
                self._journal(point, made)
            elif (point.operation, point.name) == ("mkdir", FOLDER) and made:
                self._unsynced.add(FOLDER)
            elif point.name == self._spool and point.operation in _SYNCS and made:
                self._unsynced.discard(FOLDER)
            elif point.name == FOLDER and point.operation in _SYNCS and made:
                self._unsynced -= set(map(_name_of, _JOURNAL))
            elif point.name in self._folders and point.operation in _SYNCS and made:
                for file in self._files.values():
                    file.has_name = True
            elif part := self._part_of(old):
                self._part(point, self._files.setdefault(part, _File()), made)

    def _part_of(self, name: str) -> str:
        hidden = re.fullmatch(r"\.(.*)\.[0-9a-f]{8}\.keeping", name)
        part = hidden[1] if hidden else name
        return part if part in self._ends else ""

    def _part(self, point: Point, file: _File, made: bool) -> None:
        if point.operation in _SYNCS:
            if not made:  # what is written behind it is not concerned
                file.is_spoilt = file.is_spoilt or point.size > file.sure
            elif not file.is_spoilt:
                file.sure = max(file.sure, point.size)
        elif point.operation == "ftruncate" and made:
            file.is_spoilt = file.is_spoilt and point.size > file.sure
            file.sure = min(file.sure, point.size)
        elif point.operation == "unlink" and made:
            file.sure, file.is_spoilt, file.has_name = 0, False, False

    def _journal(self, point: Point, made: bool) -> None:
        if point.operation in _WRITES:
            self._unsynced.add(point.name)
        elif made and point.operation in _SYNCS:
            self._unsynced.discard(point.name)
        elif made and point.operation == "unlink":
            self._journals.discard(point.name)
            self._unsynced -= {point.name, _name_of(point.name)}
        elif made and point.operation == "create" and point.name not in self._journals:
            self._journals.add(point.name)
            self._unsynced.add(_name_of(point.name))

    def _check_removal(self, original: str) -> None:
        self.removals += 1
        assert not self._unsynced, f"{original} goes, and {self._unsynced} is not on the disk"
        for part, ends in self._ends.items():
            needed = max((end for number, end in ends if number <= self._last[original]), default=0)
            file = self._files.get(part, _File())
            if needed:
                assert file.sure >= needed, (
                    f"{original} goes, and of {part} {file.sure} bytes are on the disk for sure, "
                    f"of the {needed} that hold its frames and those before"
                )
                assert file.has_name, f"{original} goes, and the directory of {part} is not synced"
