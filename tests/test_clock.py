"""A clock that is set is noticed, and one that is slewed is not."""

from __future__ import annotations

import random

from fastcap.clock import Clock

HOUR = 3600 * 10**9


class Clocks:
    """Two that are injected."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_795_262_400 * 10**9, 5 * HOUR

    def go_on(self, ns: int, *, step: int = 0) -> None:
        self.steady += ns
        self.wall += ns + step


def test_steps_in_both_directions_are_told_once() -> None:
    clocks = Clocks()
    clock = Clock(lambda: clocks.wall, lambda: clocks.steady)
    for step in (HOUR, -HOUR, -37 * 10**9, 100_000_000, -(10**18)):
        clocks.go_on(500_000_000, step=step)
        assert clock.step() == step
        clocks.go_on(500_000_000)
        assert clock.step() == 0


def test_slewing_is_no_step(rng: random.Random) -> None:
    clocks = Clocks()
    clock = Clock(lambda: clocks.wall, lambda: clocks.steady)
    for _ in range(1000):
        clocks.go_on(500_000_000, step=rng.randrange(-5_000_000, 5_000_000))
        assert clock.step() == 0


def test_being_held_up_between_two_looks_at_the_clocks_is_no_step() -> None:
    clocks = Clocks()
    calls = 0

    def steady() -> int:
        nonlocal calls
        calls += 1
        if calls in (4, 6):  # the processor is somebody else's for a second
            clocks.go_on(10**9)
        return clocks.steady

    clock = Clock(lambda: clocks.wall, steady)
    assert [clock.step() for _ in range(5)] == [0] * 5
