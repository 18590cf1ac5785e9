"""The process that filters: originals in, matches appended to the open parts, one line each.

It is told what to do on standard input and says what it did on standard output, in JSON; its
service (fastcap.pipeline.service) syncs, names and deletes. After any error it says so and ends:
the service cuts the parts to what is sure and starts another one. It ends with its service.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import pickle
import platform
import signal
import sys
from collections.abc import Callable
from typing import Any

from fastcap._native.cancel import Cancel
from fastcap.committer import Run, linktype_of
from fastcap.errors import FastcapError, InputError, OutputError
from fastcap.filter import Filter
from fastcap.formats.linktypes import ETHERNET
from fastcap.formats.pcap import FileHeader, parse_header
from fastcap.inputs import Source, open_source
from fastcap.outputs import block_for
from fastcap.parent import end_with
from fastcap.permissions import Permissions
from fastcap.pipeline.journal import UNKNOWN, Part
from fastcap.pipeline.parts import Keeper, Open, fits
from fastcap.pipeline.spool import Seen, is_same
from fastcap.results import FilterResult
from fastcap.segments import Span
from fastcap.waiting import NoMoreThreadsError
from fastcap.workers import Workers

_NICE = 10
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # the system call's number
_BEST_EFFORT, _LOWEST = 2, 7  # linux/ioprio.h
_OOM_FIRST = "1000"  # the kernel ends a worker before it ends a capture
# whose fault an error is; another attempt at what is hopeless would end alike
ORIGINAL, OUTPUT, HOPELESS, DEATH = "original", "output", "hopeless", "death"


class HopelessError(InputError):
    """The original is no capture."""


def part_as_json(part: Part) -> dict[str, Any]:
    return {**part._asdict(), "header": part.header.hex()}


def part_of_json(told: dict[str, Any]) -> Part:
    return Part(**{**told, "header": bytes.fromhex(told["header"]), "span": Span(*told["span"])})


class Worker:
    """Filters one original after the other. `told` is the service's first line."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.jobs: int = told["jobs"]
        self.vlan: str = told["vlan"]
        self.engine: str = told["engine"]
        self.spool: str = told["spool"]
        self.gives_back: bool = told["gives_back"]
        self.has_summary: bool = told["summary"]
        self.header: FileHeader | None = None  # of the parts
        if told["header"] is not None:
            self.header = parse_header(bytes.fromhex(told["header"]), "the journal")
        # ours, of the service; those of another link type are compiled here
        filters: list[Filter] = pickle.loads(base64.b64decode(told["filters"]))  # noqa: S301
        self.texts = [one.expression for one in filters]
        self._filters = {ETHERNET: filters}
        os.chdir(told["folder"])  # for files that filters name
        self._threads = Workers(self.jobs)  # they stay: when memory is short none begins well
        permissions = Permissions(told["mode"], told["group"])
        block = block_for(len(self.texts))
        self.keepers = [
            Keeper(
                output["path"], _name_of(*output["temporary"]), told["size"], output["last"],
                permissions, block,
            )
            for output in told["outputs"]
        ]  # fmt: skip
        for keeper, output in zip(self.keepers, told["outputs"], strict=True):
            if output["open"] is not None and self.header is not None:
                keeper.go_on(Open(*output["open"]), self.header)

    def close(self) -> None:
        self._threads.close()

    def filter(self, seen: Seen) -> dict[str, Any]:
        """What became of an original. FastcapError, MemoryError."""
        path = os.path.join(self.spool, seen.name)
        try:
            source = open_source(path)
        except InputError as error:
            raise error if error.__cause__ is not None else HopelessError(str(error)) from error
        if source.fd is not None:
            source.close()
            raise InputError(f"{path}: no regular file")
        _check_unchanged(path, seen)
        self._fit(source)
        run = Run([source], self._filters_for(source), jobs=self.jobs, summary=self.has_summary)
        assert self.header is not None
        run.out_header = self.header
        run.writes = True
        result = run.run(list(self.keepers), self._threads, Cancel())  # type: ignore[arg-type]
        _check_unchanged(path, seen)
        if self.gives_back:
            _give_cache_back(path)
        return self._report(result)

    def _fit(self, source: Source) -> None:
        """Parts whose header does not fit this original's frames end."""
        if self.header is None or not fits(self.header, source.header):
            self.header = source.header
        for keeper in self.keepers:
            keeper.begin(self.header)

    def _filters_for(self, source: Source) -> list[Filter]:
        linktype = linktype_of(source)
        if linktype not in self._filters:
            self._filters[linktype] = [
                Filter(text, linktype, self.vlan, self.engine) for text in self.texts
            ]
        return self._filters[linktype]

    def _report(self, result: FilterResult) -> dict[str, Any]:
        (report,) = result.inputs
        assert self.header is not None
        return {
            "frames": result.frames_read,
            "matched": result.frames_matched,
            "engine": result.engine,
            "damage": str(report.damage[0]) if report.damage else None,
            "outputs": [
                {
                    "parts": [part_as_json(part) for part in keeper.changed()],
                    "matched": sorted(keeper.matched.items()),
                }
                for keeper in self.keepers
            ],
            "summary": [
                [UNKNOWN if second is None else second, protocol, *counts]
                for (second, protocol), counts in (result.summary or {}).items()
            ],
        }


def _name_of(before: str, after: str) -> Callable[[int], str]:
    """Where a part is written, by its number."""
    return lambda number: f"{before}{number:08}{after}"


def _check_unchanged(path: str, seen: Seen) -> None:
    try:
        is_unchanged = is_same(path, seen)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if not is_unchanged:
        raise InputError(f"{path}: changed while it was filtered: it was not finished")


def _give_cache_back(path: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


# ---- The process -------------------------------------------------------------------------------


def step_back() -> None:
    """Behind whatever captures: processor, disk, and memory."""
    os.nice(_NICE)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(number, 1, 0, _BEST_EFFORT << 13 | _LOWEST)  # refused: then it has none
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(_OOM_FIRST)


def _whose(error: BaseException) -> str:
    if isinstance(error, HopelessError):
        return HOPELESS
    return OUTPUT if isinstance(error, OutputError) else ORIGINAL


def _text_of(error: BaseException) -> str:
    if isinstance(error, FastcapError):
        return str(error)
    if isinstance(error, (MemoryError, NoMoreThreadsError)):
        return "out of memory or threads"
    return repr(error)


def main() -> int:
    """Until standard input ends, or something fails. The argument is the service's number."""
    for number_of in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number_of, signal.SIG_IGN)  # to a whole group; the service decides
    end_with(int(sys.argv[1]), signal.SIGKILL)
    step_back()
    lines = sys.stdin.buffer
    out = sys.stdout.buffer

    def say(**more: Any) -> None:
        out.write(json.dumps(more).encode() + b"\n")
        out.flush()

    number: int | None = None
    worker: Worker | None = None
    try:
        worker = Worker(json.loads(lines.readline()))
        for line in iter(lines.readline, b""):
            told = json.loads(line)
            number = told["id"]
            say(begins=number)
            say(did=number, **worker.filter(Seen(*told["seen"])))
            number = None
    except BrokenPipeError:  # the service is gone
        return 1
    except (Exception, MemoryError) as error:
        with contextlib.suppress(BrokenPipeError):
            say(failed=number, whose=_whose(error), error=_text_of(error))
        return 1
    finally:
        if worker is not None:
            worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
