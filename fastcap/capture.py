"""Live capture into files: `fastcap.Capture`."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from fastcap import __version__, interfaces, sidecar
from fastcap._native.cancel import Cancel
from fastcap._native.capture import (
    LONGEST_FRAME,
    NO_LIMIT,
    SLICE_HEADERS,
    NativeCapture,
    reject_all,
)
from fastcap.account import Account
from fastcap.clock import Clock
from fastcap.disk import ON_FULL, Disk
from fastcap.engine import Engine
from fastcap.errors import FastcapError, InputError, OutputError, UsageError
from fastcap.events import STANDARD_OUTPUT, Events
from fastcap.filter import Filter
from fastcap.formats import pcapng
from fastcap.formats.linktypes import ETHERNET, name_of
from fastcap.formats.pcap import FileHeader
from fastcap.language import kernel
from fastcap.language.classic import packed
from fastcap.link import Link
from fastcap.offloads import advice, merging, offloads
from fastcap.outputs import Target, refusal, target_of
from fastcap.permissions import Permissions
from fastcap.pressure import Load
from fastcap.rotation import Closing, Rotation
from fastcap.segments import Segment
from fastcap.series import Series, is_numbered
from fastcap.slices import slice_of
from fastcap.telling import Telling
from fastcap.waiting import NoMoreThreadsError
from fastcap.watch import Watch

DIRECTIONS = ("in", "out", "both")
PRECISIONS = ("nano", "micro")
FORMATS = ("pcap", "pcapng")
DEFAULT_RING = DEFAULT_BUFFER = 256 << 20
SMALLEST_BUFFER = 8 << 20
SMALLEST_INTERVAL = 0.01  # seconds
_LARGEST_INTERVAL = 366 * 86400.0

_LARGEST_BLOCK = 1 << 20
_PAGE = 4096
_BLOCK_OVERHEAD = 512  # bytes of a block and of a frame that are headers, and more
_CHUNK, _SMALL_CHUNK = 4 << 20, 2 << 20
_SPARE_CHUNKS = 2  # of the buffer: one that is filled, and the next, while the disk does not work
_FEWEST_CHUNKS = 4  # two files that are filled, one that is written, one on its way
_FLUSH_NS = 1_000_000_000
_DETACHING = 5.0  # seconds in which a ring is usually read to its end
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 3


class Status(NamedTuple):
    """What goes on right now. `ring_fill` is 0 to 1, `buffer_used` bytes that wait to be written,
    `files` those finished, `writing` the path that is written."""

    account: Account
    ring_fill: float
    buffer_used: int
    files: int
    writing: str


class CaptureResult(NamedTuple):
    """What a capture did. `balances`: every frame that the kernel counted was read or is counted
    as dropped. `reader_left`: whoever read standard output closed it, which ended the capture."""

    account: Account
    outputs: list[Segment]
    elapsed_s: float
    balances: bool
    reader_left: bool


class Capture:
    """Frames of one interface into files, from `start` until `stop`, a limit, or an error.

    `path` is a file name, "-" for standard output, a FIFO or a device. With `rotate_bytes`,
    `rotate_seconds` (files end at multiples of it since 1970, UTC) or both it is the stem of a
    numbered series (fastcap.series), of which `files` keeps the newest; without, the one file's
    name. A file carries its name only when it is complete and synced.

    `expression`: a filter; it sees each frame as it was on the wire, before it is cut. `snaplen`:
    bytes of a frame that are kept, counted on the wire. `limit`: frames after which it ends.
    `ring`, `buffer`: bytes of memory for the kernel's ring, and between its reader and the disk.
    `direction`: "in", "out" or "both". `precision`: "nano" or "micro". `format`: "pcap", or
    "pcapng", which says in the file where frames are missing; None goes by the suffix.
    `count_rejected`: count what the kernel's filter rejects, at about 0.1 µs a frame. `vlan`:
    "wire", or "skip" for a filter that sees frames without their VLAN tags (fastcap.compile).
    `engine`: who runs what the kernel cannot decide, as for `fastcap.filter_files`.
    `notes` are lines about the filter that the user should see.

    `slice`: "l2", "l3" or "l4" keeps the headers up to that layer by their real length, "l4+16" 16
    bytes more; `snaplen` cuts as well. For Ethernet and RAW; docs/capture.md has the headers.

    `on_full`: while named files cannot be written, "wait" keeps frames in the buffer, and loses
    those for which that has no room; "delete-oldest" deletes the oldest finished files of the
    series as well; "stop" ends the capture. `keep_free`: bytes of the file system that are kept
    free by deleting the oldest.

    Beside each named file a JSON is written (fastcap.sidecar). `events`: a path, FIFO or "-", which
    gets a line of the same JSON for each finished file, one for each that is deleted, and one for
    the begin and the end. `strict` refuses an interface that merges frames before they are
    captured. `wait_interface`: when the interface is gone, it is captured again when one of its
    name is there; without, that ends the capture, and `is_gone` says so. Files of a series get
    numbers above what `after` says, which is asked when files are looked at. `mode` and `group`
    (its number) are of the files that are made.
    `before_files` is called by the constructor when all is checked that needs no right, and before
    the first file is made: that rights are given up then (fastcap.privileges).

    `on_segment`, `on_note`, `on_end` are called from other threads: with each finished file, with a
    line that the user should see, and at the end. `on_note` is also called by the constructor.

    InputError for the interface, PermissionError's message among them; OutputError; UsageError;
    FilterError. Linux only.
    """

    def __init__(
        self,
        interface: str,
        path: str | os.PathLike[str],
        expression: str = "",
        *,
        snaplen: int = LONGEST_FRAME,
        slice: str | None = None,  # noqa: A002
        rotate_bytes: int | None = None,
        rotate_seconds: float | None = None,
        files: int | None = None,
        limit: int | None = None,
        ring: int = DEFAULT_RING,
        buffer: int = DEFAULT_BUFFER,
        promiscuous: bool = True,
        direction: str = "both",
        precision: str = "nano",
        format: str | None = None,  # noqa: A002 - named as it is used
        count_rejected: bool = False,
        vlan: str = "wire",
        engine: str = "auto",
        on_full: str = "wait",
        keep_free: int | None = None,
        events: str | None = None,
        strict: bool = False,
        wait_interface: bool = True,
        after: Callable[[], int] = lambda: 0,
        mode: int = 0o640,
        group: int | None = None,
        before_files: Callable[[], None] = lambda: None,
        on_segment: Callable[[Segment], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        _check(snaplen, rotate_bytes, rotate_seconds, files, limit, ring, buffer, direction,
               precision)  # fmt: skip
        self.rotates = rotate_bytes is not None or rotate_seconds is not None
        _check_disk(on_full, keep_free, self.rotates)
        self.interface = interfaces.find(interface)
        self.linktype = _linktype_of(self.interface)
        self.filter = (
            Filter(expression, self.linktype, vlan, engine) if expression.strip() else None
        )
        self.snaplen = snaplen
        self.slice = None if slice is None else slice_of(slice, self.linktype)
        self.notes: list[str] = []
        self.kernel_filter: kernel.KernelFilter | None = None
        if self.filter is not None and (note := self.filter.snaplen_note(snaplen)):
            self.notes.append(note)
        self.segments: list[Segment] = []
        self._on_segment = on_segment or self.segments.append
        self._on_note = on_note or (lambda _: None)
        self._on_end = on_end or (lambda: None)
        self._missed = interfaces.Missed()
        self._read = threading.Event()  # the ring, to its end
        self._read.set()
        self._error: FastcapError | None = None
        self._started = self._elapsed = 0.0
        self._cancel = Cancel()
        self._threads: list[threading.Thread] = []
        self._result: CaptureResult | None = None
        self.is_gone = False
        self._told_in_file = Account()  # what the statistics at the end of the last file told
        self._look_at_offloads(direction, strict)
        target = _target_of(os.fsdecode(path), rotates=self.rotates, keeps=files is not None)
        self._is_pcapng = _is_pcapng(format, target.name)
        self._is_nano = precision == "nano"
        self._plan = self._kernel_plan(direction, count_rejected)
        permissions = Permissions(mode, group)
        with contextlib.ExitStack() as opened:
            telling_to = self._open_events(events, target, permissions, opened, before_files)
            self._telling = Telling(
                self.account,
                self._facts(direction=direction, precision=precision, vlan=vlan),
                telling_to,
                self._on_note,
                in_place=target.in_place,
                permissions=permissions,
            )
            self._series = self._open_series(target, permissions, after, opened)
            self._counter = self._open_counter(interface) if self._plan.counts else None
            opened.callback(self._close_counter)
            block_size, block_count = ring_blocks(ring, self._plan.ring_snaplen)
            chunk, chunks = buffer_chunks(buffer)
            self._buffer_size = chunks * chunk
            header = self._header()
            self._native = self._open_native(
                interface=self.interface.number,
                block_size=block_size,
                block_count=block_count,
                promiscuous=promiscuous,
                ignore_outgoing=self._plan.direction == "in",
                chunk_size=chunk,
                chunks=chunks,
                header=header,
                trailer=pcapng.LONGEST_STATISTICS if self._is_pcapng else 0,
                snaplen=snaplen,
                slice_layer=self.slice.layer if self.slice else 0,
                slice_more=self.slice.more if self.slice else 0,
                pcapng=self._is_pcapng,
                nanoseconds=self._is_nano,
                ethernet=self.linktype == ETHERNET,
                eager=not self.rotates,
                rotate_bytes=rotate_bytes or 0,
                rotate_ns=round((rotate_seconds or 0) * 1e9),
                flush_ns=0 if target.in_place else _FLUSH_NS,
                limit=NO_LIMIT if limit is None else limit,
                program=self._plan.program,
                ring_filter=packed(self._plan.ring_filter),
                counter_fd=-1 if self._counter is None else self._counter.fileno(),
                counter_filter=packed(kernel.only(self._plan.direction,
                                                         kernel.everything(1))),
            )  # fmt: skip
            self._rotation = Rotation(
                self._native,
                self._series,
                target,
                self._cancel,
                bare=not self.rotates,
                keep=files,
                header=header,
                trailer=self._statistics if self._is_pcapng else None,
                before_name=self._telling.before_name,
                on_segment=self._finished,
                on_note=self._on_note,
                disk=self._disk(on_full, keep_free, (chunks - _SPARE_CHUNKS) * chunk),
            )
            self._watch = self._watch_interface(direction, waits=wait_interface)
            opened.callback(self._watch.end)
            self._opened = opened.pop_all()

    # ---- Set-up -------------------------------------------------------------------------------

    def _look_at_offloads(self, direction: str, strict: bool) -> None:
        """Of frames that go out most captures see none, so those do not deserve a line."""
        self.offloads = offloads(self.interface.name)
        which = "in" if direction == "both" and not strict else direction
        names = merging(self.offloads, which)
        if names and strict:
            raise InputError(advice(self.interface.name, names))
        if names:
            self.notes.append(advice(self.interface.name, names))

    def _watch_interface(self, direction: str, *, waits: bool) -> Watch:
        return Watch(
            Link(self.interface),
            Clock(),
            self._telling,
            direction=direction,
            offloads=self.offloads,
            detach=self._native.detach if waits else self._end_without_interface,
            attach=self._attach,
            oversize=lambda: self._native.account()["oversize"],
            set_longest=self._native.set_longest,
            on_note=self._on_note,
        )

    def _end_without_interface(self) -> None:
        self.is_gone = True
        self.stop()

    def _attach(self, interface: interfaces.Interface) -> None:
        """Captures it in the place of one that is gone."""
        if interface.linktype != self.linktype:
            kind = "unknown" if interface.linktype is None else name_of(interface.linktype)
            raise InputError(f"{interface.name} is back with frames of another link type, {kind}")
        until = time.monotonic() + _DETACHING
        while self._native.is_attached():
            if self._cancel.is_set() or time.monotonic() > until:
                raise InputError(f"{interface.name} is back while frames still wait for the disk")
            time.sleep(0.005)
        counter = self._open_counter(interface.name) if self._plan.counts else None
        try:
            self._native.attach(interface.number, -1 if counter is None else counter.fileno())
        except BaseException as error:
            if counter is not None:
                counter.close()
            if isinstance(error, OSError):
                raise _socket_refusal(interface.name, error) from error
            raise
        self._close_counter()
        self._counter = counter
        self._missed.begin(interface.number)

    def _close_counter(self) -> None:
        if self._counter is not None:
            self._counter.close()

    def _open_series(
        self,
        target: Target,
        permissions: Permissions,
        after: Callable[[], int],
        opened: contextlib.ExitStack,
    ) -> Series | None:
        if target.in_place:
            _check_in_place(target)
            return None
        series = Series(target.name, permissions, self._telling.deleted, after=after)
        opened.callback(series.close)
        series.probe()
        series.recover(self._on_note)
        return series

    def _open_events(
        self,
        path: str | None,
        target: Target,
        permissions: Permissions,
        opened: contextlib.ExitStack,
        before_files: Callable[[], None],
    ) -> Events | None:
        """And gives rights up, at the moment that suits: after that only who owns standard output
        could open it."""
        is_stdout = path == STANDARD_OUTPUT
        if not is_stdout:
            before_files()
        if path is None:
            return None
        if not is_stdout and not target.in_place and _writes(path, target.name):
            raise UsageError(f"{path}: the capture writes that itself: other events, please")
        events = Events(path, self._on_note, permissions)
        opened.callback(events.close)
        if is_stdout:
            before_files()
        if target.in_place and events.is_same(
            os.stat(target.name) if target.fd is None else os.fstat(target.fd)
        ):
            raise UsageError(f"{events.name}: frames go there, so events cannot")
        return events

    def _facts(self, **more: str) -> dict[str, Any]:
        """How the capture is made."""
        return {
            "interface": self.interface.name,
            "mtu": self.interface.mtu,
            "offloads": self.offloads,
            "linktype": name_of(self.linktype),
            "format": "pcapng" if self._is_pcapng else "pcap",
            "snaplen": self.snaplen,
            "slice": str(self.slice) if self.slice else None,
            "filter": self.filter.expression if self.filter else None,
            "filter_runs_in": self.filter_runs_in,
            **more,
        }

    def _header(self) -> bytes:
        """What every file begins with."""
        if not self._is_pcapng:
            is_little = sys.byteorder == "little"
            return FileHeader(is_little, self._is_nano, self.snaplen, self.linktype).pack()
        system = os.uname()
        return pcapng.header(
            self.linktype,
            self.snaplen,
            interface=self.interface.name,
            nanoseconds=self._is_nano,
            expression=self.filter.expression if self.filter else None,
            application=f"fastcap {__version__}",
            system=f"{system.sysname} {system.release}",
        )

    def _kernel_plan(self, direction: str, count_rejected: bool) -> _Plan:
        if self.interface.is_loopback and direction == "both":
            direction = "in"  # loopback shows each frame going out and coming in
        snaplen = self.snaplen
        if self.slice is not None:
            snaplen = min(snaplen, SLICE_HEADERS + self.slice.more)
        if self.filter is None:
            taken = kernel.everything(snaplen)
            return _Plan(direction, snaplen, kernel.only(direction, taken), None, False)
        filter = self.filter
        for longest in kernel.LONGEST_LIVE:
            lowered = kernel.lower_live(
                filter.tree, filter.program, self.linktype, snaplen, filter.vlan, longest
            )
            instructions = kernel.only(direction, lowered.instructions)
            if len(lowered.instructions) == 1 or _kernel_takes(instructions):
                break
        else:
            self.notes.append("the kernel refuses the filter: it runs in user space alone")
            lowered = kernel.KernelFilter(kernel.everything(LONGEST_FRAME), False, LONGEST_FRAME)
            instructions = kernel.only(direction, lowered.instructions)
        self.kernel_filter = lowered
        if lowered.exact:
            return _Plan(direction, snaplen, instructions, None, count_rejected)
        self.notes += filter.runs_in().notes()
        counts = count_rejected and len(lowered.instructions) > 1
        return _Plan(direction, lowered.snaplen, instructions, filter.translated, counts)

    def _open_counter(self, interface: str) -> socket.socket:
        """A socket that holds next to nothing: the kernel counts what it had no room for too."""
        try:
            counter = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            try:
                counter.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
                reject_all(counter.fileno())
                if self._plan.direction == "in":
                    counter.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
                counter.bind((interface, _ETH_P_ALL))
            except BaseException:
                counter.close()
                raise
        except OSError as error:
            raise _socket_refusal(interface, error) from error
        return counter

    def _open_native(self, **settings: Any) -> NativeCapture:
        try:
            return NativeCapture(**settings)
        except MemoryError:
            raise FastcapError(
                f"no memory for a buffer of {settings['chunks'] * settings['chunk_size'] >> 20} "
                "MiB; give it less: --buffer 64M"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOMEM:
                size = settings["block_size"] * settings["block_count"] >> 20
                raise FastcapError(
                    f"the kernel has no memory for a ring of {size} MiB; give it less: --ring 64M"
                ) from None
            raise _socket_refusal(self.interface.name, error) from error

    def _disk(self, on_full: str, keep: int | None, room: int) -> Disk | None:
        if self._series is None or (on_full == "stop" and keep is None):
            return None

        def has_time() -> bool:
            return not self._cancel.is_set() and self._native.buffer_used()[0] < room

        return Disk(
            self._series, stops=on_full == "stop", deletes=on_full == "delete-oldest", keep=keep,
            has_time=has_time, on_note=self._on_note,
        )  # fmt: skip

    @property
    def filter_runs_in(self) -> str | None:
        """Where the filter decides: "kernel", "user space", "kernel, then user space" where the
        kernel leaves out what it can and user space decides, or None without a filter."""
        if self.filter is None or self.kernel_filter is None:
            return None
        if self.kernel_filter.exact:
            return "kernel"
        alone = len(self.kernel_filter.instructions) == 1
        return "user space" if alone else "kernel, then user space"

    @property
    def engine(self) -> Engine | None:
        """Who runs the filter in user space; None where the kernel decides all."""
        if self.filter is None or self.filter_runs_in in (None, "kernel"):
            return None
        return self.filter.runs_in()

    # ---- Running ------------------------------------------------------------------------------

    def start(self) -> None:
        """When it returns, frames that arrive are captured."""
        self._started = time.monotonic()
        self._rotation.since_ns = time.time_ns()
        self._telling.start()
        self._read.clear()
        self._missed.begin(self.interface.number)
        writer = threading.Thread(target=self._run_writer, name="fastcap-writer", daemon=True)
        reader = threading.Thread(target=self._run_reader, name="fastcap-reader", daemon=True)
        try:
            self._native.begin()
            _start(self._watch)
            _start(writer)
        except BaseException as error:
            self._opened.close()
            if isinstance(error, OSError):
                raise _socket_refusal(self.interface.name, error) from error
            raise
        self._threads = [writer]
        try:
            _start(reader)
        except BaseException:
            self.stop()
            self._run_reader()  # here: it ends at once, and the writer after it
            self.wait()
            raise

    def _run_reader(self) -> None:
        try:
            self._native.run()
        except OSError as error:
            self._error = InputError(f"{self.interface.name}: {error.strerror}")
        finally:
            self._missed.end()
            self._read.set()

    def _run_writer(self) -> None:
        try:
            self._rotation.run()
        finally:
            self._read.wait()
            self._watch.end()
            self._elapsed = time.monotonic() - self._started
            account = self.account()
            native = self._native.account()
            balances = account.balances and (
                native["read"] + native["dropped"] == native["accepted"]
            )
            self._telling.end(account, balances=balances)
            self._opened.close()
            self._result = CaptureResult(
                account, self.segments, self._elapsed, balances, self._rotation.reader_left
            )
            self._on_end()

    def _finished(self, segment: Segment) -> None:
        self._telling.finished(segment)
        self._on_segment(segment)

    def _statistics(self, closing: Closing) -> bytes:
        """What a pcapng ends with. What the ring dropped is counted with the record that comes
        behind it, so the counts are exactly those of the file; only what the driver missed and what
        the kernel's filter rejected are of the time."""
        account, told = self.account(), self._told_in_file
        self._told_in_file = account
        accepted = closing.frames + closing.dropped + closing.lost
        received = accepted if self.filter is None else None
        if self.filter is not None and account.frames_rejected_filter is not None:
            before = told.frames_rejected_filter or 0
            received = accepted + account.frames_rejected_filter - before
        lost = f"{closing.lost} frames lost by the writer" if closing.lost else ""
        return pcapng.statistics(
            closing.since_ns, closing.until_ns, nanoseconds=self._is_nano, received=received,
            missed=account.frames_missed_interface - told.frames_missed_interface,
            accepted=accepted, dropped=closing.dropped, delivered=closing.frames, comment=lost,
        )  # fmt: skip

    def stop(self) -> None:
        """Asks it to end: what the ring holds is still written, except to a FIFO that nobody has
        opened. Returns at once; see `wait`."""
        self._cancel.set()
        self._native.stop()

    def rotate(self) -> None:
        """The file that is written ends now; the next frame begins a new one. What is written in
        place goes on: a second header in the middle of it would be damage."""
        if self._series is None:
            self._on_note("what is written in place cannot rotate: it goes on")
        else:
            self._native.rotate()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended within `timeout` seconds, and calls nobody any more."""
        if not self._threads:
            return False
        self._threads[0].join(timeout)
        return not self._threads[0].is_alive()

    def close(self) -> None:
        """Stops it and waits; one that was never started, and cannot be any more, lets others write
        its files."""
        self.stop()
        if not self._threads:
            self._opened.close()
        self.wait()

    def result(self) -> CaptureResult:
        """Waits for the end of a capture that was started. Raises what ended it, if it was an
        error; `account` still answers then."""
        self._threads[0].join()
        error = self._error or self._rotation.error
        if error is not None:
            raise error
        assert self._result is not None
        return self._result

    @property
    def elapsed_s(self) -> float:
        """Seconds from `start` to the end, or until now."""
        return self._elapsed or time.monotonic() - self._started

    @property
    def balances(self) -> bool:
        """After the end: whether the counts agree with the kernel's."""
        return self._result is not None and self._result.balances

    def account(self) -> Account:
        """The counts, at any time. Between two of the kernel's counters being read they may differ
        by what is under way."""
        native = self._native.account()
        counts = self._rotation.counts
        received = max(native["accepted"], native["read"] + native["dropped"])
        rejected: int | None = native["rejected"]  # in user space
        if self._plan.counts:
            unseen = max(0, native["counted"] - received)
            received += unseen
            rejected = native["rejected"] + unseen
        elif self.filter_runs_in != "user space":  # nobody counts what the kernel rejects
            received -= native["rejected"]
            rejected = None
        return Account(
            frames_received=received - native["after_limit"],
            frames_written=counts.written,
            frames_dropped_ring=native["dropped"],
            ring_full_episodes=native["ring_full"],
            frames_missed_interface=self._missed.look(),
            frames_lost_writer=counts.lost,
            frames_rejected_filter=rejected,
            bytes_received=native["kept_wire_bytes"],
            buffer_high_water=self._native.buffer_used()[1],
            longest_block_wait_us=native["longest_wait_ns"] // 1000,
            frames_oversize=native["oversize"],
        )

    def status(self) -> Status:
        """What goes on right now."""
        return Status(
            self.account(),
            self._native.ring_fill(),
            self._native.buffer_used()[0],
            self._rotation.counts.files,
            self._rotation.current,
        )

    def load(self) -> Load:
        """How near it is to losing frames: cheap enough to be asked many times a second."""
        disk = self._rotation.disk
        return Load(
            self._native.ring_fill(),
            self._native.buffer_used()[0],
            self._buffer_size,
            disk is not None and disk.trouble.since is not None,
        )

    def __enter__(self) -> Capture:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _start(thread: threading.Thread | Watch) -> None:
    try:
        thread.start()
    except RuntimeError as error:
        raise NoMoreThreadsError(str(error)) from error


class _Plan(NamedTuple):
    """Who decides about a frame. `program` None: the kernel alone. `counts`: a second socket counts
    what the kernel's filter rejects."""

    direction: str
    ring_snaplen: int
    ring_filter: list[Any]
    program: Any
    counts: bool


def _kernel_takes(instructions: list[Any]) -> bool:
    """Asks it, on a socket that is thrown away: programs that are valid may still be too large for
    its limits (net.core.optmem_max)."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        code = ctypes.create_string_buffer(packed(instructions))
        program = struct.pack("HP", len(instructions), ctypes.addressof(code))
        try:
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        except OSError:
            return False
    return True


def ring_blocks(ring: int, snaplen: int) -> tuple[int, int]:
    """Size and number of the blocks of a ring of about `ring` bytes: the kernel cuts a frame that
    is longer than a block, so a block holds the longest, and there are at least two.

    >>> ring_blocks(256 << 20, 262144), ring_blocks(1 << 16, 80)
    ((1048576, 256), (8192, 8))
    """
    size = _PAGE
    while size < snaplen + _BLOCK_OVERHEAD or (size < _LARGEST_BLOCK and size * 16 <= ring):
        size *= 2
    return size, max(2, ring // size)


def buffer_chunks(buffer: int) -> tuple[int, int]:
    """Size and number of the chunks of a buffer of about `buffer` bytes.

    >>> buffer_chunks(256 << 20), buffer_chunks(8 << 20)
    ((4194304, 64), (2097152, 4))
    """
    chunk = _CHUNK if buffer >= _FEWEST_CHUNKS * _CHUNK else _SMALL_CHUNK
    return chunk, buffer // chunk


def _check(
    snaplen: int,
    rotate_bytes: int | None,
    rotate_seconds: float | None,
    files: int | None,
    limit: int | None,
    ring: int,
    buffer: int,
    direction: str,
    precision: str,
) -> None:
    for name, value, least in (
        ("snaplen", snaplen, 1),
        ("rotate_bytes", rotate_bytes, 1),
        ("files", files, 1),
        ("limit", limit, 1),
        ("ring", ring, 2 * _PAGE),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} is at least {least:,}, not {value:,}")
        if value is not None and value > NO_LIMIT:
            raise UsageError(f"{name} is at most {NO_LIMIT:,}, not {value:,}")
    if snaplen > LONGEST_FRAME:
        raise UsageError(f"snaplen is at most {LONGEST_FRAME:,}, not {snaplen:,}")
    if buffer < SMALLEST_BUFFER:
        raise UsageError(f"buffer is at least {SMALLEST_BUFFER >> 20}M, not {buffer:,} bytes")
    if rotate_seconds is not None and not SMALLEST_INTERVAL <= rotate_seconds <= _LARGEST_INTERVAL:
        raise UsageError(
            f"-G, rotate_seconds, is {SMALLEST_INTERVAL} to {_LARGEST_INTERVAL:,.0f} (a year), not "
            f"{rotate_seconds:,}"
        )
    if files is not None and rotate_bytes is None and rotate_seconds is None:
        raise UsageError("-W keeps the newest files of a series: say when a file ends, -C or -G")
    if direction not in DIRECTIONS or precision not in PRECISIONS:
        raise UsageError(f"direction is one of {DIRECTIONS}, precision one of {PRECISIONS}")
    check_memory(ring, buffer)


def _target_of(path: str, *, rotates: bool, keeps: bool) -> Target:
    target = target_of(path)
    if target.in_place and (rotates or keeps):
        raise UsageError(f"{target.name} is written in place: it cannot rotate")
    if not target.in_place and not rotates:
        for name in (target.name, sidecar.path_of(target.name)):
            if os.path.lexists(name):
                raise OutputError(f"{name}: exists; choose another name, or rotate: -C 1G")
    return target


def _writes(path: str, name: str) -> bool:
    """Whether a capture with -w `name` makes a file of this path itself."""
    folder, base = os.path.split(os.path.realpath(path))
    own, ours = os.path.split(os.path.realpath(name))
    base = base.removesuffix(sidecar.SUFFIX)
    return folder == own and (base == ours or is_numbered(base, ours))


def _check_in_place(target: Target) -> None:
    """Before the first frame: whether it may be written, by whom we are now."""
    if target.fd is None and not os.access(target.name, os.W_OK, effective_ids=True):
        raise refusal(target.name, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _is_pcapng(wanted: str | None, name: str) -> bool:
    if wanted is not None and wanted not in FORMATS:
        raise UsageError(f"format is one of {FORMATS}, not {wanted!r}")
    return name.lower().endswith(".pcapng") if wanted is None else wanted == "pcapng"


def _check_disk(on_full: str, keep_free: int | None, rotates: bool) -> None:
    if on_full not in ON_FULL:
        raise UsageError(f"on_full is one of {ON_FULL}, not {on_full!r}")
    if not rotates and (keep_free is not None or on_full == "delete-oldest"):
        raise UsageError("the oldest of a series are deleted: say when a file ends, -C or -G")


def check_memory(ring: int, buffer: int) -> None:
    """UsageError for more than there is. The kernel does not refuse a ring that is too large: it
    kills processes to make room."""
    available = None
    with contextlib.suppress(OSError), open("/proc/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"MemAvailable:"):
                available = int(line.split()[1]) << 10
    if available is not None and ring + buffer > available:
        raise UsageError(
            f"--ring and --buffer want {(ring + buffer) >> 20:,} MiB, and this machine has "
            f"{available >> 20:,} MiB to give; give them less, such as --ring 64M --buffer 64M"
        )


def _linktype_of(interface: interfaces.Interface) -> int:
    linktype = interface.linktype
    if linktype is None:
        raise InputError(
            f"{interface.name}: an interface of a kind (ARPHRD {interface.hardware}) whose frames "
            "fastcap does not know; tcpdump may: tcpdump -i " + interface.name
        )
    return linktype


def _socket_refusal(interface: str, error: OSError) -> FastcapError:
    if error.errno == errno.EPERM:
        python = os.path.realpath(sys.executable)
        return InputError(
            f"{interface}: no permission to capture: run it as root, or give Python the right with "
            f"sudo setcap cap_net_raw+ep {python}"
        )
    if error.errno == errno.ENODEV:
        return InputError(f"{interface}: the interface is gone")
    if error.errno in (errno.EAFNOSUPPORT, errno.ENOPROTOOPT):
        return InputError(f"{interface}: this kernel has no packet sockets with TPACKET_V3")
    return InputError(f"{interface}: {error.strerror}")
