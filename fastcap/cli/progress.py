"""A progress bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_DELAY = 0.5  # seconds; a run that is over by then shows no bar and does not import rich


class _Bar:
    def __init__(self) -> None:
        self.started = time.monotonic()
        self.bar: Any = None
        self.task: Any = None

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.started < _DELAY:
            return
        if self.bar is None:
            self.bar = self._open()
            self.task = self.bar.add_task("", total=total or None)
        self.bar.update(self.task, completed=done)

    def _open(self) -> Any:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        bar = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        bar.start()
        return bar

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


class _Steps:
    """Of minutes each. Drawn when a step begins, by nobody else: whoever starts processes meanwhile
    has one thread."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
        )
        self.bar.start()
        self.task = self.bar.add_task("")

    def __call__(self, done: int, total: int, what: str) -> None:
        self.bar.update(self.task, completed=done, total=total, description=what, refresh=True)


@contextmanager
def steps_bar() -> Iterator[_Steps | None]:
    """Yields what is called with the steps that are done, of how many, and which one begins."""
    if not _is_seen():
        yield None
        return
    steps = _Steps()
    try:
        yield steps
    finally:
        steps.bar.stop()
        sys.stderr.flush()


@contextmanager
def progress_bar() -> Iterator[_Bar | None]:
    """Yields what `filter_files` takes as `progress`: None where nobody would see a bar."""
    if not _is_seen():
        yield None
        return
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.close()
        sys.stderr.flush()


def _is_seen() -> bool:
    return os.isatty(2) and os.environ.get("TERM") != "dumb"
