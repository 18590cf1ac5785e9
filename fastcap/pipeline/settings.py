"""What a service is told to do, and the counts of what it did."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from fastcap import summary
from fastcap.errors import UsageError
from fastcap.filter import Filter
from fastcap.formats.linktypes import ETHERNET
from fastcap.permissions import Permissions
from fastcap.pipeline.originals import KEEP
from fastcap.pipeline.spool import CLOSED, Finished
from fastcap.postfilter import MOST_OUTPUTS

DEFAULT_SIZE = 1 << 30  # bytes of a part
DEFAULT_TIME_LIMIT = 600.0  # seconds for one original
DEFAULT_ATTEMPTS = 3
DEFAULT_GRACE = 30.0  # seconds
SMALLEST_SIZE = 4096


class Settings(NamedTuple):
    """What a service does. `outputs` are paths and filters; `original` is delete, keep or move:DIR;
    `time_limit` and `grace` are seconds, `output_size` bytes. `numbered`: only files that fastcap
    captured are originals."""

    spool: str
    outputs: list[tuple[str, str]]
    finished: Finished = Finished(CLOSED)
    original: str = KEEP
    output_size: int = DEFAULT_SIZE
    jobs: int = 1
    time_limit: float = DEFAULT_TIME_LIMIT
    attempts: int = DEFAULT_ATTEMPTS
    grace: float = DEFAULT_GRACE
    summary: str | None = None
    vlan: str = "wire"
    engine: str = "auto"
    once: bool = False
    numbered: bool = False
    permissions: Permissions = Permissions()

    def check(self) -> None:
        """UsageError, FilterError."""
        if not self.outputs:
            raise UsageError("no output: --to PATH=EXPR, once for each")
        paths = [os.path.abspath(path) for path, _ in self.outputs]
        for path in paths:
            if paths.count(path) > 1:
                raise UsageError(f"{path}: two outputs that are one; join the filters with OR")
        if self.output_size < SMALLEST_SIZE:
            raise UsageError(f"output_size is at least {SMALLEST_SIZE:,} bytes")
        if self.attempts < 1 or not self.time_limit > 0 or not self.grace >= 0:
            raise UsageError(
                "attempts is at least 1, time_limit more than 0, grace 0 or more seconds"
            )
        if len(self.outputs) > MOST_OUTPUTS:
            raise UsageError(f"at most {MOST_OUTPUTS} outputs, not {len(self.outputs):,}")
        if self.summary is not None:
            summary.check_path(self.summary)
            folder = os.path.dirname(os.path.abspath(self.summary))
            if not os.path.isdir(folder):
                raise UsageError(f"{self.summary}: no directory {folder}; create it first")

    def filters(self) -> list[Filter]:
        """One for each output, for Ethernet: files say their link type only when they come, but
        sets from files are read once. FilterError, UsageError."""
        return [Filter(text, ETHERNET, self.vlan, self.engine) for _, text in self.outputs]

    def options_of(self, one: Filter) -> str:
        """What changes the meaning of a filter besides its text."""
        options = f"vlan={self.vlan}"
        if "@" in one.expression:
            options += (
                f" sets={hashlib.sha256(repr(one.program.packed()).encode()).hexdigest()[:16]}"
            )
        return options


class Counts:
    """Since the service began."""

    def __init__(self) -> None:
        self.originals = self.frames = self.matched = self.bytes = 0
        self.failed = self.damaged = self.lost = self.unseen = 0
        self.lost_frames = self.lost_uncounted = 0  # of those lost: frames, and without a number
        self.parts_gone = self.retries = 0

    def as_json(self) -> dict[str, int]:
        return dict(vars(self))

    @property
    def is_perfect(self) -> bool:
        bad = self.failed + self.damaged + self.lost + self.unseen + self.parts_gone
        return bad == 0
