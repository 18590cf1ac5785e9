"""Whole commands beside their peers: fastcap, tcpdump, tshark and others, and cat and cp.

    python benches/compare_offline.py [--bytes 4G] [--runs 5] [--jobs 1,8] [--only TEXT]
                                      [--markdown FILE] [--plot FILE.svg]

Traffic comes from make_traffic.py and lies in the page cache; every tool reads the same files.
Before any time counts, results must agree: fastcap's output with tcpdump's, byte by byte, and the
counts of every file. Then the files are written again, and each question goes to each tool, in
turns, `--runs` times. Times are of whole commands, start-up included; outputs are files, and are
deleted between the runs. `--only` asks just the questions that contain a text, and checks no more
than they need.

tcpdump reads all files in one process (`-V LIST`): one process a file took as long, to within the
noise, when we compared them. As root it is told to stay root (`-Z root`), else it could not write.
Versions before 4.99 do not count (`--count`).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import filecmp
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if __package__ in {None, ""}:  # run as a file, only its own directory is on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benches import page_cache, plot
from benches.make_traffic import FILE_HEADER, FULL, PIECE, Traffic, make_traffic, size_of

FILES = 4
SETS: dict[str, int | None] = {"80": 80, "full": FULL}
SAMPLE_BYTES = 8 << 20  # for tshark, which dissects every frame: more would take minutes
COLD_AT_MOST = 0.01  # of a file that lies in memory
SMALL_PIECE = 128 << 10
TOUCHED_BYTES = 2 << 30  # more than any output that is timed
ADDRESS = "10.35.69.103"
HOST = f"host {ADDRESS}"
MOST = "tcp"  # 85 % of the frames
WEB = f"tcp port 443 and {HOST}"  # the dearest for libpcap
BLOBS = "two Blobs"
# name of a filter: what fastcap, and what tcpdump is asked
FILTERS = {
    BLOBS: (
        "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567",
        "ether[26:4]==0x0a234567 or ether[30:4]==0x0a234567",
    ),
    HOST: (HOST, HOST),
    WEB: (WEB, WEB),
    MOST: (MOST, MOST),
}
# Ten filters that keep 0.5 to 1 % of the frames each; some frames go to several outputs.
TEN = (
    HOST,
    f"src host {ADDRESS}",
    "net 10.64.0.0/17",
    "net 10.100.128.0/17",
    "net 150.0.0.0/9",
    "portrange 40000-40255",
    "udp port 22",
    "udp port 8080 and src net 10.64.0.0/10",
    "tcp src port 22 and dst net 10.64.0.0/12",
    "tcp dst port 53 and src net 10.96.0.0/12",
)
TEN_KEEP_AT_MOST = 0.02  # in a small file, chance moves 1 % to more
PCAPY = "pcapy-ng"  # a module of Python; every other tool is a program
FIND_HITS = (BLOBS, HOST)  # these take the frames that make_traffic counts as hits


class Disagreement(Exception):
    """Two tools gave different results for the same question."""


class LeftOut(Exception):
    """A question that cannot be asked here, and why."""


class Failure(Exception):
    """A tool failed, or there is no room."""


# ---- Tools ------------------------------------------------------------------------------------


def our_command() -> list[str]:
    """The one that FASTCAP_COMMAND names, or the one beside this Python; an editable install takes
    30 ms more to start."""
    script = Path(os.environ.get("FASTCAP_COMMAND", Path(sys.executable).parent / "fastcap"))
    return [str(script)] if script.exists() else [sys.executable, "-m", "fastcap"]


def _tcpdump() -> list[str]:
    return ["tcpdump", "-n", *(["-Z", "root"] if os.geteuid() == 0 else [])]


def _tshark(path: str, output: Path) -> list[str]:
    what = ["-Y", f"ip.addr=={ADDRESS}", "-F", "pcap", "-w", str(output)]
    return ["tshark", "-n", "-r", path, *what]


def _editcap(path: str, span: tuple[str, str], output: Path) -> list[str]:
    return ["editcap", "-F", "pcap", "-A", span[0], "-B", span[1], path, str(output)]


def _netsniff(path: str, output: Path, expression: str) -> list[str]:
    # By default (--sg) version 0.6.8 reads the frames of its last buffer twice.
    what = ["--in", path, "--out", str(output), "--silent", "-f", expression]
    return ["netsniff-ng", "--mmap", *what]


def _pcapy(path: str) -> list[str]:
    script = Path(__file__).resolve().parent / "count_with_pcapy.py"
    return [sys.executable, str(script), path, HOST]


def installed(tool: str) -> bool:
    if tool == PCAPY:
        return importlib.util.find_spec("pcapy") is not None
    return shutil.which(tool) is not None


def _run(command: list[str]) -> str:
    """What it prints on standard output."""
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Failure(f"{shlex.join(command)}: {said[-1]}")
    return done.stdout


def _number(text: str) -> int:
    """The last number in what a tool prints."""
    found = re.findall(r"\d+", text)
    if not found:
        raise Failure(f"no number in {text!r}")
    return int(found[-1])


# ---- Data -------------------------------------------------------------------------------------


class Data(NamedTuple):
    """The files of one set, a list of them for tcpdump, and a small file for slow tools."""

    folder: Path
    files: list[Traffic]
    listing: Path
    sample: Traffic

    @property
    def paths(self) -> list[str]:
        return [made.path for made in self.files]

    def renew(self) -> None:
        """Writes all files again, for the page cache of a virtual machine ages: after minutes it
        may be read at half the speed, by everybody, though not by everybody alike."""
        for path in self.paths:
            self._renew(Path(path), PIECE)
        badly = _badly_written(self)
        if badly.exists():
            self._renew(badly, SMALL_PIECE)

    @staticmethod
    def _renew(path: Path, piece: int) -> None:
        page_cache.write_again(str(path), path.with_suffix(".new"), piece)
        path.with_suffix(".new").replace(path)

    def warm(self) -> None:
        """Whoever reads next finds the files in memory."""
        for path in [*self.paths, self.sample.path]:
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def _make_data(folder: Path, captured: int | None, size: int) -> Data:
    folder.mkdir()
    files = [
        make_traffic(
            folder / f"traffic_{number}.pcap",
            size // FILES,
            captured=captured,
            seed=number,
            first_second=1_700_000_000 + 3600 * number,
        )
        for number in range(1, FILES + 1)
    ]
    sample = make_traffic(folder / "sample.pcap", SAMPLE_BYTES, captured=captured, seed=FILES + 1)
    listing = folder / "files.txt"
    listing.write_text("".join(f"{made.path}\n" for made in files))
    return Data(folder, files, listing, sample)


def _tcpdump_all(data: Data) -> list[str]:
    return [*_tcpdump(), "-V", str(data.listing)]


def _check_room(folder: Path, size: int) -> None:
    needed = 3 * size + (1 << 28)  # one set, and two outputs that hold most of it
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Failure(f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")


def touch_free_memory() -> None:
    """On a virtual machine, free memory may have gone back to the host, and then comes from there
    page by page: whoever writes a file next would pay for that, in one run and not in another. So
    some is used just before; what is freed last is given out first."""
    free = _memory_kib("MemFree") << 10
    np.empty(min(TOUCHED_BYTES, free // 4 * 3) // 8, np.uint64).fill(1)


def _memory_kib(name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return _number(line)
    return 0


# ---- Agreement --------------------------------------------------------------------------------


# Returns a sentence on what agrees, or none; Disagreement where something does not.
Check = Callable[[], str]


def _check_filter(data: Data, name: str, jobs: list[int]) -> str:
    ours, theirs = FILTERS[name]
    first, other = data.folder / "first.pcap", data.folder / "other.pcap"
    counts = _filter(ours, data.paths, first, jobs[0])
    if name in FIND_HITS:
        _same(name, "fastcap", counts, "the generator", [made.hits for made in data.files])
    for more in jobs[1:]:
        again = _filter(ours, data.paths, other, more)
        _same(name, f"fastcap -j{more}", again, f"-j{jobs[0]}", counts)
        _same_bytes(name, other, first)
        other.unlink()
    peer = "not compared: tcpdump is not installed"
    if installed("tcpdump"):
        _run([*_tcpdump(), "-V", str(data.listing), "-w", str(other), theirs])
        _same_bytes(name, other, first)
        other.unlink()
        counted = [_number(_run([*_tcpdump(), "-r", p, "--count", theirs])) for p in data.paths]
        _same(name, "tcpdump", counted, "fastcap", counts)
        peer = "the same bytes from tcpdump and fastcap"
    size = first.stat().st_size
    first.unlink()
    return f"{name}: {sum(counts):,} frames, {size:,} bytes: {peer}"


def _filter(expression: str, paths: list[str], output: Path, jobs: int) -> list[int]:
    """Frames matched in each file."""
    command = ["filter", expression, *paths, "-o", str(output), f"-j{jobs}", "--json"]
    report = json.loads(_run([*our_command(), *command]))
    return [row["frames_matched"] for row in report["inputs"]]


def _info_frames(paths: list[str]) -> list[int]:
    report = json.loads(_run([*our_command(), "info", *paths, "--json"]))
    return [row["frames"] for row in report["inputs"]]


def _check_counts(data: Data) -> str:
    frames = [made.frames for made in data.files]
    _same("info", "fastcap", _info_frames(data.paths), "the generator", frames)
    if installed("capinfos"):
        counts = [_number(_run(["capinfos", "-M", "-c", path])) for path in data.paths]
        _same("count", "capinfos", counts, "the generator", frames)
    if installed("tcpdump"):
        counts = [_number(_run([*_tcpdump(), "-r", path, "--count"])) for path in data.paths]
        _same("count", "tcpdump", counts, "the generator", frames)
    return ""


def _ten_outputs(data: Data) -> tuple[Path, ...]:
    return tuple(data.folder / f"ten_{number}.pcap" for number in range(len(TEN)))


def _ten(data: Data) -> list[str]:
    words = ["filter", *data.paths]
    for output, expression in zip(_ten_outputs(data), TEN, strict=True):
        words += ["--to", f"{output}={expression}"]
    return words


def _check_ten(data: Data, jobs: list[int]) -> str:
    """Every output of every run beside what one filter alone writes."""
    outputs = _ten_outputs(data)
    alone = tuple(data.folder / f"alone_{number}.pcap" for number in range(len(TEN)))
    frames = sum(made.frames for made in data.files)
    shares = []
    for expression, output in zip(TEN, alone, strict=True):
        share = sum(_filter(expression, data.paths, output, jobs[0])) / frames
        if not 0 < share < TEN_KEEP_AT_MOST:
            raise Failure(f"{expression}: keeps {share:.2%} of the frames")
        shares.append(f"`{expression}` {share:.2%}")
    for number in jobs:
        _run([*our_command(), *_ten(data), f"-j{number}"])
        for expression, output, expected in zip(TEN, outputs, alone, strict=True):
            _same_bytes(f"{expression}, one of ten, -j{number}", output, expected)
        _delete(outputs)
    peer = "each the same bytes as from that filter alone"
    if installed("tcpdump"):
        for expression, output, expected in zip(TEN, outputs, alone, strict=True):
            _run([*_tcpdump_all(data), "-w", str(output), expression])
            _same_bytes(expression, output, expected)
        _delete(outputs)
        peer += ", by fastcap and by tcpdump"
    _delete(alone)
    return f"ten filters ({', '.join(shares)}): {peer}"


def _check_one_file(data: Data) -> str:
    one = data.files[0]
    first, other = data.folder / "first.pcap", data.folder / "other.pcap"
    counts = _filter(MOST, [one.path], first, 1)
    peers = {
        "tcpdump": [*_tcpdump(), "-r", one.path, "-w", str(other), MOST],
        "netsniff-ng": _netsniff(one.path, other, MOST),
    }
    agree = _same_records_from(peers, f"{MOST}, of one file", other, first)
    first.unlink()
    if installed("cp"):
        _run(["cp", one.path, str(other)])
        _same_bytes("cp", other, Path(one.path))
        other.unlink()
    return f"{MOST}, of one file: {counts[0]:,} frames: {agree}"


def _check_tenth(data: Data, jobs: list[int]) -> str:
    first, other = data.folder / "first.pcap", data.folder / "other.pcap"
    one, span = data.files[0], _middle_tenth(data.files[0])
    command = [*our_command(), *_tenth(one, span)]
    _run([*command, "-o", str(first), f"-j{jobs[0]}"])
    for number in jobs[1:]:
        _run([*command, "-o", str(other), f"-j{number}"])
        _same_bytes(f"middle tenth, -j{number}", other, first)
        other.unlink()
    peers = {"editcap": _editcap(one.path, span, other)}
    agree = _same_records_from(peers, "middle tenth", other, first)
    frames = _info_frames([str(first)])[0]
    first.unlink()
    since, until = span
    return f"middle tenth, {since} to {until}: {frames:,} of {one.frames:,} frames: {agree}"


def _middle_tenth(made: Traffic) -> tuple[str, str]:
    """Two moments in UTC that are whole microseconds, as the times of frames are."""
    report = json.loads(_run([*our_command(), "info", made.path, "--json"]))
    first, last = (report["inputs"][0][name] // 1000 for name in ("first_ns", "last_ns"))
    return _rfc3339(first + (last - first) * 45 // 100), _rfc3339(
        first + (last - first) * 55 // 100
    )


def _rfc3339(microseconds: int) -> str:
    epoch = datetime.datetime(1970, 1, 1)
    moment = epoch + datetime.timedelta(microseconds=microseconds)
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _tenth(made: Traffic, span: tuple[str, str]) -> list[str]:
    return ["filter", "", made.path, "--since", span[0], "--until", span[1]]


def _badly_written(data: Data) -> Path:
    return data.folder / "small_pieces.pcap"


def _check_written(data: Data) -> str:
    """Writes a file again in small pieces; it is deleted with all others."""
    well, badly = data.files[0].path, _badly_written(data)
    page_cache.write_again(well, badly, SMALL_PIECE)
    _same_bytes("written again", badly, Path(well))
    _check_blobs(data, str(badly))
    note = f"written in pieces of {_size(SMALL_PIECE)}: the same bytes as in {_size(PIECE)}"
    shares = [page_cache.large_folios(path) for path in (well, str(badly))]
    if any(shares):
        told = [f"{share:.0%}" for share in shares if share is not None]
        note += f"; in the page cache {told[1]} lies in folios of 2 MiB, and {told[0]} of the other"
    return note


def _cold(data: Data) -> Path:
    return data.folder / "cold.pcap"


def _check_cold(data: Data) -> str:
    """A file of its own: what came back from the disk lies in the page cache in another way."""
    one, cold = data.files[0].path, str(_cold(data))
    page_cache.write_again(one, Path(cold), PIECE)
    page_cache.drop(cold)
    share = page_cache.in_memory(cold)
    if share > COLD_AT_MOST:
        raise LeftOut(f"{share:.0%} of a file stays in memory on this file system")
    _check_blobs(data, cold)
    _same_bytes("cold", Path(cold), Path(one))
    return f"cold: {share:.0%} of a file that was dropped is in memory"


def _check_blobs(data: Data, path: str) -> None:
    """A copy of the first file holds as many hits."""
    ours, theirs = FILTERS[BLOBS]
    expected = [data.files[0].hits]
    counted = _number(_run([*our_command(), "filter", "--count", ours, path]))
    _same(BLOBS, "fastcap", [counted], "the generator", expected)
    if installed("tcpdump"):
        counted = _number(_run([*_tcpdump(), "-r", path, "--count", theirs]))
        _same(BLOBS, "tcpdump", [counted], "the generator", expected)


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _check_sample(data: Data) -> str:
    first, other = data.folder / "first.pcap", data.folder / "other.pcap"
    counts = _filter(HOST, [data.sample.path], first, 1)
    _same("sample", "fastcap", counts, "the generator", [data.sample.hits])
    peers = {
        "tcpdump": [*_tcpdump(), "-r", data.sample.path, "-w", str(other), HOST],
        "tshark": _tshark(data.sample.path, other),
    }
    agree = _same_records_from(peers, f"{HOST}, of the sample", other, first)
    first.unlink()
    if installed(PCAPY):
        _same("sample", PCAPY, [_number(_run(_pcapy(data.sample.path)))], "fastcap", counts)
        agree += f", the same count from {PCAPY}"
    return f"{HOST}, of {_megabytes(data.sample)}: {counts[0]:,} frames: {agree}"


def _same_records_from(
    peers: dict[str, list[str]], question: str, output: Path, expected: Path
) -> str:
    """Runs commands that write `output`, and says who agreed."""
    found = [tool for tool in peers if installed(tool)]
    for tool in found:
        _run(peers[tool])
        _same_records(f"{question}, {tool}", output, expected)
        output.unlink()
    if not found:
        return f"not compared: not installed: {', '.join(peers)}"
    return f"the same records from {', '.join(found)} and fastcap"


def _same(question: str, who: str, counts: list[int], whose: str, expected: list[int]) -> None:
    if counts != expected:
        raise Disagreement(f"{question}: {who} counts {counts}, {whose} {expected}")


def _same_bytes(question: str, one: Path, other: Path) -> None:
    filecmp.clear_cache()  # names are used again: never trust an earlier comparison
    if not filecmp.cmp(one, other, shallow=False):
        raise Disagreement(f"{question}: outputs differ: {one} and {other} (--keep keeps them)")


def _same_records(question: str, one: Path, other: Path) -> None:
    """The file headers may differ: some tools write their own."""
    with open(one, "rb") as file, open(other, "rb") as expected:
        file.seek(FILE_HEADER)
        expected.seek(FILE_HEADER)
        while True:
            part = file.read(1 << 20)
            if part != expected.read(1 << 20):
                raise Disagreement(
                    f"{question}: records differ: {one} and {other} (--keep keeps them)"
                )
            if not part:
                return


# ---- Questions --------------------------------------------------------------------------------


class Command(NamedTuple):
    """What one tool is asked; `outputs` are the files that it makes."""

    tool: str
    arguments: list[str]
    outputs: tuple[Path, ...] = ()
    needs: str = ""  # a tool, where it is not the first word
    less_work: bool = False  # stands there to compare, but is not asked the same
    cold: str = ""  # a file that must come from the disk

    @property
    def installed(self) -> bool:
        return installed(self.needs or self.arguments[0])


class Question(NamedTuple):
    text: str
    bytes: int
    frames: int
    commands: list[Command]
    checks: dict[str, Check]  # by name: what several questions need is checked once


def _questions(data: Data, jobs: list[int]) -> Iterator[Question]:
    yield from _filter_questions(data, jobs)
    yield _one_file_question(data, jobs)
    yield _ten_question(data, jobs)
    yield _tenth_question(data, jobs)
    yield from _count_questions(data, jobs)
    yield from _sample_questions(data, jobs)
    yield from _written_questions(data, jobs)
    yield _cold_question(data, jobs)


def _about_all(
    data: Data, text: str, commands: list[Command], checks: dict[str, Check]
) -> Question:
    size = sum(made.bytes for made in data.files)
    frames = sum(made.frames for made in data.files)
    return Question(text, size, frames, commands, checks)


def _about_one(
    made: Traffic, text: str, commands: list[Command], checks: dict[str, Check]
) -> Question:
    return Question(text, made.bytes, made.frames, commands, checks)


def _fastcap(
    jobs: list[int], words: list[str], output: Path | None = None, note: str = ""
) -> list[Command]:
    more, outputs = ([], ()) if output is None else (["-o", str(output)], (output,))
    return [
        Command(
            f"fastcap {words[0]}{note} -j{n}", [*our_command(), *words, *more, f"-j{n}"], outputs
        )
        for n in jobs
    ]


def _filter_questions(data: Data, jobs: list[int]) -> Iterator[Question]:
    output = data.folder / "out.pcap"
    for name in (*FIND_HITS, WEB):
        ours, theirs = FILTERS[name]
        tcpdump = [*_tcpdump_all(data), "-w", str(output), theirs]
        commands = [
            Command("tcpdump -w", tcpdump, (output,)),
            *_fastcap(jobs, ["filter", ours, *data.paths], output),
            Command("cat", ["cat", *data.paths], less_work=True),
        ]
        checks: dict[str, Check] = {name: partial(_check_filter, data, name, jobs)}
        yield _about_all(data, f"filter, {name}", commands, checks)


def _one_file_question(data: Data, jobs: list[int]) -> Question:
    """Of one file only: an output of several GB is as fast as the disk, whoever writes it."""
    one, output = data.files[0], data.folder / "out.pcap"
    commands = [
        Command("tcpdump -w", [*_tcpdump(), "-r", one.path, "-w", str(output), MOST], (output,)),
        Command("netsniff-ng --mmap", _netsniff(one.path, output, MOST), (output,)),
        *_fastcap(jobs, ["filter", MOST, one.path], output),
        Command("cp", ["cp", one.path, str(output)], (output,), less_work=True),
    ]
    checks: dict[str, Check] = {
        MOST: partial(_check_filter, data, MOST, jobs),
        "one file": partial(_check_one_file, data),
    }
    return _about_one(one, f"filter, {MOST}, of one file", commands, checks)


def _ten_question(data: Data, jobs: list[int]) -> Question:
    outputs = _ten_outputs(data)
    pairs = list(zip(outputs, TEN, strict=True))
    theirs = _in_a_row([*_tcpdump_all(data), "-w", str(name), text] for name, text in pairs)
    in_a_row = {
        n: _in_a_row(
            [*our_command(), "filter", text, *data.paths, "-o", str(name), f"-j{n}"]
            for name, text in pairs
        )
        for n in jobs
    }
    first = ["filter", TEN[0], *data.paths]
    alone = _fastcap(jobs, first, outputs[0], note=", one alone")
    commands = [
        Command("tcpdump -w, ten in a row", theirs, outputs, needs="tcpdump"),
        *(Command(f"fastcap filter, ten in a row -j{n}", in_a_row[n], outputs) for n in jobs),
        *(one._replace(outputs=outputs) for one in _fastcap(jobs, _ten(data), note=", ten --to")),
        *(one._replace(less_work=True) for one in alone),
    ]
    checks: dict[str, Check] = {"ten": partial(_check_ten, data, jobs)}
    return _about_all(data, "ten filters into ten outputs", commands, checks)


def _in_a_row(commands: Iterable[list[str]]) -> list[str]:
    return ["sh", "-c", " && ".join(map(shlex.join, commands))]


def _tenth_question(data: Data, jobs: list[int]) -> Question:
    one, output = data.files[0], data.folder / "out.pcap"
    span = _middle_tenth(one)
    commands = [
        Command("editcap -A -B", _editcap(one.path, span, output), (output,)),
        *_fastcap(jobs, _tenth(one, span), output),
    ]
    checks: dict[str, Check] = {"tenth": partial(_check_tenth, data, jobs)}
    return _about_one(one, "frames of the middle tenth of the time, of one file", commands, checks)


def _count_questions(data: Data, jobs: list[int]) -> Iterator[Question]:
    commands = [
        Command("tcpdump --count", [*_tcpdump_all(data), "--count", HOST]),
        *_fastcap(jobs, ["filter", "--count", HOST, *data.paths]),
    ]
    checks: dict[str, Check] = {HOST: partial(_check_filter, data, HOST, jobs)}
    yield _about_all(data, f"count, {HOST}", commands, checks)
    commands = [
        Command("tcpdump --count", [*_tcpdump_all(data), "--count"]),
        Command("capinfos -c", ["capinfos", "-c", *data.paths]),
        *_fastcap(jobs, ["info", *data.paths]),
    ]
    checks = {"all frames": partial(_check_counts, data)}
    yield _about_all(data, "count, all frames", commands, checks)


def _written_questions(data: Data, jobs: list[int]) -> Iterator[Question]:
    one = data.files[0]
    for path, piece in ((one.path, PIECE), (str(_badly_written(data)), SMALL_PIECE)):
        text = f"count, {BLOBS}, of one file written in pieces of {_size(piece)}"
        checks: dict[str, Check] = {"written": partial(_check_written, data)}
        yield _about_one(one, text, _count_blobs(path, jobs), checks)


def _cold_question(data: Data, jobs: list[int]) -> Question:
    cold = str(_cold(data))
    commands = [command._replace(cold=cold) for command in _count_blobs(cold, jobs[:1])]
    text = f"count, {BLOBS}, of one file, cold: the disk is measured"
    return _about_one(data.files[0], text, commands, {"cold": partial(_check_cold, data)})


def _count_blobs(path: str, jobs: list[int]) -> list[Command]:
    ours, theirs = FILTERS[BLOBS]
    return [
        Command("tcpdump --count", [*_tcpdump(), "-r", path, "--count", theirs]),
        *_fastcap(jobs, ["filter", "--count", ours, path]),
        Command("cat", ["cat", path], less_work=True),
    ]


def _sample_questions(data: Data, jobs: list[int]) -> Iterator[Question]:
    sample, output = data.sample, data.folder / "out.pcap"
    tcpdump = [*_tcpdump(), "-r", sample.path, "-w", str(output), HOST]
    commands = [
        Command("tcpdump -w", tcpdump, (output,)),
        Command("tshark -Y -w", _tshark(sample.path, output), (output,)),
        *_fastcap(jobs, ["filter", HOST, sample.path], output),
    ]
    checks: dict[str, Check] = {"sample": partial(_check_sample, data)}
    yield _about_one(sample, f"filter, {HOST}, of {_megabytes(sample)}", commands, checks)
    commands = [
        Command("tcpdump --count", [*_tcpdump(), "-r", sample.path, "--count", HOST]),
        Command("pcapy-ng, in a loop", _pcapy(sample.path), needs=PCAPY),
        *_fastcap(jobs, ["filter", "--count", HOST, sample.path]),
    ]
    yield _about_one(sample, f"count, {HOST}, of {_megabytes(sample)}", commands, checks)


def _megabytes(made: Traffic) -> str:
    return f"{made.bytes / 1e6:.1f} MB"


def _seconds(command: Command) -> float:
    if command.outputs:
        _delete(command.outputs)
        # What is on its way to the disk would slow down whoever runs next.
        os.sync()
        touch_free_memory()
    if command.cold:
        touch_free_memory()  # the pages that are read go there
        page_cache.drop(command.cold)
    started = time.perf_counter()
    done = subprocess.run(
        command.arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise Failure(f"{shlex.join(command.arguments)}: {said}")
    return seconds


def _measure(question: Question, runs: int) -> dict[str, list[float]]:
    """Seconds of each run, by tool; none for a tool that is not installed. Tools take turns, so
    that a slow minute of the machine is everybody's. One more round before is not counted."""
    times: dict[str, list[float]] = {command.tool: [] for command in question.commands}
    for number in range(runs + 1):
        for command in question.commands:
            if command.installed:
                seconds = _seconds(command)
                if number > 0:
                    times[command.tool].append(seconds)
    for command in question.commands:
        _delete(command.outputs)
    return times


def _delete(outputs: tuple[Path, ...]) -> None:
    for output in outputs:
        output.unlink(missing_ok=True)


# ---- The report -------------------------------------------------------------------------------

_COLUMNS = (
    "question",
    "tool",
    "s, median",
    "s, min",
    "GB/s",
    "million frames/s",
    "ns/frame",
    "times tcpdump's speed",
)


def _rows(question: Question, times: dict[str, list[float]]) -> Iterator[list[str]]:
    peer = next((taken for tool, taken in times.items() if tool.startswith("tcpdump")), [])
    for command in question.commands:
        tool, taken = command.tool, times[command.tool]
        if not taken:
            yield [question.text, tool, "not installed", *[""] * 5]
            continue
        seconds = statistics.median(taken)
        yield [
            question.text,
            tool,
            f"{seconds:.3f}",
            f"{min(taken):.3f}",
            f"{question.bytes / seconds / 1e9:.2f}",
            f"{question.frames / seconds / 1e6:.2f}",
            f"{seconds / question.frames * 1e9:.1f}",
            f"{statistics.median(peer) / seconds:.2f}" if peer and not command.less_work else "",
        ]


def _bars(question: Question, times: dict[str, list[float]]) -> plot.Group:
    bars = [
        plot.Bar(
            tool, question.bytes / statistics.median(taken) / 1e9, ours=tool.startswith("fastcap")
        )
        for tool, taken in times.items()
        if taken
    ]
    return plot.Group(question.text, bars)


def markdown_row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        cpu = found.group(1) if found else cpu
    memory = _memory_kib("MemTotal") / (1 << 20)
    system = f"{platform.system()} {platform.release()}"
    return f"{cpu}, {os.cpu_count()} processors, {memory:.0f} GiB of memory, {system}"


def _versions() -> str:
    import fastcap

    found = [f"fastcap {fastcap.__version__}", f"Python {platform.python_version()}"]
    for tool in ("tcpdump", "capinfos", "tshark", "editcap", "netsniff-ng", PCAPY, "cat", "cp"):
        if not installed(tool):
            found.append(f"{tool} not installed")
            continue
        if tool == PCAPY:
            found.append(f"{tool} {importlib.metadata.version(tool)}")
            continue
        done = subprocess.run([tool, "--version"], capture_output=True, check=False, text=True)
        text = done.stdout + done.stderr
        for name in (tool, "libpcap") if tool == "tcpdump" else (tool,):
            number = re.search(
                rf"^{name}\b[^\d\n]*(\d+(?:\.\d+)+)", text, re.IGNORECASE | re.MULTILINE
            )
            found.append(f"{name} {number.group(1) if number else 'of an unknown version'}")
    return ", ".join(found)


def _head(options: argparse.Namespace, command_line: str) -> list[str]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return [
        f"- machine: {machine()}",
        f"- versions: {_versions()}",
        f"- command: `{command_line}`",
        f"- date: {now:%Y-%m-%d %H:%M} UTC",
        f"- data: {FILES} files, {options.bytes:,} bytes in all, in the page cache where "
        f"it does not say cold; 1 frame in 100 has {ADDRESS}",
        f"- times: median and least of {options.runs} runs in turns, start-up included",
    ]


def _agree(questions: list[Question]) -> tuple[list[Question], list[str]]:
    """The questions that can be asked, and what is to be said about the results."""
    checks = {name: check for question in questions for name, check in question.checks.items()}
    notes, left_out = [], set()
    for name, check in checks.items():
        try:
            note = check()
        except LeftOut as reason:
            left_out.add(name)
            note = f"{name}: left out: {reason}"
        if note:
            notes.append(note)
    return [question for question in questions if not left_out & set(question.checks)], notes


def _compare(
    folder: Path, options: argparse.Namespace, sections: list[plot.Section]
) -> Iterator[str]:
    """Lines of Markdown, as they become known; the same for the plot goes to `sections`."""
    for name, captured in SETS.items():
        data = _make_data(folder / name, captured, options.bytes)
        frames = sum(made.frames for made in data.files)
        yield ""
        what = "whole frames" if captured is None else f"{captured} captured bytes a frame"
        sections.append(plot.Section(f"{what}: {frames:,} frames", []))
        yield f"### {sections[-1].title}"
        yield ""
        data.warm()
        questions = [
            question for question in _questions(data, options.jobs) if options.only in question.text
        ]
        if not questions:
            raise Failure(f"no question contains {options.only!r}")
        questions, notes = _agree(questions)
        yield from (f"- {note}" for note in notes)
        if notes:
            yield ""
        data.warm()
        yield markdown_row(_COLUMNS)
        yield markdown_row(["---", "---", *["---:"] * (len(_COLUMNS) - 2)])
        for question in questions:
            data.renew()
            times = _measure(question, options.runs)
            sections[-1].groups.append(_bars(question, times))
            for row in _rows(question, times):
                yield markdown_row(row)
        if not options.keep:
            shutil.rmtree(data.folder)


# ---- The command ------------------------------------------------------------------------------


def _jobs_of(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"numbers with commas between them, not {text!r}")
    return list(dict.fromkeys(map(int, words)))


def _runs_of(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a number of runs, not {text!r}")
    return int(text)


def _parse() -> argparse.Namespace:
    processors = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description="fastcap beside its peers, on the same files.")
    add: Any = parser.add_argument
    add("--bytes", type=size_of, default=size_of("4G"), metavar="SIZE", help="in 4 files; 4G")
    add("--runs", type=_runs_of, default=5, metavar="N", help="of each tool; 5")
    add("--dir", metavar="DIR", help="where the data go; default: a new temporary directory")
    add("--keep", action="store_true", help="do not delete the data at the end")
    add(
        "--jobs",
        type=_jobs_of,
        default=_jobs_of(f"1,{processors}"),
        metavar="N,N",
        help="fastcap's -j; default: 1 and one a processor",
    )
    add("--only", default="", metavar="TEXT", help="just the questions that contain TEXT")
    add("--markdown", metavar="PATH", help="write the report to a file too")
    add("--plot", metavar="PATH", help="draw GB/s of every tool into an SVG file")
    return parser.parse_args()


def _report(folder: Path, options: argparse.Namespace) -> list[str]:
    _check_room(folder, options.bytes)
    lines = _head(options, shlex.join(["python", "benches/compare_offline.py", *sys.argv[1:]]))
    print("\n".join(lines), flush=True)
    sections: list[plot.Section] = []
    for line in _compare(folder, options, sections):
        print(line, flush=True)
        lines.append(line)
    if options.plot:
        picture = plot.draw("GB/s of input, start-up included", sections)
        Path(options.plot).write_text(picture, encoding="utf-8")
    return lines


def main() -> int:
    options = _parse()
    parent = Path(options.dir) if options.dir else None
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    # A directory of our own in any case: what is deleted at the end is ours.
    folder = Path(tempfile.mkdtemp(prefix="compare_", dir=parent))
    try:
        lines = _report(folder, options)
    except (Disagreement, Failure) as error:
        print(f"compare_offline: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"data: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    if options.markdown:
        Path(options.markdown).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
