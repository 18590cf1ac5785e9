"""`fastcap follow` where any one of its file operations fails, or is the last of its process: no
frame is lost, none is kept twice, and no original goes before its frames are on the disk."""

from __future__ import annotations

import dataclasses
import errno
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.harness import AFTER, BEFORE, NONE, Ended, Fault, Faults, Kind
from tests.pipeline.spool import Spool, check, check_in_the_middle, follow, outputs
from tests.pipeline.syncs import Disk

ORIGINALS, FRAMES = 6, 60
FEW = 25  # faults of the ordinary tests
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
FAILED = (0, 1, 3)  # exit statuses where an operation failed
KILLED = -9


class Scene:
    """The same spool in a directory of its own for each fault."""

    def __init__(self, faults: Faults, folder: Path, seed: int, original: str) -> None:
        self.faults = faults
        self.folder = folder
        self.seed = seed
        self.original = original
        self.kinds = self._count()

    def _begin(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.moved = self.folder / "moved"
        self.moved.mkdir()
        self.spool = Spool(self.folder / "spool", random.Random(self.seed))
        self.spool.fill(ORIGINALS, FRAMES)
        self.kept = outputs(self.folder / "kept")

    def _run(self, fault: Fault) -> Ended:
        where = self.original.replace("DIR", str(self.moved))
        command = follow(self.spool, self.kept, "--once", original=where)
        return self.faults.run(command, [self.folder], fault)

    def _count(self) -> Counter[Kind]:
        """The operations of a run without a fault."""
        self._begin()
        ended = self._run(NONE)
        assert (ended.code, ended.struck) == (0, []), ended.err
        self._check_end([ended])
        if self.original == "delete":
            assert self._disk([ended], NONE).removals == ORIGINALS
        return ended.kinds

    def suffers(self, fault: Fault) -> Ended:
        """A run with the fault, what must hold behind it, and a run that finishes the job."""
        self._begin()
        first = self._run(fault)
        if fault.kill:
            assert first.code in (*FAILED, KILLED), first.err
        else:
            assert first.code in FAILED, first.err
            assert first.code == 0 or first.err
        assert "Traceback" not in first.err, first.err
        check_in_the_middle(self.spool, self.kept)
        if first.code == 0:
            self._check_end([first], fault)
        second = self._run(NONE)
        assert second.code == 0, second.err
        self._check_end([first, second], fault)
        return first

    def _check_end(self, runs: list[Ended], fault: Fault = NONE) -> None:
        check(self.spool, self.kept)
        names = [original.name for original in self.spool.originals]
        left = [] if self.original != "keep" else names
        assert sorted(self.spool.left()) == left
        if self.original == "delete":
            assert self.spool.visible() == []
        if self.original == "move:DIR":
            for original in self.spool.originals:
                assert (self.moved / original.name).read_bytes() == original.data
        self._disk(runs, fault)

    def _disk(self, runs: list[Ended], fault: Fault) -> Disk:
        disk = Disk(self.spool, self.kept)
        for run in runs:
            disk.follow(run.points, fault)
        return disk


def each(kinds: Counter[Kind], fault: Fault) -> list[Fault]:
    """One for each point. They are counted in their kind, for in which order threads and processes
    come is not the same in each run."""
    return [
        dataclasses.replace(fault, at=number, only=kind)
        for kind, count in kinds.items()
        for number in range(1, count + 1)
    ]


def some(rng: random.Random, all_of_them: list[Fault], count: int) -> list[Fault]:
    """Of as many kinds as can be."""
    rng.shuffle(all_of_them)
    by_kind: dict[Kind | None, list[Fault]] = {}
    for fault in all_of_them:
        by_kind.setdefault(fault.only, []).append(fault)
    turns: list[Fault] = []
    while len(turns) < min(count, len(all_of_them)):
        turns += [found.pop() for found in by_kind.values() if found]
    return turns[:count]


def go_through(scene: Scene, faults: list[Fault]) -> None:
    """Reports all that do not hold, not only the first."""
    hit: Counter[str] = Counter()
    missed, wrong = [], []
    for fault in faults:
        try:
            ended = scene.suffers(fault)
        except (AssertionError, pytest.fail.Exception) as error:
            wrong.append(f"{fault}: {error}")
            continue
        if not ended.struck:
            missed.append(str(fault))
        hit.update(f"{point.kind}" for point in ended.struck)
    print(f"{hit.total()} points of {scene.kinds.total()} were hit:")
    for kind, count in sorted(hit.items()):
        print(f"{count:6} {kind}")
    print(f"not there this time: {missed}")
    assert not wrong, f"{len(wrong)} of {len(faults)} faults:\n\n" + "\n\n".join(wrong)
    # how often something happens may differ a little from run to run
    assert len(missed) <= 2 + len(faults) // 10, missed


def rotating(kinds: Counter[Kind]) -> list[Fault]:
    return [
        dataclasses.replace(fault, errno=ERRORS[number % len(ERRORS)])
        for number, fault in enumerate(each(kinds, Fault()))
    ]


def with_each_error(kinds: Counter[Kind]) -> list[Fault]:
    return [fault for error in ERRORS for fault in each(kinds, Fault(errno=error))]


def torn(kinds: Counter[Kind]) -> list[Fault]:
    """Writes that end early, and then fail."""
    writes = {kind: count for kind, count in kinds.items() if "write" in kind.operation}
    return each(Counter(writes), Fault(short=True))


def killed(kinds: Counter[Kind]) -> list[Fault]:
    return [fault for when in (BEFORE, AFTER) for fault in each(kinds, Fault(kill=when))]


def repeated(kinds: Counter[Kind]) -> list[Fault]:
    """Three times one after the other: also the first attempt to mend it fails."""
    return each(kinds, Fault(errno=errno.EIO, count=3))


Makes = Callable[[Counter[Kind]], list[Fault]]


@pytest.fixture
def seed(rng: random.Random) -> int:
    return rng.randrange(1 << 32)


@pytest.mark.parametrize(
    ("original", "makes", "count"),
    [
        ("delete", rotating, FEW),
        ("delete", killed, FEW),
        ("delete", torn, FEW // 3),
        ("delete", repeated, FEW // 3),
        ("move:DIR", rotating, FEW // 3),
        ("move:DIR", killed, FEW // 3),
        ("keep", rotating, FEW // 3),
    ],
)
def test_some_file_operations_fail_and_nothing_is_lost(
    faults: Faults, tmp_path: Path, rng: random.Random, seed: int,
    original: str, makes: Makes, count: int,
) -> None:  # fmt: skip
    scene = Scene(faults, tmp_path / "scene", seed, original)
    go_through(scene, some(rng, makes(scene.kinds), count))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("original", "makes"),
    [
        ("delete", with_each_error),
        ("delete", killed),
        ("delete", torn),
        ("delete", repeated),
        ("move:DIR", rotating),
        ("move:DIR", killed),
        ("keep", rotating),
        ("keep", killed),
    ],
)
def test_each_file_operation_fails_and_nothing_is_lost(
    faults: Faults, tmp_path: Path, seed: int, original: str, makes: Makes
) -> None:
    scene = Scene(faults, tmp_path / "scene", seed, original)
    go_through(scene, makes(scene.kinds))
