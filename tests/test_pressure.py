"""What a capture says of its ring and buffer, and who is held back by it."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from fastcap.pressure import Gauge, Load, Pressure, Reading


@pytest.fixture
def pressure() -> Iterator[Pressure]:
    pressure = Pressure.make()
    yield pressure
    pressure.close()


def test_nothing_is_high_before_the_first_write_and_after_a_reset(pressure: Pressure) -> None:
    nothing = Reading(0.0, 0.0, False, math.inf, False)
    assert pressure.read() == nothing
    pressure.write(Load(1.0, 10, 10, False))
    assert pressure.read().began
    pressure.reset()
    assert pressure.read() == nothing
    assert not nothing.is_high(True)


def test_what_is_written_is_read_by_another_process(pressure: Pressure) -> None:
    pressure.write(Load(0.5, 3 << 20, 4 << 20, True))
    code = (
        "import os; from fastcap.pressure import Pressure;"
        f"page = Pressure.attach({pressure.fd}); told = page.read();"
        "print(*told[:3], told.age_s < 20, told.began, os.get_inheritable(page.fd))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], pass_fds=(pressure.fd,), capture_output=True, check=True
    )
    assert done.stdout == b"0.5 0.75 True True True False\n"


def reading(ring: float = 0, buffer: float = 0, refuses: bool = False, age: float = 0) -> Reading:
    return Reading(ring, buffer, refuses, age, True)


@pytest.mark.parametrize(
    ("told", "from_low", "from_high"),
    [
        (reading(), False, False),
        (reading(ring=0.24), False, True),
        (reading(ring=0.25), True, True),
        (reading(ring=0.1), False, True),
        (reading(ring=0.09), False, False),
        (reading(buffer=0.49), False, True),
        (reading(buffer=0.5), True, True),
        (reading(buffer=0.25), False, True),
        (reading(buffer=0.24), False, False),
        (reading(1, 1, age=0.9), True, True),
        (reading(1, 1, age=1.1), False, False),
        (reading(0, 1, refuses=True), False, False),
        (reading(0.25, 1, refuses=True), True, True),
    ],
)
def test_who_is_held_back_waits_until_there_is_much_more_room(
    told: Reading, from_low: bool, from_high: bool
) -> None:
    assert (told.is_high(False), told.is_high(True)) == (from_low, from_high)


def test_a_write_that_is_seen_in_part_is_none(pressure: Pressure) -> None:
    pressure.write(Load(0.5, 1, 2, False))
    os.pwrite(pressure.fd, b"\0\0\1\0", 6)  # of the first number
    assert pressure.read().ring_fill == 0.0
    assert not pressure.read().began
    pressure.write(Load(0.5, 1, 2, False))
    assert pressure.read().ring_fill == 0.5
    os.pwrite(pressure.fd, b"\0\0\1\0", 6)
    assert pressure.read().ring_fill == 0.5


def test_what_is_read_while_others_write_is_what_was_written_at_once(pressure: Pressure) -> None:
    """Another process writes: threads of one may take turns.

    How often it gets to run beside the reader is not ours to say: it is read until it was
    seen at work.
    """
    code = (
        "from fastcap.pressure import Load, Pressure;"
        f"page = Pressure.attach({pressure.fd})\n"
        "while True:\n"
        "    for i in range(256):\n"
        "        page.write(Load(i * 0x010101010101, i * 0x0101010101, 1 << 40, False))"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], pass_fds=(pressure.fd,))
    try:
        until = time.monotonic() + 60
        while not pressure.read().began:
            assert time.monotonic() < until
        seen: set[float] = set()
        reads = 0
        while reads < 20_000 or len(seen) <= 10:
            assert time.monotonic() < until, f"{reads} reads saw {len(seen)} writes"
            told = pressure.read()
            number = told.ring_fill / 0x010101010101
            assert told.buffer_fill == number * 0x0101010101 / (1 << 40)
            seen.add(number)
            reads += 1
    finally:
        writer.kill()
        writer.wait()


def test_a_gauge_writes_at_once_and_again_and_again(pressure: Pressure) -> None:
    fills = itertools.count(1)
    gauge = Gauge(pressure, lambda: Load(next(fills), 0, 1, False))
    gauge.start()
    assert pressure.read().ring_fill >= 1
    until = time.monotonic() + 20
    while pressure.read().ring_fill < 4:
        assert time.monotonic() < until
    gauge.end()
    gauge.end()
    assert not any(thread.name == "fastcap-gauge" for thread in threading.enumerate())
    Gauge(pressure, lambda: Load(0, 0, 1, False)).end()
