"""A unit of work: one range of one file through one program. Plain data in, plain data out, so
that threads, processes and clusters run it alike."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.postfilter import (
    FIRST_TIME,
    LAST_TIME,
    NO_LIMIT,
    filter_bytes,
    filter_range,
)
from fastcap._native.program import NativeProgram
from fastcap.engine import MachineCode
from fastcap.errors import InputError
from fastcap.formats.pcap import Layout
from fastcap.inputs import Identity, why
from fastcap.segments import Span

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Job(NamedTuple):
    """What is the same for every range of an input. `programs`: one for each output; None takes
    every frame. With `rest` the last output takes what no other takes. `keep` says whether matching
    records come back or are only counted. `limit`: frames that any output takes, after which it
    stops. With `summary` what no output takes is summed up. Frames from `since_ns` on and before
    `until_ns` are judged, of one flow in `sample` (0: of all); `link`: how frames begin (enum
    fc_flow_link), for `sample` and `summary`. `most_kept`: bytes of matching records and of rows of
    the summary behind which a range may stop (Result.filled). `skipping`: the first program without
    VLAN tags, for frames that have them and are rejected. `code`: machine code for all programs at
    once."""

    programs: tuple[NativeProgram | None, ...]
    layout: Layout
    out_layout: Layout
    keep: bool
    limit: int = NO_LIMIT
    rest: bool = False
    summary: bool = False
    skipping: NativeProgram | None = None
    since_ns: int = FIRST_TIME
    until_ns: int = LAST_TIME
    sample: int = 0
    link: int = 0
    code: MachineCode | None = None
    most_kept: int = NO_LIMIT


class Task(NamedTuple):
    """The records that start in [start, stop) of a file. With `guess`, `start` is any offset and
    the first record is looked for behind it: whoever joins the results compares `Result.start`
    with where the range before ended, and runs the task again from there if they differ.

    `size` and `identity` are those of the file when its header was read.
    """

    path: str
    identity: Identity
    size: int
    start: int
    stop: int
    guess: bool
    job: Job


class Kept(NamedTuple):
    """What one output gets of a range: its matching records, in the output's layout."""

    matched: Span
    records: Buffer


class Result(NamedTuple):
    """What came of a range: offsets of the first record and behind the last one read, and what each
    output gets. `taken`: frames that any of them takes. `tagged_missed` frames were rejected that
    `skipping` takes. `damage` says why reading ended before `stop`; `cut` that it is because the
    bytes end inside a record. `chains_redone`: wrong guesses inside the range. `summary`: frames
    that no output takes, as fastcap.summary.add reads it. `filled`: it stopped before the range's
    end, for it kept as much as it may."""

    frames_read: int
    taken: int
    start: int
    end: int
    damage: str | None
    cut: bool
    tagged_missed: int
    chains_redone: int
    summary: bytes
    kept: tuple[Kept, ...]
    filled: bool = False

    def skipped(self) -> Result:
        """As if no output had taken anything."""
        return self._replace(taken=0, kept=(), damage=None, cut=False)

    def nothing_more(self) -> Result:
        """Of the same range, behind its end."""
        return Result(0, 0, self.end, self.end, self.damage, self.cut, 0, 0, b"", (), self.filled)


def run_task(task: Task, cancel: Cancel, memory: Memory) -> Result:
    """Reads and filters one range, in buffers of `memory` and new ones. InputError where the file
    cannot be read or is not what it was when its header was read; Interrupted when `cancel` is
    set."""
    try:
        fd = os.open(task.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != task.identity:
                raise InputError(f"{task.path}: replaced by another file while it was read")
            return _result(
                filter_range(
                    fd,
                    task.start,
                    task.stop,
                    task.size,
                    task.guess,
                    cancel=cancel,
                    memory=memory,
                    **_settings(task.job),
                )
            )
        finally:
            os.close(fd)
    except OSError as error:
        raise InputError(f"{task.path}: {why(error)}") from error
    except InputError as error:
        raise _named(task.path, error) from error


def run_bytes(data: memoryview, job: Job, cancel: Cancel, memory: Memory) -> Result:
    """The same for bytes that start with a record; offsets count from their start. Bytes that end
    inside a record are told as damage: the caller knows whether more follow."""
    return _result(filter_bytes(data, cancel=cancel, memory=memory, **_settings(job)))


def _settings(job: Job) -> dict[str, Any]:
    return job._asdict()


def _result(native: tuple[Any, ...]) -> Result:
    *counts, kept, filled = native
    given = tuple(Kept(Span(*matched), records) for matched, records in kept)
    return Result._make([*counts, given, filled])


def _named(path: str, error: InputError) -> InputError:
    text = str(error)
    return error if text.startswith(path) else InputError(f"{path}: {text}")
