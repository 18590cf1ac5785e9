"""kill -9 and other signals at any moment of `fastcap follow`, while originals come: no frame is
lost, and none is kept twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.harness import session_of, wait_for_group
from tests.pipeline.service import LONGEST_WAIT, wait_until
from tests.pipeline.spool import (
    Output,
    Publisher,
    Spool,
    check,
    check_in_the_middle,
    follow,
    outputs,
)

FEW, MANY = 8, 200
A_SECOND, FRAMES = 30.0, 20  # originals, and frames in each
LONGEST = 1.5  # seconds until somebody is killed
START = 0.4  # seconds until most have begun


class Service:
    """`fastcap follow`, and the processes that it starts."""

    def __init__(self, command: Sequence[str], err: Path) -> None:
        self.err = err
        with err.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    def worker(self) -> int | None:
        """Its process that filters, if there is one."""
        for pid, fields in session_of(self.process.pid).items():
            if int(fields[1]) == self.process.pid:
                return pid
        return None

    def kill(self, whom: str) -> str:
        """Whom it did kill."""
        worker = self.worker()
        if whom == "worker" and worker is None:
            whom = "service"  # before it had one
        if whom == "worker":
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
        elif whom == "both":
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            os.kill(self.process.pid, signal.SIGKILL)
        return whom

    def wait_until_it_began(self) -> None:
        """And hears signals."""
        until = time.monotonic() + LONGEST_WAIT
        while "filtering" not in self.err.read_text():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < until, "it does not begin"
            time.sleep(0.01)

    def wait(self) -> int:
        """For all of its processes."""
        problem = wait_for_group(self.process)
        assert not problem, f"{problem}\n{self.err.read_text()}"
        return self.process.returncode


Starts = Callable[[Sequence[str]], Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starts]:
    """Starts a service. None outlives its test."""
    services: list[Service] = []

    def begin(command: Sequence[str]) -> Service:
        services.append(Service(command, tmp_path / "err"))
        return services[-1]

    yield begin
    for service in services:
        for pid in session_of(service.process.pid):
            os.kill(pid, signal.SIGKILL)
        service.process.wait()


def wait_until_it_goes_on(service: Service, spool: Spool, kept: list[Output]) -> None:
    """A service that lost its worker takes what was there then."""
    there = spool.left()
    until = time.monotonic() + LONGEST_WAIT
    while there & spool.left():
        assert service.process.poll() is None, f"it ended: {service.err.read_text()}"
        assert time.monotonic() < until, f"it stands still: {service.err.read_text()}"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "rounds", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_kill_9_at_any_moment_loses_no_frame_and_keeps_none_twice(
    start: Starts, tmp_path: Path, rng: random.Random, rounds: int
) -> None:
    spool = Spool(tmp_path / "spool", random.Random(rng.random()))
    kept = outputs(tmp_path / "kept")
    command = follow(spool, kept, size="64k")
    killed: Counter[str] = Counter()
    went = 0  # originals, under a service that was killed
    publisher = Publisher(spool, A_SECOND, FRAMES)
    try:
        for number in range(rounds):
            service = start(command)
            if number % 4 == 3:  # while it begins
                time.sleep(rng.uniform(0, START))
            else:
                service.wait_until_it_began()
                time.sleep(rng.uniform(0, LONGEST - START))
            if number == 0:  # in one of them surely behind the first original
                wait_until(lambda: len(spool.originals) > len(spool.left()))
            assert service.process.poll() is None, service.err.read_text()
            whom = service.kill(("service", "worker", "both")[number % 3])
            killed[whom] += 1
            if whom == "worker":
                wait_until_it_goes_on(service, spool, kept)
                service.kill("service")
            service.wait()
            assert "Traceback" not in service.err.read_text(), service.err.read_text()
            check_in_the_middle(spool, kept)
            went = len(spool.originals) - len(spool.left())
    finally:
        publisher.end()
    print(f"{len(spool.originals)} originals, {went} gone before the end, killed: {killed}")
    assert went > 0
    last = start([*command, "--once"])
    assert last.wait() == 0, last.err.read_text()
    check(spool, kept)
    assert spool.visible() == []


@pytest.mark.parametrize(
    "rounds", [FEW, pytest.param(60, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_told_to_end_or_to_end_its_parts_at_any_moment_it_keeps_no_frame_twice(
    start: Starts, tmp_path: Path, rng: random.Random, rounds: int
) -> None:
    """What its worker did and is not sure yet is taken back before parts get their names, and done
    again later."""
    spool = Spool(tmp_path / "spool", random.Random(rng.random()))
    kept = outputs(tmp_path / "kept")
    command = follow(spool, kept, "--grace", "0", size="64k")
    publisher = Publisher(spool, 3 * A_SECOND, FRAMES)
    try:
        for _ in range(rounds):
            service = start(command)
            service.wait_until_it_began()
            for number in (*[signal.SIGHUP] * rng.randrange(4), signal.SIGTERM):
                time.sleep(rng.random() * 0.3)
                service.process.send_signal(number)
            assert service.wait() == 0, service.err.read_text()
            assert not [part for output in kept for part in output.parts() if part.is_open]
            check_in_the_middle(spool, kept)
    finally:
        publisher.end()
    last = start([*command, "--once"])
    assert last.wait() == 0, last.err.read_text()
    check(spool, kept)
    assert spool.visible() == []


def test_a_worker_that_is_killed_again_and_again_ends_nothing(
    start: Starts, tmp_path: Path, rng: random.Random
) -> None:
    """The service stays the same process."""
    spool = Spool(tmp_path / "spool", random.Random(rng.random()))
    kept = outputs(tmp_path / "kept")
    service = start(follow(spool, kept, size="64k"))
    publisher = Publisher(spool, A_SECOND, FRAMES)
    kills = 0
    try:
        until = time.monotonic() + LONGEST_WAIT
        while kills < FEW and time.monotonic() < until:
            time.sleep(rng.random() * 0.3)
            if (worker := service.worker()) is not None:
                os.kill(worker, signal.SIGKILL)
                kills += 1
    finally:
        publisher.end()
    assert kills == FEW, service.err.read_text()
    wait_until_it_goes_on(service, spool, kept)
    service.process.send_signal(signal.SIGTERM)
    assert service.wait() == 0, service.err.read_text()
    check(spool, kept)
    assert spool.visible() == []
