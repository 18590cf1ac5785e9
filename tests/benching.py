"""What the tests of `fastcap bench` share: running it, and reading what it prints."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastcap.bench.report import number

FASTCAP = [sys.executable, "-m", "fastcap"]
BENCH = [*FASTCAP, "bench"]


def bench(*words: object, status: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs it and checks its exit status; on a failure, that it says so in plain lines."""
    done = subprocess.run(
        [*BENCH, *map(str, words)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if status in (1, 2):
        assert done.stderr.startswith("fastcap: ")
        assert done.stdout == ""
    return done


def told(*words: object, **options: Any) -> dict[str, Any]:
    """The same with --json."""
    result: dict[str, Any] = json.loads(bench(*words, "--json", **options).stdout)
    return result


def tables_of(markdown: str) -> list[list[list[str]]]:
    """The cells of every table, without the line of dashes; all rows have as many as the head."""
    found: list[list[list[str]]] = []
    before = ""
    for line in markdown.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split(" | ")])
        before = line
    for rows in found:
        assert {len(row) for row in rows} == {len(rows[0])}
        assert set("".join(rows[1])) <= set("-: ")
        del rows[1]
    return found


def assert_shows(text: str, figures: dict[str, Any]) -> None:
    """Every figure of a table in JSON stands in the text."""
    for name, value in figures.items():
        assert number(value) in text, name


def with_a_file(folder: Path) -> Path:
    """A directory in it, in which somebody has a file."""
    place = folder / "data"
    place.mkdir()
    (place / "precious").write_text("precious")
    return place


def assert_untouched(folder: Path) -> None:
    assert os.listdir(folder) == ["precious"]
    assert (folder / "precious").read_text() == "precious"


def captures(folder: Path) -> list[Path]:
    """Of a bench that runs."""
    return [*folder.glob(".fastcap-bench-*/*bench_*")]


def used(folder: Path) -> int:
    """Bytes of these, all of which were there at once."""
    while True:
        before = set(captures(folder))
        try:
            size = sum(path.lstat().st_size for path in before)
        except FileNotFoundError:
            continue
        if set(captures(folder)) == before:
            return size


def looks(seconds: float = 60) -> Iterator[bool]:
    """At what goes on, every 5 ms; whether it was looked at often enough, unless what must be seen
    has not come yet. It ends when that takes too long."""
    until = time.monotonic() + seconds
    for look in itertools.count(1):
        yield look >= 200
        if look >= 200 and time.monotonic() > until:
            return
        time.sleep(0.005)


def most_used_while_it_rotates(folder: Path) -> tuple[int, set[str]]:
    """The most bytes that its captures have at once, and the numbers of the finished ones that were
    seen, which are more than three unless that takes too long."""
    most, numbers = 0, set[str]()
    for often_enough in looks():
        most = max(most, used(folder))
        names = [path.name for path in captures(folder)]
        numbers |= {name.split("_")[1] for name in names if not name.startswith(".")}
        if often_enough and len(numbers) > 3:
            break
    return most, numbers


def wait_until_it_writes(folder: Path, process: subprocess.Popen[str]) -> None:
    while used(folder) == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def ctrl_c_leaves_nothing(folder: Path, rng: random.Random, *words: object) -> None:
    """Of a bench that has its files in the temporary directory, at moments of all of its work."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    for _ in range(12):
        process = subprocess.Popen(
            [*BENCH, *map(str, words)], env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGINT)
        time.sleep(rng.choice((0, 0.001, 0.05)))
        process.send_signal(signal.SIGINT)  # as sudo and timeout do, and people who wait
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert os.listdir(folder) == []
