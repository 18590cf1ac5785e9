"""What a box needs for a rate of frames: arithmetic that can be repeated with a calculator."""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
from typing import NamedTuple

from fastcap._native.generator import FCS
from fastcap.bench.folder import own_folder
from fastcap.bench.report import Figure, Figures
from fastcap.bench.stops import heeded
from fastcap.bench.traffic import LEAST_CAPTURED, make_capture
from fastcap.errors import UsageError
from fastcap.formats.pcap import RECORD_HEADER_SIZE
from fastcap.postfilter import filter_files

PREAMBLE_AND_GAP = 20  # bytes on the wire before and behind each frame: 8 and 12
SHORTEST = 64
LONGEST = 9216 + 14 + 4 + FCS  # an MTU of 9,216 behind Ethernet's header and a VLAN tag
_ASSUMED_CAPTURE_NS = 45  # of reader, writer and finisher together, where it cannot be measured
MOST_BITS = 10**13  # a second
MOST_DAYS = 36_500.0
MOST_SECONDS = 86_400.0
_RING_HEADER = 82  # bytes before the frame: tpacket3_hdr, sockaddr_ll, aligned (linux/if_packet.h)
_RING_ALIGNMENT = 8
_MEASURED_BYTES = 64 << 20
_LEAST_RUNS, _MOST_RUNS = 3, 9
_MEASURE_SECONDS = 1.0
_CAPTURE_RUNS, _CAPTURE_SECONDS = 3, 0.3
_CAPTURE_MEMORY = 64 << 20  # bytes of ring, and of buffer
_CAPTURE_DISK = 512 << 20
_MOST_MEASURED = 1518  # bytes on the wire: the generator's longest frame
_GIGA = 1e9


class Question(NamedTuple):
    """`bits` a second of the wire, or `pps` frames a second. Shares are 0 to 1. `file_bytes`,
    `disk_bytes` a second (None: not known), `capture_ns` (None: measured)."""

    bits: float | None
    pps: float | None
    frame: int
    snaplen: int
    utilisation: float
    days: float
    hit: float
    stall: float
    behind: float
    file_bytes: int
    disk_bytes: int | None
    capture_ns: float | None

    def check(self) -> None:
        """UsageError for what no network has."""
        if (self.bits is None) == (self.pps is None):
            raise UsageError("how much comes? either --rate, as in 10G, or --pps")
        if self.pps is not None and self.utilisation != 1:
            raise UsageError("--utilisation is a share of --rate; --pps is what comes")
        if not SHORTEST <= self.frame <= LONGEST:
            raise UsageError(
                f"--frame {self.frame}: an Ethernet frame has {SHORTEST} to {LONGEST:,} bytes, "
                "its FCS included"
            )
        most = MOST_BITS / (8 * (SHORTEST + PREAMBLE_AND_GAP))
        _within("--rate", self.bits, MOST_BITS, "bits a second")
        _within("--pps", self.pps, most, "frames a second")
        _within("--days", self.days, MOST_DAYS, "days")
        _within("--stall", self.stall, MOST_SECONDS, "seconds")
        _within("--behind", self.behind, 3660 * 24, "seconds")
        _within("--capture-ns", self.capture_ns, 1e6, "ns")
        _within("--disk-speed", self.disk_bytes, 1e15, "bytes a second")
        for name, share in (("--hit", self.hit), ("--utilisation", self.utilisation)):
            if not 0 <= share <= 1 or (name == "--utilisation" and share == 0):
                raise UsageError(f"{name} {100 * share:g}%: a share is above 0% and at most 100%")
        if frames_per_second(self) < 1:
            raise UsageError("less than a frame a second: no plan is needed for that")

    @property
    def captured(self) -> int:
        whole = self.frame - FCS
        return min(self.snaplen, whole) if self.snaplen else whole


def _within(name: str, value: float | None, most: float, unit: str) -> None:
    if value is not None and not 0 < value <= most:
        raise UsageError(f"{name} {value:g}: more than 0 and at most {most:,.0f} {unit}")


class FilterCost(NamedTuple):
    """Of one processor: the median of `runs` over made-up frames, `captured` bytes each."""

    ns: float
    frames: int
    captured: int
    runs: int
    engine: str


def measure_filter(question: Question, expression: str) -> FilterCost:
    """Filters a capture in a temporary file, on one processor. FilterError; OSError; a signal ends
    it between two runs."""
    captured = max(LEAST_CAPTURED, question.captured)
    wire = max(captured, question.frame - FCS)
    with heeded() as heed, own_folder(tempfile.gettempdir()) as folder:
        path = os.path.join(folder, "made-up.pcap")
        made = make_capture(
            path, _MEASURED_BYTES, captured=captured, wire=wire, hit_share=question.hit, heed=heed
        )
        seconds: list[float] = []
        while len(seconds) < _LEAST_RUNS or (
            len(seconds) < _MOST_RUNS and sum(seconds) < _MEASURE_SECONDS
        ):
            heed()
            result = filter_files(expression, [path], jobs=1)
            seconds.append(result.elapsed_s)
    ns = 1e9 * statistics.median(seconds) / made.frames
    return FilterCost(round(ns, 2), made.frames, captured, len(seconds), result.engine.name)


class CaptureCost(NamedTuple):
    """Of reader, writer and finisher of a capture together, without the kernel's work; and where
    that number is from."""

    ns: float
    origin: str
    is_known: bool = True


def measure_capture(question: Question) -> CaptureCost:
    """From a simulated ring into files in the temporary directory, for less than a second, where
    the question does not say it. FastcapError; a signal ends it."""
    if question.capture_ns is not None:
        return CaptureCost(question.capture_ns, "--capture-ns")
    if sys.platform != "linux":
        return CaptureCost(_ASSUMED_CAPTURE_NS, "assumed, NOT measured here", False)
    from fastcap.bench import ring, scratch

    wire = min(question.frame, _MOST_MEASURED)
    asked = ring.Question(((wire, 1),), question.captured, _CAPTURE_MEMORY, _CAPTURE_MEMORY, rate=0)
    plan = scratch.plan(
        tempfile.gettempdir(), _CAPTURE_SECONDS, None, None, most=_CAPTURE_DISK,
        largest_file=_CAPTURE_DISK,
    )  # fmt: skip
    runs = ring.measure(asked, plan, _CAPTURE_RUNS).runs
    ns = statistics.median(ring.cpu_ns(run) for run in runs)
    written = sum(run.written for run in runs)
    return CaptureCost(
        round(ns, 2),
        f"measured here: median of {len(runs)} runs, {written:,} frames from a simulated ring",
    )


# ---- Arithmetic -------------------------------------------------------------------------------


def tables(question: Question, cost: FilterCost, capture: CaptureCost) -> list[Figures]:
    """UsageError where the question makes no sense."""
    question.check()
    frames = frames_per_second(question)
    written = frames * (RECORD_HEADER_SIZE + question.captured)
    return [
        _wire(question, frames),
        _files(question, frames, written),
        _disk(question, written),
        _memory(question, frames, written),
        _cores(frames, cost, capture),
    ]


def frames_per_second(question: Question) -> float:
    if question.pps is not None:
        return question.pps
    assert question.bits is not None
    return question.bits * question.utilisation / wire_bits(question.frame)


def wire_bits(frame: int) -> int:
    """Bits of the wire's time that a frame takes.

    >>> wire_bits(64)
    672
    """
    return 8 * (frame + PREAMBLE_AND_GAP)


def ring_bytes(captured: int) -> int:
    """Bytes of the kernel's ring that a frame takes.

    >>> ring_bytes(80), ring_bytes(60)
    (168, 144)
    """
    return -(-(_RING_HEADER + captured) // _RING_ALIGNMENT) * _RING_ALIGNMENT


def _wire(question: Question, frames: float) -> Figures:
    bits = wire_bits(question.frame)
    rows = [
        Figure("wire_bits_per_frame", "a frame on the wire", bits, "bits",
               f"({question.frame} + {PREAMBLE_AND_GAP}) × 8"),
    ]  # fmt: skip
    if question.bits is None:
        rows.append(Figure("frames_per_second", "frames", frames, "/s", "--pps"))
        rows.append(
            Figure("wire_gbit_per_second", "that needs a wire of", frames * bits / _GIGA, "Gbit/s",
                   f"{frames:,.0f} /s × {bits} bits")
        )  # fmt: skip
    else:
        used = f" × {100 * question.utilisation:g} %" if question.utilisation != 1 else ""
        rows.append(
            Figure("frames_per_second", "frames", round(frames), "/s",
                   f"{question.bits:,.0f} bit/s{used} / {bits} bits")
        )  # fmt: skip
    rows.append(
        Figure("ns_between_frames", "one every", round(1e9 / frames, 2), "ns",
               f"1,000,000,000 / {frames:,.0f}")
    )  # fmt: skip
    return Figures("wire", "on the wire", rows)


def _files(question: Question, frames: float, written: float) -> Figures:
    record = RECORD_HEADER_SIZE + question.captured
    hour = written * 3600 / question.file_bytes
    kept = "the frame without FCS" if question.captured == question.frame - FCS else "snaplen"
    rows = [
        Figure("record_bytes", "a record", record, "bytes",
               f"{RECORD_HEADER_SIZE} + {question.captured} ({kept})"),
        Figure("written_mb_per_second", "written", round(written / 1e6, 2), "MB/s",
               f"{frames:,.0f} /s × {record} bytes"),
        Figure("files_per_hour", "files an hour", round(hour, 1), "",
               f"{written:,.0f} bytes/s × 3,600 s / {question.file_bytes:,} bytes"),
        Figure("seconds_per_file", "a file lasts", round(3600 / hour, 2), "s",
               f"{question.file_bytes:,} bytes / {written:,.0f} bytes/s"),
    ]  # fmt: skip
    if question.disk_bytes is not None:
        rows.append(
            Figure("disk_used_percent", "of the disk's speed",
                   round(100 * written / question.disk_bytes, 1), "%",
                   f"{written:,.0f} / {question.disk_bytes:,} bytes/s (--disk-speed)")
        )  # fmt: skip
    return Figures("files", "files", rows)


def _disk(question: Question, written: float) -> Figures:
    waiting = written * question.behind
    originals = 3 * question.file_bytes + waiting
    matches = written * 86_400 * question.days * question.hit
    rows = [
        Figure("originals_gb", "originals in flight", round(originals / _GIGA, 2), "GB",
               f"3 × {question.file_bytes:,} bytes (written, synced, filtered) "
               f"+ {written:,.0f} bytes/s × {question.behind:g} s (--behind)"),
        Figure("matches_gb", f"matches of {question.days:g} days", round(matches / _GIGA, 2), "GB",
               f"{written:,.0f} bytes/s × 86,400 s × {question.days:g} × {100 * question.hit:g} %"),
        Figure("disk_gb", "disk in all", round((originals + matches) / _GIGA, 2), "GB",
               f"{originals / _GIGA:,.2f} + {matches / _GIGA:,.2f}"),
    ]  # fmt: skip
    return Figures("disk", "disk", rows)


def _memory(question: Question, frames: float, written: float) -> Figures:
    a_frame = ring_bytes(question.captured)
    ring = frames * a_frame * question.stall
    buffer = written * question.stall
    rows = [
        Figure("ring_bytes_per_frame", "a frame in the ring", a_frame, "bytes",
               f"{_RING_HEADER} + {question.captured}, up to a multiple of {_RING_ALIGNMENT}"),
        Figure("ring_mib", f"--ring, if fastcap stands still {question.stall:g} s",
               math.ceil(ring / (1 << 20)), "MiB",
               f"{frames:,.0f} /s × {a_frame} bytes × {question.stall:g} s / 1,048,576"),
        Figure("buffer_mib", f"--buffer, if the disk does {question.stall:g} s",
               math.ceil(buffer / (1 << 20)), "MiB",
               f"{written:,.0f} bytes/s × {question.stall:g} s / 1,048,576"),
    ]  # fmt: skip
    return Figures("memory", "memory", rows)


def _cores(frames: float, cost: FilterCost, capture: CaptureCost) -> Figures:
    capturing, filtering = frames * capture.ns / _GIGA, frames * cost.ns / _GIGA
    rows = [
        Figure("capture_ns", "capture, a frame", capture.ns, "ns", capture.origin),
        Figure("capture_cores", "capture", round(capturing, 3), "cores",
               f"{frames:,.0f} /s × {capture.ns:g} ns / 1,000,000,000"),
        Figure("filter_ns", "filter, a frame", cost.ns, "ns",
               f"measured here: median of {cost.runs} runs over {cost.frames:,} frames"),
        Figure("filter_cores", "filter", round(filtering, 3), "cores",
               f"{frames:,.0f} /s × {cost.ns:g} ns / 1,000,000,000"),
        Figure("cores", "in all", round(capturing + filtering, 3), "cores",
               f"{capturing:.3f} + {filtering:.3f}, without the kernel's own"),
    ]  # fmt: skip
    return Figures("cores", "processors", rows)


def notes(question: Question, cost: FilterCost, capture: CaptureCost, processors: int) -> list[str]:
    frames = frames_per_second(question)
    told = [
        f"a frame is counted with its FCS of {FCS} bytes, which is not captured; on the wire "
        f"{PREAMBLE_AND_GAP} bytes of preamble and gap come with it; a record's header has "
        f"{RECORD_HEADER_SIZE} bytes; a file's 24 bytes are left out; GB are 1,000,000,000 bytes",
        "the kernel's own work of receiving a frame, in the interrupt, is in no figure here; "
        "it often takes more than all the rest",
    ]
    if not capture.is_known:
        told.append(
            f"the capture's cost was not measured here: {capture.ns:g} ns are of another machine; "
            "--capture-ns takes yours"
        )
    reader = frames * capture.ns / _GIGA
    if reader + frames * cost.ns / _GIGA > processors:
        told.append(f"this machine has {processors} processors: it does not carry that")
    if question.disk_bytes is None:
        told.append(
            "the disk was not measured: fastcap bench disk does that, --disk-speed takes it"
        )
    elif question.disk_bytes < frames * (RECORD_HEADER_SIZE + question.captured):
        told.append("the disk is slower than what is written: it does not carry that")
    if question.captured > _MOST_MEASURED - FCS and capture.origin.startswith("measured"):
        told.append(f"the capture was measured with {_MOST_MEASURED - FCS} captured bytes a frame")
    if cost.captured != question.captured:
        told.append(f"the filter was measured with {cost.captured} captured bytes a frame")
    return told
