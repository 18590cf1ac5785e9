"""Events: a line of JSON each, which never holds up who tells them."""

from __future__ import annotations

import errno
import json
import os
import socket
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
    again, missing = notes[1].rsplit(" ", 1)
    assert again == f"{path}: written again; events missing there:"
    assert 0 < int(missing.replace(",", "")) < 2_000
    os.close(reader)
    events.close()


def test_a_file_that_is_moved_away_is_made_again(tmp_path: Path) -> None:
    """As logrotate does."""
    path = tmp_path / "events"
    events = Events(str(path), pytest.fail)
    events.add("first")
    path.rename(tmp_path / "events.1")
    events.add("second")
    path.unlink()
    events.add("third")
    events.close()
    assert [line["event"] for line in lines(tmp_path / "events.1")] == ["first"]
    assert [line["event"] for line in lines(path)] == ["third"]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_nobody_reads_holds_up_nothing_where_the_open_file_is_shared(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As standard output is that only another user could open, or a socket of systemd's."""
    one, other = os.pipe() if kind == "pipe" else (end.detach() for end in socket.socketpair())
    before, open_file = os.dup(1), os.open

    def refuse(path: str, *words: int) -> int:
        if path == "/dev/stdout" and kind == "pipe":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_file(path, *words)

    monkeypatch.setattr(os, "open", refuse)
    notes: list[str] = []
    try:
        os.dup2(other, 1)
        events = Events("-", notes.append)
    finally:
        os.dup2(before, 1)
        os.close(before)
    for _ in range(300):  # each longer than a pipe's page
        events.add("file", text="x" * 5_000)
    assert len(notes) == 1
    assert notes[0].startswith("standard output: ")
    assert json.loads(os.read(one, 5_200).splitlines()[0])["event"] == "file"
    events.close()
    os.close(one)
    os.close(other)


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
    assert notes == [
        f"{path}: no room for all of a line: events are missing there",
        f"{path}: written again; events missing there: 1",
    ]
