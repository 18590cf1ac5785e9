"""A capture whose disk cannot take frames: what can wait waits, what cannot is counted as lost,
every file is whole, and no frame is anywhere twice."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import fastcap.disk
import fastcap.rotation
from fastcap._native.cancel import Cancel
from fastcap._native.writer import NativeWriter
from fastcap.disk import Disk
from fastcap.errors import OutputError
from fastcap.outputs import target_of
from fastcap.rotation import Rotation
from fastcap.series import Series
from tests import pcaps
from tests.pcaps import Frame
from tests.test_rotation import NOON, FakeChunk, FakeNative

HEADER = 24
SIZE = 60


def frames_of(first: int, count: int) -> list[Frame]:
    return [
        Frame(NOON + i * 1000, SIZE, i.to_bytes(4, "big") * 15) for i in range(first, first + count)
    ]


class Stream:
    """The chunks of files, cut anywhere: what one writes after the other is the files."""

    def __init__(self, *, files: int, frames: int, cuts: Callable[[int], list[int]]) -> None:
        self.chunks: list[FakeChunk] = []
        self.frames = files * frames
        for file in range(files):
            data = pcaps.capture(frames_of(file * frames, frames), nanoseconds=True)
            places = [0, *cuts(len(data)), len(data)]
            for start, stop in itertools.pairwise(places):
                self._add(file, data, start, stop)

    def _add(self, file: int, data: bytes, start: int, stop: int) -> None:
        record = 16 + SIZE
        chunk = FakeChunk(data[start:stop])
        chunk.file, chunk.ends = file, stop == len(data)
        chunk.head = -(start - HEADER) % record if start >= HEADER else 0
        chunk.tail = (stop - HEADER) % record
        ended = (stop - HEADER) // record
        before = max(0, start - HEADER) // record
        chunk.frames = ended - before
        chunk.first_ns = chunk.last_ns = NOON
        self.chunks.append(chunk)


class Trouble:
    """Writes that fail: number `numbers` of all, counted from 0, some bytes of each first."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *numbers: int, code: int = errno.ENOSPC
    ) -> None:
        self.left = set(numbers)
        self.count = -1
        trouble = self

        class Writer:
            def __init__(self, fd: int, cancel: Cancel) -> None:
                self.fd, self.native = fd, NativeWriter(fd, cancel)
                self.rewind = self.native.rewind

            @property
            def length(self) -> int:
                return self.native.length

            def write(self, data: memoryview) -> None:
                trouble.count += 1
                if trouble.count in trouble.left:
                    os.write(self.fd, data[: len(data) // 2])
                    raise OSError(code, os.strerror(code))
                self.native.write(data)

        monkeypatch.setattr(fastcap.rotation, "NativeWriter", Writer)
        monkeypatch.setattr(fastcap.disk, "_PAUSE", 0)


class Run:
    """A rotation over a stream to its end; `patience` tries are made of each chunk."""

    def __init__(
        self, series: Series, stream: Stream, *, patience: int = 0,
        chunks: Sequence[FakeChunk | Callable[[], object]] = (), **settings: Any
    ) -> None:  # fmt: skip
        self.notes: list[str] = []
        native: Any = FakeNative(*(chunks or stream.chunks))
        tries = iter(range(1, 1_000_000))
        self.settings = {"stops": False, "deletes": False, "keep": None, **settings}
        disk = Disk(
            series, **self.settings, on_note=self.notes.append,
            has_time=lambda: next(tries) % (patience + 1) != 0,
        )  # fmt: skip
        self.segments: list[Any] = []
        self.rotation = Rotation(
            native, series, target_of(series.path), Cancel(), bare=False, keep=None,
            header=pcaps.capture([], nanoseconds=True), on_segment=self.segments.append,
            on_note=self.notes.append, disk=disk,
        )  # fmt: skip
        thread = threading.Thread(target=self.rotation.run, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), "it hangs"
        assert all(chunk.given_back == 1 for chunk in stream.chunks)
        counts = self.rotation.counts
        self.written, self.lost = counts.written, counts.lost
        assert self.written + self.lost == stream.frames


@pytest.fixture
def series(tmp_path: Path) -> Iterator[Series]:
    series = Series(str(tmp_path / "net1.pcap"))
    yield series
    series.close()


def kept(folder: Path) -> list[int]:
    """The frames of all files, which are whole; nothing hidden is left."""
    names = sorted(name for name in os.listdir(folder) if name != ".net1.pcap.lock")
    assert not [name for name in names if name.startswith(".")]
    names = [name for name in names if not name.endswith(".json")]
    frames = [frame for name in names for frame in pcaps.read((folder / name).read_bytes())]
    numbers = [int.from_bytes(frame.data[:4], "big") for frame in frames]
    assert numbers == sorted(set(numbers))
    return numbers


def even(parts: int) -> Callable[[int], list[int]]:
    return lambda length: [length * i // parts for i in range(1, parts)]


def test_without_trouble_all_is_written(series: Series, tmp_path: Path) -> None:
    run = Run(series, Stream(files=3, frames=100, cuts=even(7)))
    assert kept(tmp_path) == list(range(300))
    assert (run.lost, run.notes, run.rotation.error) == (0, [], None)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_what_can_wait_is_not_lost(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    Trouble(monkeypatch, 0, 1, 5, 9, 10, 11, 20, code=code)
    run = Run(series, Stream(files=3, frames=100, cuts=even(7)), patience=10)
    assert kept(tmp_path) == list(range(300))
    assert (run.lost, run.rotation.error) == (0, None)
    began = [note for note in run.notes if "frames wait in memory" in note]
    again = [note for note in run.notes if "written again after" in note]
    assert len(began) == len(again) == 4
    assert all(os.strerror(code) in note for note in began)
    assert all("; 0 frames were lost" in note for note in again)


def test_what_cannot_wait_is_lost_and_nothing_else(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write but one in turn, and any two: the one record that lies in two chunks goes with
    the chunk that is lost."""
    stream = Stream(files=2, frames=50, cuts=even(5))
    writes = len(stream.chunks)
    for first in range(writes):
        for second in range(first, writes):
            for path in tmp_path.glob("net1_*"):
                path.unlink()
            monkeypatch.undo()
            Trouble(monkeypatch, first, second)
            for chunk in stream.chunks:
                chunk.given_back = 0
            run = Run(series, stream)
            found = kept(tmp_path)
            assert len(found) == run.written, (first, second)
            most = max(chunk.frames for chunk in stream.chunks) + 1
            assert 0 < run.lost <= 2 * most, (first, second)


def test_random_trouble_leaves_whole_files_and_an_exact_account(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: Any
) -> None:
    for _ in range(60):
        for path in tmp_path.glob("net1_*"):
            path.unlink()

        def cuts(length: int) -> list[int]:
            """A chunk is no shorter than a record."""
            places, found = sorted(rng.sample(range(1, length), min(length - 1, 9))), [0]
            for place in places:
                if place - found[-1] >= 100 <= length - place:
                    found.append(place)
            return found[1:]

        stream = Stream(files=rng.randrange(1, 5), frames=rng.randrange(1, 60), cuts=cuts)
        monkeypatch.undo()
        Trouble(monkeypatch, *(number for number in range(60) if rng.random() < 0.4))
        run = Run(series, stream, patience=rng.randrange(3))
        assert len(kept(tmp_path)) == run.written
        assert sum(segment.span.frames for segment in run.segments) == run.written


def test_a_full_disk_costs_the_oldest_files_where_that_is_asked(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        (tmp_path / f"net1_{number:08}_20261121T120000Z.pcap").write_text("old")
        (tmp_path / f"net1_{number:08}_20261121T120000Z.pcap.json").write_text("{}")
    other = tmp_path / "mine.pcap"
    other.write_text("mine")
    Trouble(monkeypatch, 1, 2)
    run = Run(series, Stream(files=1, frames=100, cuts=even(4)), deletes=True)
    assert (run.lost, run.written) == (0, 100)
    assert other.read_text() == "mine"
    names = sorted(path.name for path in tmp_path.glob("net1_*"))
    assert [name[:13] for name in names] == ["net1_00000003"]


def test_room_is_kept_free(series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"net1_{number:08}_20261121T120000Z.pcap").write_text("old")
    monkeypatch.setattr(
        Disk, "_free", lambda _: 884 + 10 * (3 - len(list(tmp_path.glob("*T120000Z.pcap"))))
    )
    Run(series, Stream(files=1, frames=10, cuts=even(1)), keep=120)  # and 784 are written
    assert len(list(tmp_path.glob("*T120000Z.pcap"))) == 1 + 1  # one old one, and ours


def test_where_nothing_is_left_to_delete_that_is_told_once(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "_free", lambda _: 0)
    run = Run(series, Stream(files=1, frames=100, cuts=even(5)), keep=1 << 20)
    assert run.written == 100
    assert run.notes == [
        f"{series.path}: 0 MiB are free, 1 should be, and there is no finished file of it left to "
        "delete"
    ]


def test_a_capture_that_is_to_stop_stops(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(monkeypatch, 2)
    run = Run(series, Stream(files=1, frames=100, cuts=even(5)), stops=True, keep=1)
    assert "No space left on device" in str(run.rotation.error)
    assert len(kept(tmp_path)) == run.written < 100


class NoNames:
    """Files get no names; these times of asking, counted from 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, series: Series, times: range) -> None:
        publish, calls = series.publish, itertools.count()

        def fail(*words: Any) -> None:
            if next(calls) in times:
                raise OSError(errno.EACCES, "Permission denied")
            publish(*words)

        monkeypatch.setattr(series, "publish", fail)
        monkeypatch.setattr(fastcap.rotation, "_RETRY", 0.01)


def test_a_file_that_cannot_be_named_is_named_when_that_works_again(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    NoNames(monkeypatch, series, range(1, 3))
    run = Run(series, Stream(files=3, frames=50, cuts=even(4)))
    assert (run.written, run.lost, run.rotation.error) == (150, 0, None)
    hidden = tmp_path / ".net1_00000002.pcap.capturing"
    assert run.notes[0] == f"{hidden}: Permission denied: it gets its name when that works again"
    assert "named after" in run.notes[1]
    assert kept(tmp_path) == list(range(150))


def test_files_that_have_no_name_in_the_end_count_as_lost_and_stay(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    NoNames(monkeypatch, series, range(1, 1_000_000))
    run = Run(series, Stream(files=3, frames=50, cuts=even(4)))
    assert (run.written, run.lost, run.rotation.error) == (50, 100, None)
    hidden = [tmp_path / f".net1_0000000{number}.pcap.capturing" for number in (2, 3)]
    told = [(note.partition(": ")[0], note.partition("; its ")[2]) for note in run.notes[1:]]
    assert told == [(str(path), "frames count as lost") for path in hidden]
    monkeypatch.undo()
    series.recover(lambda _: None)
    assert kept(tmp_path) == list(range(150))


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_a_file_that_is_taken_away_while_it_is_written_is_lost_and_the_rest_goes_on(
    series: Series, tmp_path: Path, which: int
) -> None:
    """Also the one that is open before it is needed."""
    stream = Stream(files=2, frames=50, cuts=even(4))
    chunks: list[Any] = list(stream.chunks)

    def take_away() -> None:
        for path in tmp_path.glob(".*.capturing"):
            path.unlink()

    chunks.insert(which, take_away)
    run = Run(series, stream, chunks=chunks)
    gone = sum(chunk.frames for chunk in stream.chunks[:which])
    split = 1 if which else 0  # the record that lies in two chunks
    assert (run.lost, run.rotation.error) == (gone + split, None)
    assert kept(tmp_path) == list(range(gone + split, 100))
    assert [note for note in run.notes if "gone" in note] == [
        f"{tmp_path}/.net1_00000001.pcap.capturing: it is gone, and {gone} frames with it"
    ] * (which > 0)


def test_a_directory_that_is_taken_away_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    series = Series(str(folder / "net1.pcap"))
    stream = Stream(files=2, frames=50, cuts=even(4))
    chunks: list[Any] = list(stream.chunks)
    chunks.insert(2, lambda: shutil.rmtree(folder))
    pauses = itertools.count()

    def pause(_: float) -> None:
        if next(pauses) == 3:
            folder.mkdir()

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(time, "sleep", pause)
        run = Run(series, stream, chunks=chunks, patience=10)
    gone = sum(chunk.frames for chunk in stream.chunks[:2]) + 1
    assert (run.lost, run.rotation.error) == (gone, None)
    assert kept(folder) == list(range(gone, 100))
    with pytest.raises(OutputError, match="another capture writes there"):
        Series(str(folder / "net1.pcap"))
    series.close()
    assert not list(folder.glob(".*"))


def test_a_file_that_cannot_be_cut_waits_as_well(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(monkeypatch, 1)
    truncate, calls = os.ftruncate, itertools.count()

    def fail_twice(fd: int, length: int) -> None:
        if next(calls) < 2:
            raise OSError(errno.EROFS, "Read-only file system")
        truncate(fd, length)

    monkeypatch.setattr(os, "ftruncate", fail_twice)
    run = Run(series, Stream(files=1, frames=100, cuts=even(5)), patience=10)
    assert (run.lost, run.rotation.error) == (0, None)
    assert kept(tmp_path) == list(range(100))
