"""`fastcap follow` as a process of a test."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LONGEST_WAIT = 60  # seconds; nothing here takes so long unless it hangs
READY = "fastcap: filtering "


class Service:
    """It filters when the constructor returns; with `ready` None nothing is waited for."""

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        ready: str | None = READY,
        pass_fds: Sequence[int] = (),
    ) -> None:
        number = len(list(folder.glob("follow-*.err")))
        self._err = folder / f"follow-{number}.err"
        self._out = folder / f"follow-{number}.out"
        with self._err.open("wb") as err, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*words, "--json"], stderr=err, stdout=out, pass_fds=pass_fds
            )
        if ready is not None:
            self.wait_for(ready)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait_for(self, text: str) -> None:
        """Until it says so on standard error."""
        wait_until(lambda: text in self.err or self.process.poll() is not None)
        assert text in self.err, f"it ended without {text!r}: {self.err}"

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def worker(self) -> int:
        """The process that filters, when there is one that has begun."""
        found: list[int] = []

        def look() -> bool:
            path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            found[:] = [int(pid) for pid in path.read_text().split()]
            return bool(found)

        wait_until(look)
        return found[0]

    def end(self, number: int | None = signal.SIGTERM, status: int = 0) -> dict[str, Any]:
        """Ends it by a signal, or waits until it ends by itself; its counts."""
        if number is not None:
            self.send(number)
        ended = self.process.wait(LONGEST_WAIT)
        assert "Traceback" not in self.err
        assert ended == status, self.err
        out = self._out.read_text()
        told: dict[str, Any] = json.loads(out) if out else {}
        return told


def once(words: Sequence[str], folder: Path, status: int = 0) -> tuple[dict[str, Any], str]:
    """Runs it until nothing waits; its counts, and what it said."""
    with Service([*words, "--once"], folder, ready=None) as service:
        told = service.end(None, status)
        return told, service.err


def wait_until(done: Callable[[], object]) -> None:
    until = time.monotonic() + LONGEST_WAIT
    while not done():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)


def is_there(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
