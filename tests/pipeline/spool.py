"""Originals in a spool, outputs that `fastcap follow` makes of them, and what must hold between."""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fastcap.segments import Segment, Span
from tests import pcaps
from tests.pcaps import Frame

BEGIN = 1_795_228_097 * 10**9  # 2026-11-21 02:28:17 UTC
_HEADER = 24
_SERIAL = 42  # where the serial number of a frame stands: behind Ethernet, IPv4, UDP
_WANTED = 50  # and one byte, of which outputs it is for


class Wanted(NamedTuple):
    """An output: its base name, its filter, and the bit of the frames that this takes."""

    name: str
    expression: str
    bit: int

    def takes(self, frame: Frame) -> bool:
        return bool(frame.data[_WANTED] & self.bit)


WEB = Wanted("web.pcap", "udp port 443", 1)
SUSPECT = Wanted("suspect.pcap", "Blob(FrameData, 26, 4) == 0x0a234567", 2)
OUTPUTS = (WEB, SUSPECT)


def frame(serial: int, wanted: int, length: int) -> Frame:
    port = 443 if wanted & WEB.bit else 53
    source = "10.35.69.103" if wanted & SUSPECT.bit else "10.0.0.1"
    payload = serial.to_bytes(8, "big") + bytes([wanted]) + bytes([serial % 251]) * length
    packet = pcaps.ipv4(pcaps.udp(port, 60_000, payload), 17, source, "192.168.1.7")
    data = pcaps.ethernet(packet, 0x0800)
    return Frame(BEGIN + serial * 10**6, len(data), data)


def serial(frame: Frame) -> int:
    return int.from_bytes(frame.data[_SERIAL : _SERIAL + 8], "big")


class Original(NamedTuple):
    """A finished capture; `data` is the whole file."""

    name: str
    frames: list[Frame]
    data: bytes


class Spool:
    """A directory that finished captures are put into. `originals` are all that ever were, of which
    `published` have had their names."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.rng = rng
        self.originals: list[Original] = []
        self.published = 0
        self.frames = 0

    def publish(self, count: int, wanted: Sequence[int] = (0, 1, 2, 3)) -> Original:
        """One more, of `count` frames; what each is for is drawn from `wanted`. Half of them have
        their JSON. It is there at once, as a capture does it."""
        frames = [
            frame(self.frames + i, self.rng.choice(wanted), self.rng.randrange(120))
            for i in range(count)
        ]
        self.frames += count
        first = time.gmtime(frames[0].time // 10**9)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", first)
        number = len(self.originals) + 1
        name = f"net1_{number:08}_{stamp}.pcap"
        original = Original(name, frames, pcaps.capture(frames, nanoseconds=True))
        self.originals.append(original)  # before it can be seen: a check may come meanwhile
        hidden = self.folder / f".net1_{number:08}.pcap.capturing"
        hidden.write_bytes(original.data)
        if self.rng.random() < 0.5:
            self._write_json(original)
        hidden.rename(self.folder / name)
        self.published = number
        return original

    def fill(self, count: int, frames: int) -> None:
        """Publishes `count` originals of about so many frames; one matches nothing, one is long."""
        for number in range(count):
            wanted = (0,) if number == 1 else (0, 1, 2, 3)
            many = 3 * frames if number == 2 else self.rng.randrange(1, 2 * frames)
            self.publish(many, wanted)

    def _write_json(self, original: Original) -> None:
        path = self.folder / original.name
        times = [frame.time for frame in original.frames]
        span = Span(len(times), min(times), max(times))
        record = Segment(str(path), len(original.data), span).as_json()
        hidden = self.folder / f".{original.name}.json"
        hidden.write_text(json.dumps(record) + "\n")
        hidden.rename(self.folder / f"{original.name}.json")

    def left(self) -> set[str]:
        """The names of the originals that are there."""
        return {name for name in os.listdir(self.folder) if name.endswith(".pcap")} & {
            original.name for original in self.originals
        }

    def visible(self) -> list[str]:
        """All names that are not hidden."""
        return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))


class Publisher:
    """A thread that publishes originals until it is told to end: of about so many frames each, but
    one in 20 is as long as 20."""

    def __init__(self, spool: Spool, a_second: float, frames: int) -> None:
        self._spool, self._pause, self._frames = spool, 1 / a_second, frames
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(self._pause * 2 * self._spool.rng.random()):
            many = 20 if self._spool.rng.random() < 0.05 else 1
            self._spool.publish(many * self._spool.rng.randrange(1, 2 * self._frames))

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


class Part(NamedTuple):
    """A file of an output."""

    number: int
    path: Path
    is_open: bool


class Output:
    """The numbered files of one `--to`."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self.folder = folder
        self.wanted = wanted
        stem, suffix = os.path.splitext(wanted.name)
        numbered = rf"{re.escape(stem)}_([0-9]{{8}}){re.escape(suffix)}"
        self._finished = re.compile(numbered)
        self._open = re.compile(rf"\.{numbered}\.[0-9a-f]{{8}}\.keeping")

    @property
    def word(self) -> str:
        """What --to gets."""
        return f"{self.folder / self.wanted.name}={self.wanted.expression}"

    def parts(self) -> list[Part]:
        """In the order of their numbers, of which each is there once."""
        found = []
        for name in os.listdir(self.folder):
            for pattern, is_open in ((self._finished, False), (self._open, True)):
                if match := pattern.fullmatch(name):
                    found.append(Part(int(match[1]), self.folder / name, is_open))
        found.sort()
        numbers = [part.number for part in found]
        assert numbers == sorted(set(numbers)), f"{self.wanted.name}: parts {numbers}"
        return found

    def frames(self) -> list[Frame]:
        """Of the finished parts."""
        parts = [part for part in self.parts() if not part.is_open]
        return [frame for part in parts for frame in self.frames_of(part)]

    @staticmethod
    def frames_of(part: Part) -> list[Frame]:
        """Of a finished part, which must be whole; of an open one the whole records."""
        data = part.path.read_bytes()
        if part.is_open:
            return whole_records(data)
        assert data[:_HEADER] == pcaps.header(nanoseconds=True), part
        return pcaps.read(data)

    def expected(self, originals: Iterable[Original]) -> list[Frame]:
        return [
            frame for original in originals for frame in original.frames if self.wanted.takes(frame)
        ]


def whole_records(data: bytes) -> list[Frame]:
    """Of a file that may end anywhere."""
    end = at = _HEADER
    while at + 16 <= len(data):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        if at <= len(data):
            end = at
    return pcaps.read(data[:end]) if len(data) >= _HEADER else []


def outputs(folder: Path) -> list[Output]:
    folder.mkdir(exist_ok=True)
    return [Output(folder, wanted) for wanted in OUTPUTS]


def follow(
    spool: Spool, kept: Sequence[Output], *words: str, original: str = "delete", size: str = "12k"
) -> list[str]:
    """The command."""
    command = [sys.executable, "-m", "fastcap", "follow", "--spool", str(spool.folder)]
    for output in kept:
        command += ["--to", output.word]
    return [*command, "--original", original, "--finished", "name", "--output-size", size, *words]


# ---- What must hold -----------------------------------------------------------------------------


def _compare(output: Output, found: list[Frame], expected: list[Frame]) -> None:
    """Says what is missing, twice, foreign, or in another order, for nobody reads two lists."""
    if found == expected:
        return
    ours, theirs = list(map(serial, found)), list(map(serial, expected))
    twice = sorted(number for number, count in Counter(ours).items() if count > 1)
    problems = {
        "missing": sorted(set(theirs) - set(ours)),
        "twice": twice,
        "foreign": sorted(set(ours) - set(theirs)),
    }
    told = [f"{len(some)} {what}: {some[:20]}" for what, some in problems.items() if some]
    raise AssertionError(f"{output.wanted.name}: {'; '.join(told) or 'order or bytes differ'}")


def check(spool: Spool, kept: Iterable[Output]) -> None:
    """The outputs are finished, and hold exactly what their filters take of all originals, each
    frame once and in order."""
    for output in kept:
        parts = output.parts()
        assert not [part for part in parts if part.is_open], f"still open: {parts[-1]}"
        numbers = [part.number for part in parts]
        assert numbers == list(range(1, len(parts) + 1)), f"{output.wanted.name}: parts {numbers}"
        _compare(output, output.frames(), output.expected(spool.originals))


def _on_disk(output: Output, expected: list[Frame]) -> list[Frame]:
    """Of the finished parts, and of open ones as far as they go on. What an open one holds that
    does not go on was written by a worker that was killed, and goes when the next one begins: the
    part before it was cut already."""
    found: list[Frame] = []
    for number, part in enumerate(output.parts(), start=1):
        frames = output.frames_of(part)
        end = len(found) + len(frames)
        goes_on = part.number == number and frames == expected[len(found) : end]
        if not goes_on and part.is_open:
            break
        assert part.number == number, f"{output.wanted.name}: no part {number}"
        found += frames
        if not goes_on:
            _compare(output, found, expected[:end])
    return found


def check_in_the_middle(spool: Spool, kept: Iterable[Output]) -> None:
    """At any moment: finished parts hold what their filters take of the originals, from the first
    on, up to any frame, and with the open one they hold that of each original that is gone."""
    published = spool.published  # before it is looked which are gone
    left = spool.left()
    originals = list(spool.originals)
    gone = [i for i in range(published) if originals[i].name not in left]
    last_gone = gone[-1] + 1 if gone else 0
    for output in kept:
        found = _on_disk(output, output.expected(originals))
        needed = len(output.expected(originals[:last_gone]))
        assert len(found) >= needed, (
            f"{output.wanted.name}: {originals[last_gone - 1].name} is gone, "
            f"and {needed - len(found)} frames of it and those before are nowhere"
        )
