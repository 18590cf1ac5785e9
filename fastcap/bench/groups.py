"""Control groups that give a process a part of a processor, of version 1 or 2."""

from __future__ import annotations

import abc
import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastcap.errors import OutputError, UsageError

PERIOD_US = 100_000  # of a quota; the kernel's default
_PREFIX = "fastcap-bench-"
_LONGEST = 5.0  # seconds, until those who were killed are gone


class Group(abc.ABC):
    """A cgroup of ours, with a quota. Removed by `close`, when nobody is in it. UsageError where
    there can be none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir()
        except OSError as error:
            raise UsageError(f"no quota: no cgroup {folder}: {error.strerror}") from None

    def adopt(self, pid: int) -> None:
        """All threads of a process."""
        self._write("cgroup.procs", str(pid))

    @abc.abstractmethod
    def limit(self, percent: float) -> None:
        """Of one processor; more than 100 are parts of several. UsageError where a group above
        allows less."""

    @abc.abstractmethod
    def lift(self) -> None:
        """No quota any more."""

    def _write(self, name: str, text: str) -> None:
        try:
            (self.folder / name).write_text(text)
        except OSError as error:
            raise UsageError(
                f"no quota: {self.folder / name} takes no {text!r}: {error.strerror}"
            ) from None

    def close(self) -> None:
        """Removes it, when those in it are gone. OutputError where they do not go."""
        until = time.monotonic() + _LONGEST
        while self.folder.exists():
            try:
                self.folder.rmdir()
            except OSError as error:  # who was killed is in it for a moment
                if time.monotonic() > until:
                    raise OutputError(
                        f"{self.folder}: cannot be removed: {error.strerror}"
                    ) from None
                time.sleep(0.05)


class GroupV1(Group):
    """Of version 1, where the cpu controller has a hierarchy of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / _name())

    def limit(self, percent: float) -> None:
        self._write("cpu.cfs_period_us", str(PERIOD_US))
        self._write("cpu.cfs_quota_us", str(quota_us(percent)))

    def lift(self) -> None:
        self._write("cpu.cfs_quota_us", "-1")


class GroupV2(Group):
    """Of version 2, below the root of a hierarchy."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._switch = root / "cgroup.subtree_control"
        self._switched = "cpu" not in self._switch.read_text().split()
        if self._switched:
            try:
                self._switch.write_text("+cpu")
            except OSError as error:
                problem = f"no quota: {self._switch} takes no +cpu: {error.strerror}"
                raise UsageError(problem) from None
        try:
            super().__init__(root / _name())
        except UsageError:
            self._switch_back()
            raise

    def limit(self, percent: float) -> None:
        """The kernel takes more than the group above has, and means the less of both."""
        with contextlib.suppress(OSError, ValueError):  # the hierarchy's own root has none
            quota, period = map(int, (self._root / "cpu.max").read_text().split())
            if quota / period < percent / 100:
                raise UsageError(f"no quota: {self._root} has {100 * quota / period:g} % itself")
        self._write("cpu.max", f"{quota_us(percent)} {PERIOD_US}")

    def lift(self) -> None:
        self._write("cpu.max", f"max {PERIOD_US}")

    def close(self) -> None:
        """And as it was, unless somebody else uses it by now: another bench, or a group with a
        quota or a weight, which it would lose."""
        try:
            super().close()
        finally:
            self._switch_back()

    def _switch_back(self) -> None:
        if self._switched and not any(map(_uses_cpu, self._root.glob("*/"))):
            with contextlib.suppress(OSError):  # those below have it switched on too
                self._switch.write_text("-cpu")


def _uses_cpu(folder: Path) -> bool:
    """Whether a group of version 2 would be another without the cpu controller."""
    with contextlib.suppress(OSError):
        return (
            folder.name.startswith(_PREFIX)
            or not (folder / "cpu.max").read_text().startswith("max ")
            or (folder / "cpu.weight").read_text().strip() != "100"
        )
    return False


def make_group() -> Group:
    """One of the version that has the cpu controller here. UsageError where none has, or where we
    may not."""
    first = next(_mounts("cgroup", "cpu"), None)
    if first is not None:
        _remove_stale(first)
        return GroupV1(first)
    for root in _mounts("cgroup2"):
        with contextlib.suppress(OSError):
            if "cpu" in (root / "cgroup.controllers").read_text().split():
                _remove_stale(root)
                return GroupV2(root)
    raise UsageError("no quota: no cgroup here has the cpu controller")


def check_quotas(quotas: Iterable[float]) -> None:
    """Whether a group may have each. UsageError."""
    group = make_group()
    try:
        for quota in quotas:
            group.limit(quota)
        group.lift()
    finally:
        group.close()


def quota_us(percent: float) -> int:
    """Microseconds of each period."""
    return round(PERIOD_US * percent / 100)


def _name() -> str:
    return f"{_PREFIX}{os.getpid()}"


def _mounts(kind: str, option: str = "") -> Iterator[Path]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, what, options, *_ = line.split()
        if what == kind and (not option or option in options.split(",")):
            yield Path(where)


def _remove_stale(root: Path) -> None:
    """Those of benches that were killed."""
    for folder in root.glob(f"{_PREFIX}*"):
        pid = re.fullmatch(r"[0-9]+", folder.name[len(_PREFIX) :])
        if pid is not None and not Path(f"/proc/{pid[0]}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
