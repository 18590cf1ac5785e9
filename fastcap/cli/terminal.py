"""What is said on standard error while a capture runs: by a thread of its own. A terminal that was
stopped, or a pipe that nobody reads, must hold up neither frames nor signals."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading

from fastcap.cli.messages import say
from fastcap.waiting import NoMoreThreadsError

_MOST_WAITING = 1_000  # lines
_LAST_WORDS = 2.0  # seconds for what waits at the end


class Terminal:
    """Lines one below the other, and under them, on a terminal, a line that is always the last.
    Before `start` they wait."""

    def __init__(self) -> None:
        self.has_line = sys.stderr is not None and os.isatty(2) and os.environ.get("TERM") != "dumb"
        self._waiting: queue.Queue[tuple[bool, str] | None] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        self._is_shown = False
        self._thread = threading.Thread(target=self._run, name="fastcap-terminal", daemon=True)

    def start(self) -> None:
        """When rights are given up: a thread has its own."""
        try:
            self._thread.start()
        except RuntimeError as error:
            raise NoMoreThreadsError(str(error)) from error

    def say(self, line: str) -> None:
        """For any thread; never waits. Lines for which there is no room are counted."""
        try:
            self._waiting.put_nowait((True, line))
        except queue.Full:
            self._left_out += 1

    def show(self, line: str) -> None:
        """In place of what is shown; left out where other lines still wait."""
        if self.has_line and self._waiting.empty():
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait((False, line))

    def close(self) -> None:
        """What waits is still said, if somebody reads it soon."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=_LAST_WORDS)
        if self._thread.ident is None:
            self._run()
        else:
            self._thread.join(_LAST_WORDS)

    def _run(self) -> None:
        while (what := self._waiting.get()) is not None:
            is_line, text = what
            if not is_line:
                self._show(text)
                continue
            self._clear()
            say(text)
            if self._left_out and self._waiting.empty():
                left_out, self._left_out = self._left_out, 0
                say(f"{left_out:,} lines are left out here: nobody read those before")
        self._clear()

    def _show(self, text: str) -> None:
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(2).columns - 1
            self._write("\r" + text[:width].ljust(width))
            self._is_shown = True

    def _clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal is gone: no reason to stop
            self.has_line = False
