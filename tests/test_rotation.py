"""The writer's side of a capture, when something fails: every frame is in a file that has its name,
or counted as lost, and every chunk goes back to the reader."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fastcap.rotation
from fastcap._native.cancel import Cancel
from fastcap._native.writer import NativeWriter
from fastcap.errors import FastcapError
from fastcap.outputs import Target, target_of
from fastcap.rotation import Rotation
from fastcap.segments import Segment
from fastcap.series import Series
from tests import pcaps
from tests.pcaps import Frame

NOON = 1_795_262_400 * 10**9  # 2026-11-21 12:00:00 UTC
HEADER = 24


class FakeChunk(bytes):
    """A chunk of `frames` records."""

    file: int
    ends: bool
    frames: int
    first_ns: int
    last_ns: int
    head = tail = 0
    gaps: tuple[tuple[int, int, int | None], ...] = ()
    gaps_left_out = (0, 0)
    ended_ns: int | None = None
    given_back = 0

    def give_back(self) -> None:
        self.given_back += 1


def chunk(file: int, frames: int, *, begins: bool = True, ends: bool = True) -> FakeChunk:
    made = [Frame(NOON + i * 10**9, 60, bytes([i]) * 40) for i in range(frames)]
    data = FakeChunk(pcaps.capture(made, nanoseconds=True)[0 if begins else HEADER :])
    data.file, data.ends, data.frames = file, ends, frames
    data.first_ns, data.last_ns = NOON, NOON + (frames - 1) * 10**9
    return data


class FakeNative:
    """A reader that hands over these chunks; what can be called between them is called."""

    def __init__(self, *chunks: FakeChunk | Callable[[], object]) -> None:
        self.left = iter(chunks)
        self.stopped = False

    def next_chunk(self, _milliseconds: int) -> FakeChunk | bool | None:
        chunk = next(self.left, False)
        if callable(chunk):
            chunk()
            return None
        return chunk

    def stop(self) -> None:
        self.stopped = True


class Run:
    """A rotation over these chunks, to its end."""

    def __init__(
        self, target: Target, series: Series | None, *chunks: FakeChunk | Callable[[], object],
        bare: bool = False,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> None:  # fmt: skip
        self.segments: list[Segment] = []
        self.notes: list[str] = []
        native: Any = FakeNative(*chunks)
        self.rotation = Rotation(
            native, series, target, Cancel(), bare=bare, keep=None,
            on_segment=on_segment or self.segments.append, on_note=self.notes.append,
        )  # fmt: skip
        thread = threading.Thread(target=self.rotation.run, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), "it hangs"
        self.stopped = native.stopped
        self.error = str(self.rotation.error or "")
        self.written, self.lost = self.rotation.counts.written, self.rotation.counts.lost
        taken = [chunk for chunk in chunks if isinstance(chunk, FakeChunk)]
        assert [chunk.given_back for chunk in taken] == [1] * len(taken)
        assert self.written + self.lost == sum(chunk.frames for chunk in taken)


@pytest.fixture
def series(tmp_path: Path) -> Iterator[Series]:
    series = Series(str(tmp_path / "net1.pcap"))
    yield series
    series.close()


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return target_of(str(tmp_path / "net1.pcap"))


def found(folder: Path) -> list[int]:
    """Frames of the files that have their names; nothing else is there."""
    names = sorted(name for name in os.listdir(folder) if name != ".net1.pcap.lock")
    assert not [name for name in names if name.startswith(".")]
    return [len(pcaps.read((folder / name).read_bytes())) for name in names]


def fail(error: BaseException, *, at: int, instead_of: Callable[..., Any]) -> Callable[..., Any]:
    """The function, except that its call number `at`, from 0 on, raises."""
    calls = iter(range(1_000_000))

    def function(*words: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise error
        return instead_of(*words, **options)

    return function


def test_without_a_failure_all_is_written(series: Series, target: Target, tmp_path: Path) -> None:
    run = Run(target, series, chunk(0, 3, ends=False), chunk(0, 2, begins=False), chunk(1, 4))
    assert (run.error, run.written, run.stopped) == ("", 9, False)
    assert [segment.span.frames for segment in run.segments] == found(tmp_path) == [5, 4]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("anything"), OSError(5, "I/O")])
@pytest.mark.parametrize("at", range(4))
def test_a_writer_that_cannot_be_made_costs_no_chunk_and_no_descriptor(
    series: Series, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    error: Exception, at: int,
) -> None:  # fmt: skip
    writer = fail(error, at=at, instead_of=NativeWriter)
    monkeypatch.setattr(fastcap.rotation, "NativeWriter", writer)
    before = os.listdir("/proc/self/fd")
    run = Run(target, series, *(chunk(file, 2) for file in range(4)))
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert sum(found(tmp_path)) == run.written
    if isinstance(error, RuntimeError):
        assert "anything" in run.error
        assert run.stopped
    else:  # there was room a moment later
        assert (run.error, run.written) == ("", 8)


def test_without_a_thread_for_the_finisher_all_is_lost_and_told(
    series: Series, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "fastcap-finisher":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    run = Run(target, series, chunk(0, 3), chunk(1, 2))
    assert "can't start new thread" in run.error
    assert (run.written, run.lost, run.stopped, found(tmp_path)) == (0, 5, True, [])


@pytest.mark.parametrize("error", [OSError(5, "I/O"), MemoryError(), RuntimeError("anything")])
def test_a_failure_to_name_a_file_ends_the_others_under_their_names(
    series: Series, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:  # fmt: skip
    """The first file stays hidden, so its frames are lost; another is open then."""
    opened, named = threading.Event(), threading.Event()
    publish = fail(error, at=0, instead_of=series.publish)

    def between_two_chunks(*words: Any) -> Segment:
        assert opened.wait(60)
        try:
            segment: Segment = publish(*words)
            return segment
        finally:
            named.set()

    monkeypatch.setattr(series, "publish", between_two_chunks)

    run = Run(
        target, series, chunk(0, 3), chunk(1, 4, ends=False), opened.set, lambda: named.wait(60),
        chunk(1, 2, begins=False),
    )  # fmt: skip
    assert run.stopped
    assert run.error
    hidden = tmp_path / ".net1_00000001.pcap.capturing"
    assert len(pcaps.read(hidden.read_bytes())) == 3
    hidden.unlink()
    assert sum(found(tmp_path)) == run.written >= 4


class Torn:
    """Writes half of its second chunk."""

    def __init__(self, fd: int, _cancel: Cancel) -> None:
        self.fd = fd
        self.length = 0

    def write(self, data: bytes) -> None:
        torn = self.length > 0
        self.length += os.write(self.fd, data[: len(data) // 2 + 10] if torn else data)
        if torn:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_fails_is_ended_at_its_last_whole_record(
    series: Series, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastcap.rotation, "NativeWriter", Torn)
    run = Run(target, series, chunk(0, 3, ends=False), chunk(0, 4, begins=False), chunk(1, 5))
    assert "No space left on device; make room" in run.error
    assert (run.written, run.lost) == (5, 7)
    assert [segment.span.frames for segment in run.segments] == found(tmp_path) == [5]


@pytest.mark.parametrize("part", ["end_at_last_record", "publish"])
def test_an_end_that_fails_too_costs_all_frames_of_the_file_and_no_descriptor(
    series: Series, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    owner: object = series if part == "publish" else fastcap.rotation
    monkeypatch.setattr(owner, part, refuse)
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(fastcap.rotation, "NativeWriter", Torn)
    run = Run(target, series, chunk(0, 3, ends=False), chunk(0, 4, begins=False))
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert run.error
    assert (run.written, run.lost) == (0, 7)


def test_a_callback_that_fails_loses_nothing_that_has_its_name(
    series: Series, target: Target, tmp_path: Path
) -> None:
    def refuse(_segment: Segment) -> None:
        raise OSError("no")

    run = Run(target, series, chunk(0, 3), chunk(1, 2), on_segment=refuse)
    assert isinstance(run.rotation.error, FastcapError)
    assert sum(found(tmp_path)) == run.written
    assert run.written >= 3


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_directory_that_cannot_be_synced_loses_no_frames(
    series: Series, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sync = os.fsync

    def refuse(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))
        sync(fd)

    monkeypatch.setattr(os, "fsync", refuse)
    run = Run(target, series, chunk(0, 3), chunk(1, 2))
    assert (run.error, run.written, found(tmp_path)) == ("", 5, [3, 2])
    assert len(run.notes) == (0 if number == errno.EINVAL else 2)  # some file systems never can
