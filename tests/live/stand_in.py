"""Stands in for the filter service: run as a program, it writes down what happens to it.

A line each: "began PID", the name of each signal, "drained"; with --watch what it reads of the
pressure. --refuse N ends with that status before it begins, --never-ready does not say that it
begins, --deaf does not end, --die N ends with that status once it has begun.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
import time
from pathlib import Path

from fastcap.parent import end_with
from fastcap.pressure import Pressure

_LONGEST = 120  # seconds, for one whose test has failed
_NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("--with-parent", "--pressure", "--ready", "--refuse", "--die"):
        parser.add_argument(name, type=int)
    for name in ("--never-ready", "--deaf", "--watch"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("log", type=Path)
    told = parser.parse_args()
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in _NAMES:
        signal.signal(
            getattr(signal, name), lambda number, _: heard.put(signal.Signals(number).name)
        )

    def write(line: str) -> None:
        with told.log.open("a") as file:
            file.write(line + "\n")

    end_with(told.with_parent, signal.SIGTERM)
    pressure = Pressure.attach(told.pressure)
    if told.refuse is not None:
        print(f"stand-in: refused with {told.refuse}", file=sys.stderr)
        return int(told.refuse)
    write(f"began {os.getpid()}")
    if not told.never_ready:
        os.write(told.ready, b"\n")
        os.close(told.ready)
    if told.die is not None:
        return int(told.die)
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        time.sleep(0.01)
        if told.watch:
            fill, buffer, _, age, began = pressure.read()
            write(f"pressure {fill:.3f} {buffer:.3f} {age:.3f} {int(began)}")
        if heard.empty():
            continue
        name = heard.get()
        write(f"{name} {time.monotonic()}")
        if name == "SIGUSR2":
            time.sleep(0.5)
            write("drained")
            return 0
        if name == "SIGTERM" and not told.deaf:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
