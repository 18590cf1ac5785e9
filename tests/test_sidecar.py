"""The JSON beside a file: complete or not there, and what it proves about its file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import fastcap
from fastcap import sidecar
from fastcap.segments import Segment, Span
from tests import pcaps
from tests.pcaps import Frame

NOON = 1_795_262_400 * 10**9  # 2026-11-21 12:00:00 UTC
FRAMES = [Frame(NOON + i * 10**9, 60, bytes([i]) * 40) for i in range(10)]


@pytest.fixture
def capture(tmp_path: Path) -> str:
    """A file of ten seconds, and its JSON."""
    path = pcaps.write(tmp_path / "net1.pcap", pcaps.capture(FRAMES, nanoseconds=True))
    span = Span(len(FRAMES), FRAMES[0].time, FRAMES[-1].time)
    sidecar.write(path, Segment(path, os.path.getsize(path), span).as_json())
    return path


def change(capture: str, **fields: Any) -> None:
    record = json.loads(Path(sidecar.path_of(capture)).read_text())
    sidecar.write(capture, {**record, **fields})


def frames(capture: str, **selection: Any) -> int:
    return fastcap.filter_files("", [capture], **selection).frames_matched


def test_it_is_private_and_replaces_what_belonged_to_a_file_that_is_gone(capture: str) -> None:
    path = Path(sidecar.path_of(capture))
    assert path.stat().st_mode & 0o777 == 0o640
    Path(sidecar.temporary_of(capture)).write_text("left by a capture that was killed")
    sidecar.write(capture, {"frames": 1})
    assert json.loads(path.read_text()) == {"frames": 1}
    assert sorted(os.listdir(path.parent)) == ["net1.pcap", "net1.pcap.json"]


def test_what_cannot_be_written_leaves_nothing(capture: str, tmp_path: Path) -> None:
    before = Path(sidecar.path_of(capture)).read_bytes()
    with pytest.raises(TypeError):
        sidecar.write(capture, {"frames": object()})
    assert Path(sidecar.path_of(capture)).read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["net1.pcap", "net1.pcap.json"]


@pytest.mark.parametrize(
    ("selection", "is_read"),
    [
        ({"since": NOON + 9 * 10**9}, True),  # the last frame's time
        ({"since": NOON + 9 * 10**9 + 1}, False),
        ({"until": NOON + 1}, True),
        # a file of microseconds may say that a frame is up to 999 ns earlier
        ({"until": NOON - 999}, True),
        ({"until": NOON - 1_000}, False),
        ({}, True),
    ],
)
def test_a_file_outside_the_time_is_not_read_and_that_is_told(
    capture: str, selection: dict[str, Any], is_read: bool
) -> None:
    result = fastcap.filter_files("", [capture], **selection)
    (report,) = result.inputs
    assert report.frames_read == (10 if is_read else 0)
    assert [note for note in result.notes if "not read" in note] == (
        [] if is_read else [f"{capture}: not read, for the JSON beside it says that its frames are "
                            "of another time"]
    )  # fmt: skip


LATER = NOON + 10**12


@pytest.mark.parametrize(
    "fields",
    [
        {"bytes": 7},
        {"bytes": None},
        {"first_ns": None},
        {"first_ns": "x", "last_ns": "x"},
        {"last_ns": 1.5},
        {"frames": 0},
        {"frames": "many"},
    ],
)
def test_json_that_proves_nothing_is_passed_by(capture: str, fields: dict[str, Any]) -> None:
    assert frames(capture, until=NOON + 10**9) == 1
    change(capture, first_ns=LATER, last_ns=LATER)
    assert frames(capture, until=NOON + 10**9) == 0  # it is believed
    change(capture, **fields)
    assert frames(capture, until=NOON + 10**9) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"frames": 1}', "\udcff\udcfe"])
def test_what_is_no_json_of_ours_is_passed_by(capture: str, text: str) -> None:
    Path(sidecar.path_of(capture)).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert frames(capture, until=NOON + 10**9) == 1


def test_a_file_that_was_written_later_than_its_json_is_read(capture: str) -> None:
    change(capture, first_ns=LATER, last_ns=LATER)
    assert frames(capture, until=NOON + 10**9) == 0
    now = os.stat(sidecar.path_of(capture)).st_mtime_ns
    os.utime(capture, ns=(now + 1, now + 1))
    assert frames(capture, until=NOON + 10**9) == 1


def test_other_inputs_are_read_all_the_same(capture: str, tmp_path: Path) -> None:
    other = pcaps.write(tmp_path / "net2.pcap", pcaps.capture(FRAMES, nanoseconds=True))
    change(capture, first_ns=LATER, last_ns=LATER)
    result = fastcap.filter_files(
        "", [other, capture, other], str(tmp_path / "out.pcap"), until=NOON + 2 * 10**9
    )
    assert [report.frames_read for report in result.inputs] == [10, 0, 10]
    assert pcaps.read((tmp_path / "out.pcap").read_bytes()) == FRAMES[:2] * 2
