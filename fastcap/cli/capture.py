"""fastcap capture"""

from __future__ import annotations

import json
import math
import os
import signal
import stat
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import click

from fastcap.capture import DEFAULT_BUFFER, DEFAULT_RING, DIRECTIONS, FORMATS, PRECISIONS, Capture
from fastcap.cli import exit_codes
from fastcap.cli.expression import read_filter
from fastcap.cli.flags import (
    FREE,
    MODE,
    ROTATE_SIZE,
    SIZE,
    Free,
    engine_option,
    pressure_option,
    verbose_option,
    vlan_option,
    with_parent_option,
)
from fastcap.cli.messages import say
from fastcap.cli.status_line import StatusLine
from fastcap.cli.terminal import Terminal
from fastcap.disk import ON_FULL
from fastcap.errors import InputError, UsageError
from fastcap.formats.linktypes import LONGEST_FRAME, name_of
from fastcap.interfaces import interfaces
from fastcap.parent import end_with
from fastcap.pressure import Gauge, Pressure
from fastcap.privileges import drop, group_of
from fastcap.segments import Segment
from fastcap.signals import SAME_STOP, STOPS, WOKEN, Signals

_SIGNALS = (*STOPS, signal.SIGHUP, signal.SIGUSR1)
_TICK = 1.0  # seconds
_MOST_OUTPUTS = 10_000  # that --json tells, the newest: a capture of months does not grow by them


def _list_interfaces(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    for interface in interfaces():
        kind = "not supported" if interface.linktype is None else name_of(interface.linktype)
        click.echo(f"{interface.number}\t{interface.name}\t{kind}\t{interface.state}\t"
                   f"mtu {interface.mtu}")  # fmt: skip
    ctx.exit()


@click.command("capture", short_help="Write the frames of an interface into files that rotate.")
@click.argument("words", nargs=-1, metavar="[EXPR]...")
@click.option("-i", "--interface", metavar="IFACE", help="Capture on IFACE.")
@click.option(
    "-w",
    "--write",
    metavar="PATH",
    help="Write to PATH, or - for standard output. With -C or -G the files are numbered: "
    "PATH without its suffix, a sequence number, the time of the first frame.",
)
@click.option(
    "-F",
    "--filter-file",
    metavar="FILE",
    help="Read the filter from FILE, or - for standard input.",
)
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(0, LONGEST_FRAME),
    default=LONGEST_FRAME,
    show_default=True,
    metavar="N",
    help="Keep the first N bytes of a frame, counted on the wire; 0 keeps all.",
)
@click.option(
    "--slice",
    metavar="l2|l3|l4[+N]",
    help="Keep headers by their real length, up to the link's (l2), IP's or ARP's (l3), or the "
    "transport's (l4), and N bytes more, such as l4+16. -s cuts as well.",
)
@click.option(
    "-C",
    "--rotate-size",
    type=ROTATE_SIZE,
    metavar="SIZE",
    help="Begin a new file before one is longer than SIZE: millions of bytes, as tcpdump has it, "
    "or with a suffix (1G, 500M), powers of 1024.",
)
@click.option(
    "-G",
    "--rotate-seconds",
    type=float,
    metavar="N",
    help="Files end at multiples of N seconds of the clock (UTC); decimals are allowed.",
)
@click.option(
    "-W",
    "--files",
    type=click.IntRange(1),
    metavar="N",
    help="Keep the newest N finished files of PATH, earlier captures' too, and delete older ones.",
)
@click.option("-c", "--limit", type=click.IntRange(1), metavar="N", help="Stop after N frames.")
@click.option(
    "--duration", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="Stop after SECONDS.",
)  # fmt: skip
@click.option(
    "--ring",
    type=SIZE,
    default=f"{DEFAULT_RING >> 20}M",
    show_default=True,
    metavar="SIZE",
    help="Memory of the kernel's ring.",
)
@click.option(
    "--buffer",
    type=SIZE,
    default=f"{DEFAULT_BUFFER >> 20}M",
    show_default=True,
    metavar="SIZE",
    help="Memory between ring and disk: what a disk that hangs is ridden out with.",
)
@click.option("-p", "no_promiscuous", is_flag=True, help="Not promiscuous.")
@click.option(
    "-Q",
    "--direction",
    type=click.Choice(DIRECTIONS),
    default="both",
    show_default=True,
    help="Frames that come in, that go out, or both.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="nano",
    show_default=True,
    help="Of the times in the files.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="Of the files; by default pcapng where PATH ends in .pcapng, else pcap. pcapng says in "
    "the file what was lost, and where.",
)
@click.option(
    "--count-rejected",
    is_flag=True,
    help="Count what the kernel's filter rejects: costs about 0.1 us a frame.",
)
@click.option(
    "--on-full",
    type=click.Choice(ON_FULL),
    default="wait",
    show_default=True,
    help="While files cannot be written: wait until they can, frames in the buffer; delete-oldest "
    "deletes finished files of PATH as well; stop.",
)
@click.option(
    "--keep-free",
    type=FREE,
    metavar="SIZE|N%",
    help="Delete the oldest finished files of PATH before less is free on their file system.",
)
@click.option(
    "--events",
    metavar="PATH",
    help="Append a line of JSON to PATH, a file or a FIFO, for each finished file, for "
    "what happens to the interface and the clock, the begin and the end.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse an interface that merges frames before they are captured: gro, lro, and tso "
    "for frames that go out.",
)
@click.option(
    "--wait-interface/--no-wait-interface",
    default=None,
    help="Wait for IFACE at the start too. Without either option one that goes is waited for; "
    "--no-wait-interface ends the capture then.",
)
@click.option(
    "-Z",
    "--user",
    metavar="NAME",
    help="Capture as user NAME. All rights but CAP_NET_RAW are given up in any case, so NAME (or "
    "root, without it) must be allowed to create files where -w wants them.",
)
@click.option("--group", metavar="NAME", help="Give the files to group NAME.")
@click.option(
    "--mode", type=MODE, default="0640", show_default=True, metavar="MODE",
    help="Of the files: octal.",
)  # fmt: skip
@vlan_option
@engine_option
@verbose_option
@click.option(
    "-D",
    "--list-interfaces",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_list_interfaces,
    help="List the interfaces and exit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object.")
@click.option("--numbers-of", metavar="SPOOL", hidden=True)
@pressure_option
@with_parent_option
def command(
    words: tuple[str, ...],
    interface: str | None,
    write: str | None,
    filter_file: str | None,
    rotate_size: int | None,
    duration: float | None,
    no_promiscuous: bool,
    as_json: bool,
    verbose: bool,
    snaplen: int,
    keep_free: Free | None,
    wait_interface: bool | None,
    user: str | None,
    group: str | None,
    pressure: int | None,
    with_parent: int | None,
    numbers_of: str | None,
    **options: Any,
) -> int:
    """Write the frames of an interface into files, until it is stopped.

    \b
      fastcap capture -i eth1 -s 80 -C 1G -w /data/net1.pcap
      fastcap capture -i eth1 -G 60 -W 1440 -w /data/day.pcap 'not port 22'
      fastcap capture -i eth1 -w - | tshark -r -

    EXPR is pcap-filter text, Blob comparisons, field names, or all of them (fastcap explain EXPR);
    it sees frames as they were on the wire, before they are cut. A file has its name only when it
    is complete and on the disk.

    SIGINT and SIGTERM stop, write what was received, and print the account; SIGHUP ends the file
    that is written; SIGUSR1 prints the counts. Exit status 3: frames were lost.
    """
    if interface is None:
        raise UsageError("no interface: -i IFACE (fastcap capture -D lists them)")
    if write is None:
        raise UsageError("where to? -w PATH, or -w - for standard output")
    if as_json and write in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        raise UsageError("--json and -w - both want standard output: name a file for one")
    if options["events"] == "-" and (as_json or write == "-"):
        raise UsageError("--events - wants standard output, as --json or -w - does: name a file")
    if as_json and options["events"] is not None and _is_stdout(options["events"]):
        raise UsageError("--events and --json both want standard output: name a file for one")
    if duration is not None and math.isnan(duration):
        raise UsageError("--duration: not a number of seconds")
    expression = " ".join(words)
    if filter_file is not None:
        if words:
            raise UsageError("more than one filter: give words or -F")
        expression = read_filter(filter_file)
    options["group"] = None if group is None else group_of(group)
    if keep_free is not None:
        options["keep_free"] = keep_free.of(write)
    page = None if pressure is None else _page(pressure)

    if numbers_of is not None:
        options["after"] = _after(numbers_of, os.path.basename(write))

    def with_fewer_rights() -> None:
        drop(user, options["group"])
        _end_with(with_parent)

    _end_with(with_parent)
    if wait_interface and not _is_there(interface):
        return exit_codes.INTERRUPTED
    segments: deque[Segment] = deque(maxlen=_MOST_OUTPUTS)
    signals = Signals(_SIGNALS)
    terminal = Terminal()
    try:
        capture = Capture(
            interface,
            write,
            expression,
            snaplen=snaplen or LONGEST_FRAME,
            rotate_bytes=rotate_size,
            promiscuous=not no_promiscuous,
            wait_interface=wait_interface is not False,
            before_files=with_fewer_rights,
            on_segment=segments.append if as_json else lambda _: None,
            on_note=terminal.say,
            on_end=signals.wake,
            **options,
        )
        try:
            terminal.start()
            for note in capture.notes:
                terminal.say(note)
            if verbose and capture.engine is not None:
                terminal.say(f"engine {capture.engine}")
            with signals:
                _run(capture, signals, terminal, duration, page)
        finally:
            capture.close()
    finally:
        terminal.close()
    status = _report(capture, segments, as_json)
    if capture.is_gone:
        raise InputError(f"{interface}: the interface is gone, which ended the capture")
    return status


def _page(fd: int) -> Pressure:
    try:
        return Pressure.attach(fd)
    except OSError as error:
        raise UsageError(f"--pressure {fd}: {error.strerror}") from error


def _end_with(parent: int | None) -> None:
    if parent is not None:
        end_with(parent, signal.SIGTERM)


def _after(spool: str, series: str) -> Callable[[], int]:
    """The highest number that is known in a spool, whose files may be gone. What that needs is
    imported now, for later there may be no right to read it."""
    from fastcap.pipeline.report import last_number

    return lambda: last_number(spool, series)


def _is_stdout(path: str) -> bool:
    """Not what forgets or shows all: a device."""
    try:
        told = os.fstat(1)
        return os.path.samestat(os.stat(path), told) and not stat.S_ISCHR(told.st_mode)
    except OSError:
        return False


def _is_there(name: str) -> bool:
    """Waits for the interface; False where it was told to stop before."""
    is_told = False
    with Signals(_SIGNALS) as signals:
        while all(interface.name != name for interface in interfaces()):
            if not is_told:
                say(f"{name} is not there: waiting until it is")
            is_told = True
            if any(number in STOPS for number in signals.wait(_TICK / 4)):
                return False
    return True


# ---- While it runs ----------------------------------------------------------------------------


def _run(
    capture: Capture,
    signals: Signals,
    terminal: Terminal,
    duration: float | None,
    page: Pressure | None = None,
) -> None:
    """Until the capture has ended. Whatever happens here, what was received by then is written."""
    gauge = None if page is None else Gauge(page, capture.load)
    capture.start()
    try:
        if gauge is not None:
            gauge.start()
        _attend(capture, signals, terminal, duration)
    finally:
        capture.stop()
        capture.wait()
        if gauge is not None:
            gauge.end()


def _attend(capture: Capture, signals: Signals, terminal: Terminal, duration: float | None) -> None:
    now = time.monotonic()
    until = None if duration is None else now + duration
    line = StatusLine(capture, terminal)
    terminal.say(f"capturing on {capture.interface.name}, {_what(capture)}")
    stopped_at: float | None = None
    while not capture.wait(0):
        left = _TICK if until is None else min(_TICK, until - time.monotonic())
        for number in signals.wait(left):
            if number == WOKEN:
                capture.wait()
            elif number in STOPS and stopped_at is not None:
                if time.monotonic() - stopped_at < SAME_STOP:
                    continue
                terminal.say(
                    "stopped twice: what is not written yet is lost; the next capture to the same "
                    "path ends the unfinished file at its last whole frame"
                )
                terminal.close()
                os._exit(exit_codes.INTERRUPTED)
            elif number in STOPS:
                stopped_at = time.monotonic()
                capture.stop()
            elif number == signal.SIGHUP:
                capture.rotate()
            elif number == signal.SIGUSR1:
                terminal.say(str(capture.account()))
        if until is not None and time.monotonic() >= until:
            capture.stop()
            until = None
        line.show()


def _what(capture: Capture) -> str:
    kept = (
        "whole frames" if capture.snaplen >= LONGEST_FRAME else f"{capture.snaplen} bytes a frame"
    )
    if capture.slice is not None:
        kept = f"headers ({capture.slice}) of {kept}"
    runs = capture.filter_runs_in
    where = "" if runs is None else f", filter in {'the ' if runs[0] == 'k' else ''}{runs}"
    return f"{name_of(capture.linktype)}, {kept}{where}"


# ---- At the end -------------------------------------------------------------------------------


def _report(capture: Capture, segments: Collection[Segment], as_json: bool) -> int:
    try:
        result = capture.result()
    finally:
        account = capture.account()
        say(str(account))
        if as_json:
            _print_json(capture, segments)
    if not result.balances:
        say("these counts do not agree with the kernel's: do not rely on them, and tell us")
        return exit_codes.DAMAGED
    lost = account.frames_lost
    if result.reader_left:
        say("whoever read the output closed it before the end")
        lost -= account.frames_lost_writer  # those that it did not want
    return exit_codes.DAMAGED if lost else exit_codes.OK


def _print_json(capture: Capture, segments: Collection[Segment]) -> None:
    print(
        json.dumps(
            {
                "interface": capture.interface.name,
                "linktype": name_of(capture.linktype),
                "snaplen": capture.snaplen,
                "slice": str(capture.slice) if capture.slice else None,
                "filter": capture.filter.expression if capture.filter else None,
                "filter_runs_in": capture.filter_runs_in,
                "engine": capture.engine.as_json() if capture.engine else None,
                "elapsed_s": capture.elapsed_s,
                "balances": capture.balances,
                "account": capture.account().as_json(),
                "outputs": [segment.as_json() for segment in segments],
                "outputs_left_out": max(0, capture.status().files - len(segments)),
            }
        )
    )
