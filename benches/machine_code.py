"""Nanoseconds a frame of a filter, by who runs it: libpcap's bpf_filter, the interpreter, plans on
groups, and machine code, called for each frame or looping over a group. And how long machine code
takes to make.

    python benches/machine_code.py [--frames 4096] [--captured 80] [--rounds 9] [--markdown FILE]

All run in one process, in turns, on the same frames, which stay in the cache; traffic is that of
make_traffic.py. Nothing counts before all took the same frames. Times are medians.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if __package__ in {None, ""}:  # run as a file, only its own directory is on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastcap
from benches.bench_filter import HOSTS
from benches.compare_offline import FILTERS, HOST, TEN
from benches.make_traffic import FILE_HEADER, RECORD_HEADER, make_traffic
from fastcap.language.program import Packed

ROOT = Path(__file__).resolve().parent.parent
GROUP = 64
RECORDS_NS = 20_000_000  # about so long is one measurement
BPF, INTERPRETER, PLAN, CALLS, LOOP = range(5)
WAYS = ("bpf_filter", "interpreter", "plan", "calls", "loop")
_SET = "{" + ", ".join(hex(host) for host in HOSTS) + "}"
_IN_SET = f"Blob(FrameData, 26, 4) IN {_SET} OR Blob(FrameData, 30, 4) IN {_SET}"
# name: what fastcap is asked, and libpcap, if it can be
QUESTIONS: dict[str, tuple[str, str | None]] = {
    "host A": (HOST, HOST),
    "tcp port 443 and host A": (f"tcp port 443 and {HOST}", f"tcp port 443 and {HOST}"),
    "tcp[tcpflags] & tcp-rst != 0": ("tcp[tcpflags] & tcp-rst != 0",) * 2,
    "two Blobs": FILTERS["two Blobs"],
    "portrange 1000-2000": ("portrange 1000-2000",) * 2,
    "tcp": ("tcp", "tcp"),
    "one of two Blobs in 10,000": (_IN_SET, None),
}


class Frames(ctypes.Structure):
    _fields_ = [
        ("bytes", ctypes.c_void_p), ("captured", ctypes.c_void_p), ("wire", ctypes.c_void_p),
        ("count", ctypes.c_uint32), ("rounds", ctypes.c_uint32),
    ]  # fmt: skip


class Way(ctypes.Structure):
    _fields_ = [
        ("function", ctypes.c_void_p), ("program", ctypes.c_void_p), ("programs", ctypes.c_uint32),
    ]  # fmt: skip


class Ranges(ctypes.Structure):
    _fields_ = [("pairs", ctypes.c_char_p), ("count", ctypes.c_uint32)]


class Source(ctypes.Structure):
    _fields_ = [
        ("instructions", ctypes.c_char_p), ("count", ctypes.c_size_t),
        ("sets", ctypes.c_void_p), ("set_count", ctypes.c_size_t),
        ("wide_sets", ctypes.c_void_p), ("wide_set_count", ctypes.c_size_t),
        ("patterns", ctypes.c_void_p), ("pattern_count", ctypes.c_size_t),
        ("tags_at", ctypes.c_uint32),
    ]  # fmt: skip


def build(folder: Path) -> Any:
    """The loops, with the core, as a library."""
    made = folder / "machine_code.so"
    sources = [ROOT / "benches" / "machine_code.c", *sorted((ROOT / "csrc").glob("*.c"))]
    flags = ["-O3", "-std=c11", "-D_GNU_SOURCE", "-shared", "-fPIC", f"-I{ROOT / 'csrc'}"]
    subprocess.run(["cc", *flags, *map(str, sources), "-pthread", "-o", str(made)], check=True)
    library = ctypes.CDLL(str(made))
    library.measure.restype = ctypes.c_double
    return library


class Traffic:
    """Frames in memory, as they lie in a file: in full groups."""

    def __init__(self, folder: Path, count: int, captured: int) -> None:
        made = make_traffic(folder / "traffic.pcap", 2 * count * (captured + RECORD_HEADER),
                            captured=captured)  # fmt: skip
        self.data = np.frombuffer(Path(made.path).read_bytes()[FILE_HEADER:], np.uint8).copy()
        starts = self._starts(count)
        self.pointers = (self.data.ctypes.data + starts + RECORD_HEADER).astype(np.uint64)
        self.captured = self._field(starts, 8)
        self.wire = self._field(starts, 12)
        self.count = count

    def _starts(self, count: int) -> NDArray[np.int64]:
        starts: list[int] = []
        at = 0
        while len(starts) < count:
            starts.append(at)
            at += RECORD_HEADER + int.from_bytes(self.data[at + 8 : at + 12].tobytes(), "little")
        return np.array(starts, np.int64)

    def _field(self, starts: NDArray[np.int64], offset: int) -> NDArray[np.uint32]:
        parts = [self.data[starts + offset + i].astype(np.uint32) << (8 * i) for i in range(4)]
        return np.ascontiguousarray(sum(parts), dtype=np.uint32)

    def as_c(self) -> Frames:
        rounds = max(1, RECORDS_NS // 10 // self.count)
        arrays = (self.pointers, self.captured, self.wire)
        return Frames(*(array.ctypes.data for array in arrays), self.count, rounds)


class Bench:
    def __init__(self, library: Any, traffic: Traffic, rounds: int) -> None:
        self.library = library
        self.frames = traffic.as_c()
        self.groups = traffic.count // GROUP
        self.rounds = rounds
        self.kept: list[object] = []  # that C has addresses of
        found = ctypes.util.find_library("pcap")
        self.bpf = None if found is None else ctypes.CDLL(found).bpf_filter

    def interpreted(self, packed: Packed) -> int:
        """A struct fc_program of the bench's own core."""
        code, sets, _, _, tags_at = packed
        ranges = (Ranges * (len(sets) + 1))(*(Ranges(pairs, len(pairs) // 8) for pairs in sets))
        source = Source(code, len(code) // 16, ctypes.cast(ranges, ctypes.c_void_p), len(sets),
                        tags_at=tags_at)  # fmt: skip
        program, bad = ctypes.c_void_p(), ctypes.c_size_t()
        status = self.library.fc_program_new(
            ctypes.byref(source), ctypes.byref(program), ctypes.byref(bad)
        )
        assert status == 0
        assert program.value is not None
        return program.value

    def libpcap(self, text: str) -> Way | None:
        import pcapy

        if self.bpf is None:
            return None
        lines = pcapy.compile(1, 262144, text, 1, 0xFFFFFFFF).get_bpf()
        packed = b"".join(struct.pack("=HBBI", *(int(x) & 0xFFFFFFFF for x in li)) for li in lines)
        program = ctypes.create_string_buffer(packed)
        self.kept.append(program)
        function = ctypes.cast(self.bpf, ctypes.c_void_p)
        return Way(function, ctypes.addressof(program), 1)

    def measure(self, ways: list[tuple[int, Way]]) -> list[float]:
        """Of each, in turns; AssertionError where they do not take the same frames."""
        taken = [np.zeros(self.groups, np.uint64) for _ in ways]
        times: list[list[float]] = [[] for _ in ways]
        for _ in range(self.rounds):
            for place, (number, way) in enumerate(ways):
                times[place].append(
                    self.library.measure(
                        number, ctypes.byref(way), ctypes.byref(self.frames),
                        ctypes.c_void_p(taken[place].ctypes.data),
                    )
                )  # fmt: skip
        assert all(np.array_equal(bits, taken[0]) for bits in taken), "they disagree"
        return [statistics.median(of_way) for of_way in times]


class Row(NamedTuple):
    """Nanoseconds a frame by the names of WAYS, and milliseconds until there was machine code."""

    question: str
    ns: dict[str, float]
    compile_ms: float


def compile_ms(packed: list[Packed], rounds: int) -> float:
    import fastcap_jit

    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        fastcap_jit.MachineCode(packed, True)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def ask(bench: Bench, question: str, ours: str, theirs: str | None) -> Row:
    import fastcap_jit

    packed = fastcap.compile(ours).program.packed()
    program = bench.interpreted(packed)
    single, group = (fastcap_jit.MachineCode([packed], judge) for judge in (False, True))
    ways = [
        (INTERPRETER, Way(None, program, 1)),
        (PLAN, Way(None, program, 1)),
        (CALLS, Way(single.address, None, 1)),
        (LOOP, Way(group.address, None, 1)),
    ]
    libpcap = bench.libpcap(theirs) if theirs is not None else None
    if libpcap is not None:
        ways.insert(0, (BPF, libpcap))
    times = bench.measure(ways)
    ns = {WAYS[number]: time for (number, _), time in zip(ways, times, strict=True)}
    return Row(question, ns, compile_ms([packed], bench.rounds))


def ask_ten(bench: Bench) -> Row:
    """Ten filters in one function, beside ten functions one after the other."""
    import fastcap_jit

    packed = [fastcap.compile(text).program.packed() for text in TEN]
    together = fastcap_jit.MachineCode(packed, True)
    alone = [fastcap_jit.MachineCode([one], True) for one in packed]
    one_by_one = sum(bench.measure([(LOOP, Way(one.address, None, 1))])[0] for one in alone)
    plans = sum(bench.measure([(PLAN, Way(None, bench.interpreted(one), 1))])[0] for one in packed)
    ns = {"plan": plans, "calls": one_by_one}
    ns["loop"] = bench.measure([(LOOP, Way(together.address, None, len(TEN)))])[0]
    return Row("ten filters (calls: ten loops)", ns, compile_ms(packed, bench.rounds))


def ask_long() -> str:
    """A filter of 1,000 terms that no set can hold."""
    text = " OR ".join(
        f"(Blob(FrameData, {26 + 4 * (i % 2)}, 4) == {i} AND Blob(FrameData, 34, 2) == {i})"
        for i in range(500)
    )
    packed = fastcap.compile(text).program.packed()
    hosts = " or ".join(f"host 10.{i % 7}.{i % 251}.{i % 97}" for i in range(1000))
    ms = compile_ms([packed], 5), compile_ms([fastcap.compile(hosts).program.packed()], 5)
    return f"1,000 terms: {ms[0]:.1f} ms where each is a comparison, {ms[1]:.1f} ms of hosts"


def lines_of(rows: list[Row]) -> list[str]:
    lines = [
        f"| ns a frame | {' | '.join(WAYS)} | bpf_filter / loop | made in, ms |",
        "| --- |" + " ---: |" * (len(WAYS) + 2),
    ]
    for row in rows:
        cells = [f"{row.ns[way]:.1f}" if way in row.ns else "" for way in WAYS]
        ratio = f"{row.ns['bpf_filter'] / row.ns['loop']:.1f}" if "bpf_filter" in row.ns else ""
        lines.append(f"| {row.question} | {' | '.join(cells)} | {ratio} | {row.compile_ms:.2f} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Machine code beside those who interpret.")
    add: Any = parser.add_argument
    add("--frames", type=int, default=4096, help="a multiple of 64; 4096 stay in the cache")
    add("--captured", type=int, default=80, metavar="BYTES")
    add("--rounds", type=int, default=9)
    add("--markdown", metavar="PATH", help="write the table to a file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        traffic = Traffic(folder, options.frames // GROUP * GROUP, options.captured)
        bench = Bench(build(folder), traffic, options.rounds)
        rows = [ask(bench, question, *texts) for question, texts in QUESTIONS.items()]
        rows.append(ask_ten(bench))
    lines = [*lines_of(rows), "", f"{ask_long()}. Python {platform.python_version()}"]
    print("\n".join(lines))
    if options.markdown:
        Path(options.markdown).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
