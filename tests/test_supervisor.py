"""How often one that dies again and again is started. The rest: tests/live/test_supervisor.py."""

from __future__ import annotations

import time

import pytest

from fastcap.pipeline.supervisor import Command, _Half
from fastcap.pressure import Pressure


def test_pauses_double_up_to_some_seconds_and_begin_anew_after_a_long_life() -> None:
    pressure = Pressure.make()
    half = _Half("the capture", Command([], []), pressure, 0)
    half._since = time.monotonic()
    pauses = [half.pause() for _ in range(12)]
    assert pauses == pytest.approx([0, *(0.1 * 2**i for i in range(6)), 5, 5, 5, 5, 5])
    half._since -= 60
    assert half.pause() == 0
    half._since = time.monotonic()
    assert half.pause() == pytest.approx(0.1)
    pressure.close()
