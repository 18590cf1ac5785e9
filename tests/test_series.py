"""The files of one stem: names, the lock, what a killed capture left behind."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import fastcap.series
from fastcap.errors import InputError, OutputError
from fastcap.formats import pcapng
from fastcap.segments import Segment, Span
from fastcap.series import BARE, Finished, Series, end_at_last_record
from tests import pcaps
from tests.pcaps import Frame

NOON = 1_795_262_400 * 10**9  # 2026-11-21 12:00:00 UTC
FRAMES = [Frame(NOON + i * 10**9, 60, bytes([i]) * 40) for i in range(10)]


def write(folder: Path, name: str, data: bytes = b"") -> None:
    (folder / name).write_bytes(data)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def recover(series: Series) -> list[str]:
    notes: list[str] = []
    series.recover(notes.append)
    return notes


def test_a_name_holds_the_sequence_and_the_time_of_the_first_frame(tmp_path: Path) -> None:
    series = Series(str(tmp_path / "net1.pcap"))
    assert series.name(7, NOON) == str(tmp_path / "net1_00000007_20261121T120000Z.pcap")
    assert series.name(123456789, NOON).endswith("net1_123456789_20261121T120000Z.pcap")
    assert series.name(BARE, NOON) == str(tmp_path / "net1.pcap")
    series.close()


def test_a_stem_in_the_current_directory_without_a_suffix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    series = Series("net1")
    write(tmp_path, "net1_00000003_20261121T120000Z")
    assert series.finished() == [(3, "net1_00000003_20261121T120000Z")]
    assert series.next_sequence() == 4
    series.close()
    assert names(tmp_path) == ["net1_00000003_20261121T120000Z"]


def test_the_sequence_goes_on_from_the_highest_that_is_there(tmp_path: Path) -> None:
    for name in (
        "net1_00000009_20261121T120000Z.pcap",
        "net1_00000041_20251121T120000Z.pcap",
        ".net1_00000042.pcap.capturing",
        "net1_00000099.pcap",  # not ours: no time
        "net10_00000100_20261121T120000Z.pcap",  # another stem
        "net1_00000101_20261121T120000Z.pcap.gz",
        "Xnet1_00000102_20261121T120000Z.pcap",
    ):
        write(tmp_path, name)
    series = Series(str(tmp_path / "net1.pcap"))
    assert series.next_sequence() == 43
    assert [sequence for sequence, _ in series.finished()] == [9, 41]
    series.close()


def test_the_newest_files_are_kept_and_nobody_elses_are_touched(tmp_path: Path) -> None:
    for number in (1, 2, 3, 10):
        write(tmp_path, f"net1_{number:08}_20261121T120000Z.pcap")
        write(tmp_path, f"net1_{number:08}_20261121T120000Z.pcap.json")
    others = [
        "net1.pcap",
        "net1.pcap.json",
        "net1_00000001.pcap",
        "net2_00000001_20261121T120000Z.pcap",
    ]
    for name in others:
        write(tmp_path, name)
    series = Series(str(tmp_path / "net1.pcap"))
    series.delete_oldest(2)
    series.close()
    kept = [f"net1_{number:08}_20261121T120000Z.pcap" for number in (3, 10)]
    kept += [f"{name}.json" for name in kept]
    assert names(tmp_path) == sorted(others + kept)


def test_what_is_deleted_is_told_with_the_numbers_of_its_json(tmp_path: Path) -> None:
    told: list[object] = []
    series = Series(str(tmp_path / "net1.pcap"), on_deleted=lambda *what: told.append(what))
    paths = [tmp_path / f"net1_0000000{i}_20261121T120000Z.pcap" for i in range(1, 7)]
    for path in paths:
        path.touch()
    record = {"path": "x", "frames": 3, "bytes": 400, "first_ns": 5, "last_ns": 7, "account": {}}
    Path(f"{paths[0]}.json").write_text(json.dumps(record))
    Path(f"{paths[1]}.json").write_text('{"frames": 3')
    os.mkfifo(f"{paths[2]}.json")
    (tmp_path / "elsewhere").write_text(json.dumps(record))
    Path(f"{paths[3]}.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{paths[4].name}.json").mkdir()  # which nobody deletes
    nothing = dict.fromkeys(("frames", "bytes", "first_ns", "last_ns"))
    numbers = {"frames": 3, "bytes": 400, "first_ns": 5, "last_ns": 7}
    assert series.delete_oldest_one("full")
    assert told.pop() == (str(paths[0]), numbers, "full")
    refused = series.delete_oldest(1)
    assert told == [(str(path), nothing, "files") for path in paths[1:4]]
    assert [path for path, _ in refused] == [str(paths[4])]
    series.close()


def test_what_somebody_else_took_meanwhile_is_not_told_as_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    series = Series(str(tmp_path / "net1.pcap"), on_deleted=lambda *what: told.append(what))
    gone = Finished(1, str(tmp_path / "net1_00000001_20261121T120000Z.pcap"))
    monkeypatch.setattr(series, "finished", lambda: [gone])
    assert series.delete_oldest_one("full")
    assert told == []
    series.close()


def test_one_stem_has_one_writer_and_the_lock_is_gone_with_it(tmp_path: Path) -> None:
    path = str(tmp_path / "net1.pcap")
    series = Series(path)
    with pytest.raises(OutputError, match=f"another capture writes there, process {os.getpid()}"):
        Series(path)
    other = Series(str(tmp_path / "net2.pcap"))
    other.close()
    series.close()
    assert names(tmp_path) == []
    Series(path).close()


def test_the_lock_of_a_killed_capture_is_no_obstacle(tmp_path: Path) -> None:
    path = str(tmp_path / "net1.pcap")
    code = (
        "import os; from fastcap.series import Series\n"
        f"series = Series({path!r}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert names(tmp_path) == [".net1.pcap.lock"]
    Series(path).close()
    assert names(tmp_path) == []


def test_a_name_that_gets_too_long_with_number_and_time_is_refused(tmp_path: Path) -> None:
    longest = 255 - len("_00000001_20261121T120000Z") - len("..json")
    for name in ("x" * longest, "x" * (longest - 5) + ".pcap", "é" * (longest // 2)):
        series = Series(str(tmp_path / name))
        write(tmp_path, os.path.basename(series.name(1, NOON)))
        write(tmp_path, os.path.basename(series.temporary(1)))
        series.close()
    before = names(tmp_path)
    for name in ("x" * (longest + 1), "é" * (longest // 2 + 1)):
        with pytest.raises(OutputError, match="255 are allowed; choose a shorter one"):
            Series(str(tmp_path / name))
    assert names(tmp_path) == before


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory; create the directory first"):
        Series(str(tmp_path / "nope" / "net1.pcap"))


@pytest.mark.parametrize("cut", range(57))  # a record of these is 56 bytes
def test_an_unfinished_file_ends_at_its_last_whole_record(tmp_path: Path, cut: int) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    write(tmp_path, "x", data[: len(data) - cut])
    whole = 10 - (cut + 55) // 56
    length, span = end_at_last_record(str(tmp_path / "x"))
    assert pcaps.read((tmp_path / "x").read_bytes()) == FRAMES[:whole]
    assert length == (tmp_path / "x").stat().st_size
    assert span == Span(whole, NOON, NOON + (whole - 1) * 10**9)


def test_a_hole_that_a_power_cut_left_is_no_record(tmp_path: Path) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    write(tmp_path, "x", data + bytes(4096))
    length, span = end_at_last_record(str(tmp_path / "x"))
    assert (length, span.frames) == (len(data), 10)


def test_what_a_killed_capture_left_gets_its_name_and_is_told(tmp_path: Path) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    write(tmp_path, "net1_00000004_20261121T115900Z.pcap", data)
    write(tmp_path, ".net1_00000005.pcap.capturing", data[:-1])
    write(tmp_path, ".net1_00000006.pcap.capturing", data[:24])
    write(tmp_path, ".net1_00000007.pcap.capturing", b"")
    series = Series(str(tmp_path / "net1.pcap"))
    notes = recover(series)
    series.close()
    assert len(notes) == 3
    assert "9 frames are whole, 55 bytes behind them cut off" in notes[0]
    assert "without a frame: removed" in notes[1]
    assert "without a frame: removed" in notes[2]
    recovered = "net1_00000005_20261121T120000Z.pcap"
    before = "net1_00000004_20261121T115900Z.pcap"
    assert names(tmp_path) == [before, recovered, f"{recovered}.json"]
    told = json.loads((tmp_path / f"{recovered}.json").read_text())
    assert (told["frames"], told["first_ns"], told["recovered"]) == (9, NOON, True)
    assert pcaps.read((tmp_path / recovered).read_bytes()) == FRAMES[:-1]


def test_json_that_was_not_complete_is_removed(tmp_path: Path) -> None:
    write(tmp_path, ".net1_00000004_20261121T115900Z.pcap.json")
    others = [
        ".net1.pcap.json",
        ".net1_00000004.pcap.json",
        ".net2_00000004_20261121T115900Z.pcap.json",
    ]
    for name in others:
        write(tmp_path, name)
    series = Series(str(tmp_path / "net1.pcap"))
    assert recover(series) == []
    series.close()
    assert names(tmp_path) == sorted(others)


@pytest.mark.parametrize(
    ("sequence", "name"), [(BARE, "net1.pcap"), (5, "net1_00000005_20261121T120000Z.pcap")]
)
def test_a_file_that_has_both_its_names_keeps_the_final_one(
    tmp_path: Path, sequence: int, name: str
) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    write(tmp_path, name, data)
    os.link(tmp_path / name, tmp_path / f".net1_{sequence:08}.pcap.capturing")
    series = Series(str(tmp_path / "net1.pcap"))
    (note,) = recover(series)
    series.close()
    assert f"a second name of {tmp_path / name}: removed" in note
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == data


def make_special(path: Path, kind: str) -> None:
    if kind == "link":
        path.symlink_to("mine")
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "FIFO", "directory"])
def test_a_lock_that_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    write(tmp_path, "mine", b"my letters")
    make_special(tmp_path / ".net1.pcap.lock", kind)
    with pytest.raises(OutputError, match=r"\.net1\.pcap\.lock: no regular file"):
        Series(str(tmp_path / "net1.pcap"))
    assert (tmp_path / "mine").read_bytes() == b"my letters"


@pytest.mark.parametrize("kind", ["link", "FIFO", "directory"])
def test_a_leftover_that_is_no_regular_file_is_left(tmp_path: Path, kind: str) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)[:-1]
    write(tmp_path, "mine", data)
    make_special(tmp_path / ".net1_00000005.pcap.capturing", kind)
    series = Series(str(tmp_path / "net1.pcap"))
    (note,) = recover(series)
    series.close()
    assert "left as it is" in note
    assert "no regular file" in note
    assert (tmp_path / "mine").read_bytes() == data
    assert names(tmp_path) == [".net1_00000005.pcap.capturing", "mine"]


@pytest.mark.parametrize("sequence", [BARE, 5])
@pytest.mark.parametrize("problem", ["read", "open", "header"])
def test_what_cannot_be_read_is_left_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str, sequence: int
) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    data = bytes(24) + data[24:] if problem == "header" else data
    write(tmp_path, f".net1_{sequence:08}.pcap.capturing", data)

    def fail(*_: object) -> None:
        raise InputError("Input/output error") if problem == "read" else OSError(5, "I/O error")

    if problem == "read":
        monkeypatch.setattr(fastcap.series, "run_task", fail)
    elif problem == "open":
        monkeypatch.setattr(fastcap.series, "end_at_last_record", fail)
    series = Series(str(tmp_path / "net1.pcap"))
    (note,) = recover(series)
    assert f".net1_{sequence:08}.pcap.capturing: left by a capture that was killed" in note
    left = ".net1_00000005.pcap.capturing" if sequence else ".net1_00000001.pcap.capturing"
    assert f"left as it is, in {tmp_path / left}: " in note
    assert (tmp_path / left).read_bytes() == data
    assert not os.path.exists(series.temporary(BARE))
    assert series.next_sequence() == (sequence or 1) + 1
    series.close()


def test_an_unfinished_file_with_the_bare_name_becomes_the_next_of_the_series(
    tmp_path: Path,
) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    write(tmp_path, ".net1_00000000.pcap.capturing", data)
    write(tmp_path, "net1_00000002_20261121T110000Z.pcap", data)
    series = Series(str(tmp_path / "net1.pcap"))
    (note,) = recover(series)
    series.close()
    assert "now " + str(tmp_path / "net1_00000003_20261121T120000Z.pcap") in note
    assert len(names(tmp_path)) == 3


def test_what_was_ended_is_told_although_the_next_cannot_be(tmp_path: Path) -> None:
    data = pcaps.capture(FRAMES, nanoseconds=True)
    write(tmp_path, ".net1_00000005.pcap.capturing", data)
    write(tmp_path, ".net1_00000006.pcap.capturing", data)
    write(tmp_path, "net1_00000006_20261121T120000Z.pcap", b"theirs")
    series = Series(str(tmp_path / "net1.pcap"))
    notes: list[str] = []
    with pytest.raises(OutputError):
        series.recover(notes.append)
    series.close()
    assert len(notes) == 1
    assert "10 frames are whole" in notes[0]


def test_a_name_that_is_taken_is_not_replaced(tmp_path: Path) -> None:
    series = Series(str(tmp_path / "net1.pcap"))
    write(tmp_path, ".net1_00000001.pcap.capturing", b"ours")
    write(tmp_path, "net1_00000001_20261121T120000Z.pcap", b"theirs")
    with pytest.raises(FileExistsError):
        series.segment(1, 4, Span(1, NOON, NOON))
    with pytest.raises(FileExistsError):
        series.publish(1, Segment(str(tmp_path / "net1_00000001_20261121T120000Z.pcap"), 4, Span()))
    series.close()
    assert (tmp_path / "net1_00000001_20261121T120000Z.pcap").read_bytes() == b"theirs"


# ---- pcapng -------------------------------------------------------------------------------------


def block(kind: int, body: bytes) -> bytes:
    length = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + length + body + length


def blocks(*, nanoseconds: bool) -> list[bytes]:
    """A header, ten frames a second apart, statistics."""
    header = pcapng.header(
        1, 80, interface="v0", nanoseconds=nanoseconds, expression="tcp port 443",
        application="fastcap", system="Linux",
    )  # fmt: skip
    frames = []
    for frame in FRAMES:
        ticks = frame.time if nanoseconds else frame.time // 1000
        numbers = (0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame.data), frame.wire)
        frames.append(block(6, struct.pack("=5I", *numbers) + frame.data))
    statistics = pcapng.statistics(
        1, 2, nanoseconds=nanoseconds, received=None, missed=0, accepted=10, dropped=0,
        delivered=10, comment="a" * 200,
    )  # fmt: skip
    assert len(statistics) <= pcapng.LONGEST_STATISTICS
    return [header, *frames, statistics]


@pytest.mark.parametrize("nanoseconds", [True, False])
def test_a_torn_pcapng_ends_at_its_last_whole_block(tmp_path: Path, nanoseconds: bool) -> None:
    parts = blocks(nanoseconds=nanoseconds)
    whole = b"".join(parts)
    for length in [*range(len(parts[0]), len(whole), 7), len(whole)]:
        write(tmp_path, "torn", whole[:length])
        kept, span = end_at_last_record(str(tmp_path / "torn"))
        ends = [len(b"".join(parts[:count])) for count in range(1, len(parts) + 1)]
        assert kept == max(end for end in ends if end <= length)
        assert (tmp_path / "torn").read_bytes() == whole[:kept]
        assert span.frames == min(10, ends.index(kept))
        if span.frames:
            assert (span.first_ns, span.last_ns) == (NOON, NOON + (span.frames - 1) * 10**9)


def test_a_pcapng_of_several_pieces_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastcap.series, "_PIECE", 300)
    whole = b"".join(blocks(nanoseconds=True))
    write(tmp_path, "x", whole + b"torn")
    assert end_at_last_record(str(tmp_path / "x"))[0] == len(whole)


def test_a_pcapng_that_is_not_ours_stays_as_it_is(tmp_path: Path) -> None:
    foreign = b"\x0a\x0d\x0d\x0a\x00\x00\x00\x1c\x1a\x2b\x3c\x4d" + bytes(100)
    write(tmp_path, "x", foreign)
    with pytest.raises(InputError, match="none that fastcap writes"):
        end_at_last_record(str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == foreign
