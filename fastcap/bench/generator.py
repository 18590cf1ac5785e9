"""Traffic for benches of captures: sent natively at a pace, counted exactly."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from fastcap import interfaces
from fastcap._native.cancel import Cancel
from fastcap._native.generator import (
    FCS,
    LONGEST,
    MOST_FLOWS,
    MOST_SIZES,
    MOST_THREADS,
    SHORTEST,
    NativeGenerator,
)
from fastcap._native.sender import NativeSender
from fastcap.errors import InputError, UsageError
from fastcap.formats.linktypes import ETHERNET
from fastcap.waiting import Work, start_thread

SECOND = 1_000_000_000  # nanoseconds
# Bytes on the wire, with the 4 of the FCS: RFC 2544's without 256 and 1280, and 300 between them.
SIZES = (64, 128, 300, 512, 1024, 1518)
# The mix that data sheets call simple IMIX: IP packets of 40, 576 and 1500 bytes, 7 : 4 : 1, in
# Ethernet frames. It is no standard; RFC 6985 only says how to name a mix.
IMIX = ((64, 7), (594, 4), (1518, 1))
MIX = "mix"  # what IMIX is called on a command line

_ETHERNET_HEADER = 14
_LEAST_RATE, _MOST_RATE = 0.001, 1e9  # frames a second, of one thread
_LEAST_SECONDS, _MOST_SECONDS = 1e-6, 365 * 86400
# Until then all threads have started, so that none begins late.
_LEAD_NS, _LEAD_NS_A_THREAD = 5_000_000, 1_000_000


def sizes_of(word: str) -> tuple[tuple[int, int], ...]:
    """Sizes and their weights, of bytes on the wire or MIX.

    >>> sizes_of("64")
    ((64, 1),)
    """
    return IMIX if word == MIX else ((int(word), 1),)


class ThreadSent(NamedTuple):
    """What one thread sent; the counters of struct fc_sender_account (csrc/sender.h).

    `sent` frames the kernel took, in the order of their serials; `bytes` of these on the wire,
    their checksums included. `refused` are calls of which the kernel did not take all frames,
    which were then tried again. `late` times the thread was more than a millisecond behind and
    gave that up, `late_ns` in all: so much of its time it did not send at the rate asked for.
    """

    sent: int
    bytes: int
    refused: int
    late: int
    late_ns: int
    elapsed_ns: int


class Sent(NamedTuple):
    """What a load sent, by thread, and the rate that was asked for (0: as fast as they go)."""

    threads: tuple[ThreadSent, ...]
    asked: float

    @property
    def frames(self) -> int:
        return sum(thread.sent for thread in self.threads)

    @property
    def bytes(self) -> int:
        return sum(thread.bytes for thread in self.threads)

    @property
    def refused(self) -> int:
        return sum(thread.refused for thread in self.threads)

    @property
    def late(self) -> int:
        return sum(thread.late for thread in self.threads)

    @property
    def late_ns(self) -> int:
        """Of the thread that was latest."""
        return max(thread.late_ns for thread in self.threads)

    @property
    def elapsed_ns(self) -> int:
        """Of the thread that took longest."""
        return max(thread.elapsed_ns for thread in self.threads)

    @property
    def rate(self) -> float:
        """Frames a second that were achieved."""
        return self.frames * SECOND / self.elapsed_ns if self.elapsed_ns else 0.0

    @property
    def by_thread(self) -> tuple[int, ...]:
        """Frames: what `fastcap.bench.serials.read_serials` wants to know."""
        return tuple(thread.sent for thread in self.threads)


@dataclass(frozen=True)
class Load:
    """Traffic, and how much of it: Ethernet, IPv4, TCP and UDP between many hosts, every frame
    with the number of the `bench`, a serial number and the time when it was made in its first 60
    bytes (csrc/generator.h). What the frames are follows from `seed` alone, whatever `threads` is.

    `rate` is in frames a second, all threads together; 0 means as fast as they go. `sizes` are
    pairs (bytes on the wire, weight), such as IMIX. Bytes on the wire count the FCS, 4 bytes that
    the interface adds; what is handed over, and what a capture sees, is 4 bytes shorter: 64 on the
    wire are 60 in a file. `flows` are pairs of addresses and ports, `tcp_percent` of them TCP.

    It ends after so many `frames` or `seconds`, whichever comes first; 0 is no limit. With several
    threads, thread i of n sends the serials i, i + n, i + 2n …; `cpus` has a processor for each,
    or is empty: on two processors at once frames of a thread may overtake each other.

    UsageError for what cannot be.
    """

    interface: str
    _: KW_ONLY
    rate: float = 0
    sizes: tuple[tuple[int, int], ...] = ((64, 1),)
    seed: int = 1
    bench: int = 0
    flows: int = 1000
    tcp_percent: int = 85
    threads: int = 1
    seconds: float = 0
    frames: int = 0
    cpus: tuple[int, ...] = ()
    destination: str = "02:fc:ff:ff:ff:ff"

    def __post_init__(self) -> None:
        for holds, problem in (
            (0 < len(self.sizes) <= MOST_SIZES, f"1 to {MOST_SIZES} sizes"),
            (all(SHORTEST <= wire <= LONGEST for wire, _ in self.sizes),
             f"a size is {SHORTEST} to {LONGEST} bytes on the wire"),
            (all(weight >= 0 for _, weight in self.sizes)
             and 0 < sum(weight for _, weight in self.sizes) < 1 << 32, "weights of sizes"),
            (0 <= self.seed < 1 << 64, "a seed has 64 bits"),
            (0 <= self.bench < 1 << 32, "the number of a bench has 32 bits"),
            (1 <= self.flows <= MOST_FLOWS, f"1 to {MOST_FLOWS} flows"),
            (0 <= self.tcp_percent <= 100, "a share of TCP of 0 to 100 percent"),
            (1 <= self.threads <= MOST_THREADS, f"1 to {MOST_THREADS} threads"),
            (self.rate == 0 or _LEAST_RATE <= self.rate / self.threads <= _MOST_RATE,
             f"a rate is {_LEAST_RATE} to {_MOST_RATE:,.0f} frames a second and thread, or 0"),
            (self.seconds == 0 or _LEAST_SECONDS <= self.seconds <= _MOST_SECONDS,
             "a time of a microsecond to a year"),
            (0 <= self.frames < 1 << 63, "a number of frames"),
            (len(self.cpus) in (0, self.threads), "a processor for each thread, or none"),
        ):  # fmt: skip
            if not holds:
                raise UsageError(f"load: {problem}")
        _address(self.destination)

    def generator(self) -> NativeGenerator:
        """What makes the frames."""
        return NativeGenerator(
            seed=self.seed, bench=self.bench, sizes=self.sizes, flows=self.flows,
            tcp_percent=self.tcp_percent, destination=_address(self.destination),
        )  # fmt: skip

    def send(self, cancel: Cancel | None = None) -> Sent:
        """Sends until a limit, or until `cancel` is set, which it is too where a thread fails: a
        load with a part missing is none. InputError for the interface, and where the kernel refuses
        frames for good; UsageError for a load that would never end, or that the interface cannot
        carry."""
        if cancel is None and not self.frames and not self.seconds:
            raise UsageError("load: neither frames nor seconds limit it")
        return _Sending(self, self._number_of_interface(), cancel or Cancel()).all()

    def _number_of_interface(self) -> int:
        interface = interfaces.find(self.interface)
        longest = max(wire for wire, weight in self.sizes if weight) - FCS
        if interface.linktype != ETHERNET:
            raise UsageError(f"{self.interface}: no Ethernet")
        if longest > interface.mtu + _ETHERNET_HEADER:
            raise UsageError(
                f"{self.interface}: its MTU is {interface.mtu}, and frames of "
                f"{longest + FCS} bytes need {longest - _ETHERNET_HEADER}"
            )
        return interface.number


class _Sending:
    """The threads of one load."""

    def __init__(self, load: Load, interface: int, cancel: Cancel) -> None:
        self.load = load
        self.cancel = cancel
        generator = load.generator()
        self.senders = [
            self._sender(generator, interface, index)
            for index in range(load.threads)
            if self._frames_of(index) or not load.frames
        ]

    def _frames_of(self, index: int) -> int:
        """Of the first `frames` serials."""
        load = self.load
        return (load.frames - index + load.threads - 1) // load.threads if load.frames else 0

    def _sender(self, generator: NativeGenerator, interface: int, index: int) -> NativeSender:
        load = self.load
        try:
            return NativeSender(
                generator, interface=interface, index=index, threads=load.threads,
                rate=load.rate / load.threads, frames=self._frames_of(index),
                duration_ns=round(load.seconds * SECOND), cancel=self.cancel,
            )  # fmt: skip
        except OSError as error:
            raise _refusal(load.interface, error) from error

    def all(self) -> Sent:
        start = time.monotonic_ns() + _LEAD_NS + _LEAD_NS_A_THREAD * len(self.senders)
        works = [Work(self._run, index, start) for index in range(len(self.senders))]
        threads: list[threading.Thread] = []
        try:
            threads += [start_thread(work.run, "fastcap-sender") for work in works]
            for work in works:
                work.done.wait()
        except BaseException:
            self.cancel.set()
            raise
        finally:
            for thread in threads:
                thread.join()
        self._raise_first(works)
        told = [ThreadSent(**sender.account()) for sender in self.senders]
        told += [ThreadSent(0, 0, 0, 0, 0, 0)] * (self.load.threads - len(told))
        return Sent(tuple(told), self.load.rate)

    def _run(self, index: int, start: int) -> None:
        """Each thread begins a part of the interval later, so that their frames alternate."""
        try:
            if self.load.cpus:
                os.sched_setaffinity(0, {self.load.cpus[index]})
            self.senders[index].run(start + round(SECOND * index / (self.load.rate or math.inf)))
        except BaseException:
            self.cancel.set()
            raise

    def _raise_first(self, works: list[Work[None]]) -> None:
        for work in works:
            if isinstance(work.error, OSError):
                sent = sum(sender.account()["sent"] for sender in self.senders)
                raise _refusal(self.load.interface, work.error, sent) from work.error
            work.result()


def _address(text: str) -> bytes:
    try:
        address = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        address = b""
    if len(address) != 6:
        raise UsageError(f"{text}: no Ethernet address, such as 02:fc:00:00:00:01")
    return address


def _refusal(interface: str, error: OSError, sent: int | None = None) -> InputError:
    behind = "" if sent is None else f", after {sent:,} frames"
    if error.errno == errno.EPERM:
        return InputError(f"{interface}: no permission to send; run it as root")
    if error.errno == errno.ENETDOWN:
        return InputError(f"{interface}: the interface is down{behind}")
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return InputError(f"{interface}: the interface is gone{behind}")
    return InputError(f"{interface}: {error.strerror}{behind}")
