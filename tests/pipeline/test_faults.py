"""`fastcap follow` where any one of its file operations fails, or is the last of its process: no
frame is lost, none is kept twice, and no original goes before its frames are on the disk."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import shutil
import zlib
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
        command = follow(self.spool, self.kept, "--once", "--attempts", "9", original=where)
        return self.faults.run(command, [self.folder], fault)

    def _count(self) -> Counter[Kind]:
        """The operations of a run without a fault."""
        self._begin()
        ended = self._run(NONE)
        assert (ended.code, ended.struck) == (0, []), ended.err
        self._check_end([(ended, NONE)])
        if self.original != "keep":
            assert self._disk([(ended, NONE)]).removals == ORIGINALS
        return ended.kinds

    def suffers(self, *faults: Fault) -> list[Ended]:
        """A run with each of the faults, what must hold behind it, and a run that finishes the
        job."""
        self._begin()
        runs: list[tuple[Ended, Fault]] = []
        for fault in (*faults, NONE):
            ended = self._run(fault)
            runs.append((ended, fault))
            try:
                self._check_run(runs)
            except AssertionError as error:
                told = [f"exit status {run.code}: {run.err}" for run, _ in runs]
                raise AssertionError("\n".join([f"run {len(runs)}: {error}", *told])) from error
        return [ended for ended, _ in runs[:-1]]

    def _check_run(self, runs: list[tuple[Ended, Fault]]) -> None:
        ended, fault = runs[-1]
        assert ended.code in (FAILED if ended.struck else (0,)) or fault.kill
        assert ended.code in (*FAILED, KILLED)
        assert ended.code == 0 or ended.err or fault.kill, "it says nothing"
        assert "Traceback" not in ended.err
        check_in_the_middle(self.spool, self.kept)
        if ended.code == 0:
            self._check_end(runs)

    def _check_end(self, runs: list[tuple[Ended, Fault]]) -> None:
        check(self.spool, self.kept)
        names = [original.name for original in self.spool.originals]
        left = [] if self.original != "keep" else names
        assert sorted(self.spool.left()) == left
        if self.original == "delete":
            assert self.spool.visible() == []
        if self.original == "move:DIR":
            for original in self.spool.originals:
                assert (self.moved / original.name).read_bytes() == original.data
        self._disk(runs)

    def _disk(self, runs: list[tuple[Ended, Fault]]) -> Disk:
        disk = Disk(self.spool, self.kept)
        for run, fault in runs:
            disk.follow(run.points, fault)
        return disk


def each(kinds: Counter[Kind], fault: Fault) -> list[Fault]:
    """One for each point. They are counted in their kind, for in which order threads and processes
    come is not the same in each run."""
    return [
        dataclasses.replace(fault, at=number, only=kind)
        for kind, count in sorted(kinds.items())
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


def part_of(turns: list[tuple[Fault, ...]]) -> list[tuple[Fault, ...]]:
    """All, but where FASTCAP_PART says 2/3, the second of three parts, which together are all: each
    point belongs to the same part, however often things happen this time."""
    number, parts = map(int, os.environ.get("FASTCAP_PART", "1/1").split("/"))
    return [one for one in turns if zlib.crc32(str(one[0]).encode()) % parts == number - 1]


def go_through(scene: Scene, turns: list[tuple[Fault, ...]]) -> None:
    """Reports all that do not hold, not only the first."""
    turns = part_of(turns)
    hit: Counter[Kind] = Counter()
    missed: list[str] = []
    absent: list[str] = []
    wrong: list[str] = []
    for faults in turns:
        what = ", then ".join(map(str, faults))
        try:
            runs = scene.suffers(*faults)
        except (AssertionError, pytest.fail.Exception) as error:
            wrong.append(f"{what}: {error}")
            print(wrong[-1], flush=True)  # hours may be to come
            continue
        if not runs[0].struck:  # those behind it may have less to do
            only, at = faults[0].only, faults[0].at
            was_there = only is not None and runs[0].kinds[only] >= at
            (missed if was_there else absent).append(what)
        hit.update(point.kind for run in runs for point in run.struck)
    there = scene.kinds.total()
    print(f"{len(turns)} turns: {hit.total()} points were hit; without a fault there are {there}:")
    for kind, count in sorted(hit.items()):
        print(f"{count:6} {kind}")
    print(f"not there this time: {absent}")
    assert not wrong, f"{len(wrong)} of {len(turns)} turns:\n\n" + "\n\n".join(wrong)
    assert not missed, f"points that were there and were not hit: {missed}"
    # how often something happens may differ a little from run to run
    assert len(absent) <= 2 + len(turns) // 10, absent


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
    """Three times one after the other: also the first attempts to mend it fail."""
    return each(kinds, Fault(errno=errno.EIO, count=3))


Makes = Callable[[Counter[Kind]], list[Fault]]


def draw(rng: random.Random) -> random.Random:
    """Which points an ordinary run goes through: the same each time, so that it says the same of
    the same code, but where FASTCAP_SEED says otherwise."""
    return rng if os.environ.get("FASTCAP_SEED") else random.Random(7)


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
    go_through(scene, [(fault,) for fault in some(draw(rng), makes(scene.kinds), count)])


def test_a_journal_whose_directory_was_not_synced_is_not_relied_on(
    faults: Faults, tmp_path: Path, seed: int
) -> None:
    scene = Scene(faults, tmp_path / "scene", seed, "delete")
    sync = Kind("fsync", "spool")
    fails, killed = Fault(1, errno.EIO, only=sync), Fault(1, kill=BEFORE, only=sync)
    go_through(scene, [(fails,), (killed,), (killed, fails)])


def test_names_of_the_journal_that_sqlite_could_not_sync_are_not_relied_on(
    faults: Faults, tmp_path: Path, seed: int
) -> None:
    scene = Scene(faults, tmp_path / "scene", seed, "delete")
    fails = Fault(errno=errno.EIO, only=Kind("fdatasync", ".fastcap"))  # SQLite's: ours is fsync
    killed = Fault(kill=BEFORE, only=Kind("fdatasync", ".fastcap"))
    numbers = range(1, scene.kinds[Kind("fdatasync", ".fastcap")] + 1)
    go_through(
        scene, [(dataclasses.replace(one, at=at),) for one in (fails, killed) for at in numbers]
    )


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
    go_through(scene, [(fault,) for fault in makes(scene.kinds)])


@pytest.mark.parametrize(
    "count", [FEW // 3, pytest.param(20 * FEW, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_starts_that_fail_behind_a_kill_lose_nothing(
    faults: Faults, tmp_path: Path, rng: random.Random, seed: int, count: int
) -> None:
    """What a start does to go on is seen only there. Where its operations are among all those of a
    run is not known before, so points are counted as they come."""
    scene = Scene(faults, tmp_path / "scene", seed, "delete")
    starts = scene.kinds.total() // 2
    turns = []
    rng = draw(rng) if count < FEW else rng
    for kill in some(rng, killed(scene.kinds), count):
        more = [
            Fault(at=rng.randrange(1, starts), errno=rng.choice(ERRORS), kill=kind)
            for kind in rng.sample((0, 0, BEFORE, AFTER), 2)
        ]
        turns.append((kill, *more))
    go_through(scene, turns)
