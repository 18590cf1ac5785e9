"""Runs programs whose file operations fail, or are their last, where a test says so: fault.c."""

from __future__ import annotations

import errno
import mmap
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

_SOURCE = Path(__file__).with_name("fault.c")
_FLAGS = "-shared -fPIC -std=gnu11 -O1 -D_GNU_SOURCE -Wall -Wextra -Werror".split()
_HEADER = struct.Struct("Q248x")  # struct state
_ENTRY = struct.Struct("Iiq16s224s")  # struct entry
_NOT_NOTED, _STRUCK = 0, 2  # enum outcome
_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{8}(?![0-9A-Za-z])|[0-9]+")
_ROOM = 100_000  # points
_LONGEST_SECONDS = 60.0
_END_SECONDS = 60.0  # for what a process leaves behind
BEFORE, AFTER = 1, 2  # when a process is killed


class Kind(NamedTuple):
    """Points of one kind. In the name, or the two names of a renaming, # stands for each row of
    digits, and for each word of eight hexadecimal ones."""

    operation: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} {self.name}"


class Point(NamedTuple):
    """A file operation, as it was about to be made. `size`: of its file, or what it is cut to; -1
    where not known. `struck`: it failed, or was the last one of its process."""

    number: int
    pid: int
    operation: str
    name: str
    size: int
    struck: bool

    @property
    def kind(self) -> Kind:
        return Kind(self.operation, _NUMBER.sub("#", self.name))


@dataclass(frozen=True)
class Fault:
    """What goes wrong: at point `at`, counted from 1, of all, or of the kind `only`, and at so
    many as `count` from there on. With `kill` nothing fails, but the process is killed."""

    at: int = 0
    errno: int = errno.ENOSPC
    count: int = 1
    short: bool = False
    kill: int = 0
    only: Kind | None = None

    def __str__(self) -> str:
        what = errno.errorcode[self.errno] + (" after half a write" if self.short else "")
        if self.kill:
            what = f"killed {'before' if self.kill == BEFORE else 'after'} it"
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{what}: {self.only or 'point'} no. {self.at}{more}"


NONE = Fault()


@dataclass(frozen=True)
class Ended:
    """How a command ended, and which points there were."""

    code: int
    out: str
    err: str
    points: list[Point]

    @property
    def struck(self) -> list[Point]:
        return [point for point in self.points if point.struck]

    @property
    def kinds(self) -> Counter[Kind]:
        return Counter(point.kind for point in self.points)


class State:
    """The file that all processes of a command share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb") as file:
            file.truncate(_HEADER.size + _ROOM * _ENTRY.size)

    def points(self) -> list[Point]:
        """So far; one that another process is noting at this moment may be missing."""
        with self.path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                (count,) = _HEADER.unpack_from(data)
                assert count <= _ROOM, f"{count} points, and room for {_ROOM}"
                return [point for i in range(count) if (point := self._entry(data, i))]

    @staticmethod
    def _entry(data: mmap.mmap, index: int) -> Point | None:
        start = _HEADER.size + index * _ENTRY.size
        outcome, pid, size, operation, name = _ENTRY.unpack_from(data, start)
        if outcome == _NOT_NOTED:
            return None
        return Point(index + 1, pid, _text(operation), _text(name), size, outcome == _STRUCK)


def _text(word: bytes) -> str:
    return os.fsdecode(word.partition(b"\0")[0])


class Faults:
    """The library, compiled; `folder` is where states and outputs of commands go."""

    def __init__(self, folder: Path) -> None:
        if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
            pytest.skip("wants Linux with the GNU C library")
        if shutil.which("cc") is None:
            pytest.skip("no C compiler (cc) here")
        self.folder = folder
        self.library = folder / "fault.so"
        command = ["cc", *_FLAGS, str(_SOURCE), "-ldl", "-o", str(self.library)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr

    def variables(self, state: State, under: Iterable[Path], fault: Fault = NONE) -> dict[str, str]:
        """What the environment of a command must have."""
        places = [os.path.realpath(path) for path in under]
        assert not any(":" in place for place in places), places
        return {
            "LD_PRELOAD": str(self.library),
            "FAULT_STATE": str(state.path),
            "FAULT_UNDER": ":".join(places),
            "FAULT_AT": str(fault.at),
            "FAULT_ERRNO": str(fault.errno),
            "FAULT_FOR": str(fault.count),
            "FAULT_SHORT": str(int(fault.short)),
            "FAULT_KILL": str(fault.kill),
            "FAULT_ONLY": ":".join(fault.only) if fault.only else "",
        }

    def state(self) -> State:
        return State(self.folder / f"state-{time.monotonic_ns()}")

    def run(
        self,
        command: Sequence[str | Path],
        under: Iterable[Path],
        fault: Fault = NONE,
        *,
        seconds: float = _LONGEST_SECONDS,
    ) -> Ended:
        """Runs a command to its end, and that of all its processes; fails the test where that
        takes longer than `seconds`."""
        state = self.state()
        out, err = (state.path.with_suffix(suffix) for suffix in (".out", ".err"))
        environment = {**os.environ, **self.variables(state, under, fault)}
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out_file,
                stderr=err_file, start_new_session=True,
            )  # fmt: skip
        problem = wait_for_group(process, seconds)
        out_text, err_text = (path.read_text(errors="replace") for path in (out, err))
        ended = Ended(process.returncode, out_text, err_text, state.points())
        for path in (out, err, state.path):
            path.unlink()
        if problem:
            last = "\n".join(map(str, ended.points[-5:]))
            pytest.fail(f"{fault}: {problem}\n{ended.err}\nthe last points:\n{last}")
        return ended


def wait_for_group(process: subprocess.Popen[bytes], seconds: float = _LONGEST_SECONDS) -> str:
    """Waits until a process that leads a session has ended, and then all its processes, which have
    a moment for it. What is wrong, or ''; nothing of the session is left in any case."""
    try:
        process.wait(seconds)
        left = _left_of(process.pid)
        until = time.monotonic() + _END_SECONDS
        while left and time.monotonic() < until:
            time.sleep(0.01)
            left = _left_of(process.pid)
        problem = f"it ended, and left processes: {left}" if left else ""
    except subprocess.TimeoutExpired:
        problem = f"it has not ended after {seconds} seconds: {_left_of(process.pid)}"
    for pid in _left_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return problem


def session_of(leader: int) -> dict[int, list[str]]:
    """The processes of a session that are running, by their numbers, with what /proc/PID/stat says
    behind the name: state, parent, group, session …"""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path("/proc", name, "stat").read_text(errors="replace")
            except OSError:  # it has just ended
                continue
            fields = text.rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found[int(name)] = fields
    return found


def _left_of(leader: int) -> dict[int, str]:
    """Of each process that runs, its command line."""
    lines = {}
    for pid in session_of(leader):
        try:
            words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        lines[pid] = os.fsdecode(b" ".join(words))
    return lines
