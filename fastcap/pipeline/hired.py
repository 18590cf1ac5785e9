"""The worker's process, as its service sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from fastcap.pipeline.spool import Seen
from fastcap.pressure import Pressure

_LOOK_EVERY = 0.05  # seconds between two looks at the pressure


class Hired:
    """A process of fastcap.pipeline.worker from the constructor until `end`. OSError where there
    can be none. `replies` says what it said; `is_dead` that it will say no more."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "fastcap.pipeline.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd="/",  # from where Python would take modules of our name
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._unread = b""
        self._has_ended = False
        self._say(settings)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when it has said something, or died."""
        return self._out.fileno()

    def filter(self, number: int, seen: Seen) -> None:
        """One more original, behind those that it has."""
        self._say({"id": number, "seen": seen})

    def _say(self, told: dict[str, Any]) -> None:
        # a worker that is dead is noticed by its standard output
        with contextlib.suppress(BrokenPipeError):
            self._in.write(json.dumps(told).encode() + b"\n")

    def replies(self) -> list[dict[str, Any]]:
        """What it has said since the last call; without waiting."""
        while not self._has_ended:
            try:
                data = os.read(self._out.fileno(), 1 << 20)
            except BlockingIOError:
                break
            self._has_ended = not data
            self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    @property
    def is_dead(self) -> bool:
        return self._has_ended

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def end(self, seconds: float = 5.0) -> int | None:
        """Kills it, and waits: its exit status, or None where it did not end in time, in the middle
        of a system call."""
        self.signal(signal.SIGKILL)
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._in.close()
        self._out.close()
        self._has_ended = True
        return status


class Holder:
    """Stops the worker while the capture needs disk and processors, by SIGSTOP and SIGCONT, on a
    thread of its own. `seconds` is how long it was held in all."""

    def __init__(self, pressure: Pressure) -> None:
        self.pressure = pressure
        self.is_holding = False
        self._before = 0.0
        self._since = 0.0
        self._worker: Hired | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fastcap-holder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def set_worker(self, worker: Hired | None) -> None:
        """Whom it stops. None before it is killed."""
        with self._lock:
            self._worker = worker
            if worker is not None and self.is_holding:
                worker.signal(signal.SIGSTOP)

    @property
    def seconds(self) -> float:
        return self._before + (time.monotonic() - self._since if self.is_holding else 0.0)

    def end(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY):
            is_high = self.pressure.read().is_high(self.is_holding)
            if is_high != self.is_holding:
                with self._lock:
                    self._change(is_high)
        with self._lock:
            if self.is_holding:
                self._change(False)

    def _change(self, is_high: bool) -> None:
        now = time.monotonic()
        if is_high:
            self._since = now
        else:
            self._before += now - self._since
        self.is_holding = is_high
        if self._worker is not None:
            self._worker.signal(signal.SIGSTOP if is_high else signal.SIGCONT)
