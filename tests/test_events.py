"""Events: a line of JSON each, which never holds up who tells them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fastcap.errors import OutputError
from fastcap.events import Events


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text('{"event": "before"}\n')
    events = Events(str(path), pytest.fail)
    events.add("file", frames=3)
    events.add("end")
    events.close()
    before, file, end = lines(path)
    assert before == {"event": "before"}
    assert (file["event"], file["frames"], end["event"]) == ("file", 3, "end")
    assert str(file["time"]).endswith("Z")


def test_a_fifo_waits_for_its_reader_and_survives_it(tmp_path: Path) -> None:
    path = tmp_path / "events"
    os.mkfifo(path)
    notes: list[str] = []
    events = Events(str(path), notes.append)
    events.add("first")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert json.loads(os.read(reader, 1000))["event"] == "first"
    os.close(reader)
    for _ in range(2_000):  # nobody reads: the FIFO is full at some time
        events.add("more", text="x" * 100)
    assert notes == [f"{path}: Resource temporarily unavailable: events are missing there"]
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    while len(os.read(reader, 65536)) == 65536:
        pass
    events.add("last")
    assert json.loads(os.read(reader, 1000))["event"] == "last"
    os.close(reader)
    events.close()


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the directory"):
        Events(str(tmp_path / "no" / "events"), pytest.fail)


def test_a_line_that_was_torn_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events"
    notes: list[str] = []
    events = Events(str(path), notes.append)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    events.add("torn")
    monkeypatch.undo()
    events.add("whole")
    events.close()
    torn, whole = path.read_text().splitlines()
    assert len(torn) == 10
    assert json.loads(whole)["event"] == "whole"
    assert notes == [f"{path}: no room for all of a line: events are missing there"]
