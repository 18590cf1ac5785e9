"""When a tool counts as done: its processor time is read then, so neither too early nor never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastcap.bench import idle
from fastcap.bench.tools import Taken, ToolError

Moment = Callable[[float], Any]


class StandIn:
    """A tool, and the clock by which it works; each of its figures depends on the time."""

    class tool:  # noqa: N801 - as the process's attribute is called
        name = "tcpdump"

    def __init__(self, seconds: Moment, bytes_: Moment, at_work: Moment) -> None:
        self.now = 1000.0
        self._began = self.now
        self._seconds, self._bytes, self._at_work = seconds, bytes_, at_work

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def lasted(self) -> float:
        return self.now - self._began

    def taken(self) -> Taken:
        return Taken(float(self._seconds(self.lasted)), {})

    def bytes(self) -> int:
        return int(self._bytes(self.lasted))

    def is_at_work(self) -> bool:
        return bool(self._at_work(self.lasted))


@pytest.fixture
def until_idle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[float, float]]:
    """What it took, and when it was seen to be done."""

    def measured(
        seconds: Moment, bytes_: Moment, at_work: Moment, quota: float | None = None
    ) -> tuple[float, float]:
        process = StandIn(seconds, bytes_, at_work)
        monkeypatch.setattr(idle, "time", process)
        used = idle.until_idle(process, process.bytes, quota)  # type: ignore[arg-type]
        return used.seconds, process.lasted

    return measured


def nothing(_: float) -> int:
    return 0


@pytest.mark.parametrize("quota", [None, 5.0])
def test_who_only_waits_for_a_disk_is_not_done(until_idle: Any, quota: float | None) -> None:
    """No processor time, no byte more: a write of 9 seconds."""
    used, lasted = until_idle(
        lambda at: 2.0 if at < 9 else 2.5, lambda at: 0 if at < 9 else 1 << 30,
        lambda at: at < 9, quota,
    )  # fmt: skip
    assert used == 2.5
    assert lasted > 9 + 1


def test_who_writes_is_not_done_though_it_takes_next_to_no_processor_time(until_idle: Any) -> None:
    _, lasted = until_idle(nothing, lambda at: 100_000 * min(at, 5.0), nothing)
    assert lasted > 5 + 1


def test_what_is_taken_after_the_last_frame_is_not_counted(until_idle: Any) -> None:
    """Timers, a hundredth of a percent of a processor."""
    used, lasted = until_idle(lambda at: min(at, 3.0) + 0.0001 * at, nothing, nothing)
    assert used == pytest.approx(3, abs=0.01)
    assert 4 < lasted < 6


def test_a_frame_of_somebody_else_now_and_then_does_not_keep_it_from_being_done(
    until_idle: Any,
) -> None:
    _, lasted = until_idle(nothing, lambda at: 76 * int(at * 10), nothing)
    assert lasted < 3


@pytest.mark.parametrize(("quota", "longest"), [(None, 120), (5.0, 600)])
def test_who_is_never_done_is_an_error(until_idle: Any, quota: float | None, longest: int) -> None:
    with pytest.raises(ToolError, match=f"tcpdump is not done after {longest} s"):
        until_idle(lambda at: at, nothing, nothing, quota)


def test_who_writes_more_at_its_end_than_a_moment_of_frames_was_not_done() -> None:
    process: Any = StandIn(nothing, lambda _: 3 << 20, nothing)
    assert idle.check_done(process, 3 << 20) == 3 << 20
    assert idle.check_done(process, (5 << 20) // 2) == 3 << 20
    with pytest.raises(ToolError, match="was not done when it seemed to be"):
        idle.check_done(process, 1 << 20)
