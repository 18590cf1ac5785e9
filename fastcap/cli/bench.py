"""fastcap bench"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.flags import SIZE
from fastcap.cli.messages import say
from fastcap.cli.progress import progress_bar
from fastcap.errors import OutputError, UsageError
from fastcap.inputs import why
from fastcap.postfilter import MOST_SNAPLEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastcap.bench.report import Figures, Grid

_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_TIMES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"([0-9]{1,30}(?:\.[0-9]{1,30})?)"


class _Scaled(click.ParamType[float]):
    """A number and what multiplies it."""

    def __init__(self, name: str, pattern: str, units: dict[str, float], expected: str) -> None:
        self.name = name
        self.pattern = pattern
        self.units = units
        self.expected = expected

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(_NUMBER + self.pattern, str(value).strip(), re.I)
        if match is None:
            self.fail(f"{value!r}: expected {self.expected}")
        return float(match[1]) * self.units[match[2].lower()]


_RATE = _Scaled(
    "rate", r"\s*([kmgt]?)(?:bit)?(?:/s)?", dict(_THOUSANDS), "bits a second, such as 10G or 2.5G"
)
_PPS = _Scaled("pps", r"\s*([kmg]?)", dict(_THOUSANDS), "frames a second, such as 14.88M")
_SHARE = _Scaled("share", r"\s*(%)", {"%": 0.01}, "a share in percent, such as 1% or 0.5%")
_TIME = _Scaled("time", r"\s*([smhd]?)", dict(_TIMES), "a time, such as 2, 500s or 10m")
_SPEED = _Scaled(
    "speed", r"\s*([kmgt])(?:b?(?:/s)?)", dict(_THOUSANDS), "bytes a second, such as 900M or 1.2G"
)


@click.group("bench", short_help="Measure what this machine can take.")
def command() -> None:
    """Will this box drop frames? What a rate needs, and what disk and processors here give.

    \b
      fastcap bench plan --rate 10G --frame 512 --snaplen 80 --days 30 --hit 1%
      fastcap bench disk /data
      fastcap bench filter --filter 'tcp port 443' net1.pcap
    """


def _output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    markdown = click.option("--markdown", is_flag=True, help="Print Markdown.")
    return json_option(markdown(function))


def _check_output(as_json: bool, markdown: bool) -> None:
    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other: run it twice")


def _print(
    title: str,
    tables: Sequence[Figures | Grid],
    notes: Sequence[str],
    *tools: str,
    as_json: bool,
    markdown: bool,
) -> None:
    from fastcap.bench.machine import machine, versions
    from fastcap.bench.report import Report

    repeated = shlex.join(["fastcap", *sys.argv[1:]])
    report = Report(title, repeated, machine(), versions(*tools), tables, notes)
    if as_json:
        import json

        click.echo(json.dumps(report.as_json()))
    else:
        click.echo(report.as_markdown() if markdown else report.as_text())


@contextlib.contextmanager
def _temporary_files() -> Iterator[None]:
    """Errors of the temporary directory as what they are."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"temporary files: {why(error)}: TMPDIR elsewhere") from error


@command.command("plan", short_help="What a rate of frames needs, with the arithmetic.")
@click.option("--rate", type=_RATE, metavar="BITS", help="Of the wire, a second: 1G, 10G, 40G.")
@click.option("--pps", type=_PPS, metavar="N", help="In place of --rate: frames a second, 1.5M.")
@click.option(
    "--utilisation",
    type=_SHARE,
    default="100%",
    show_default=True,
    metavar="SHARE",
    help="How much of --rate is used.",
)
@click.option(
    "--frame",
    type=int,
    default=512,
    show_default=True,
    metavar="BYTES",
    help="Length of a frame on the wire, FCS included; 64 is the worst.",
)
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(0, MOST_SNAPLEN),
    default=80,
    show_default=True,
    metavar="N",
    help="Bytes of a frame that are kept; 0 keeps all.",
)
@click.option(
    "--days",
    type=float,
    default=30,
    show_default=True,
    metavar="N",
    help="How long matches are kept.",
)
@click.option(
    "--hit",
    type=_SHARE,
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="How many of the frames match.",
)
@click.option(
    "--stall",
    type=_TIME,
    default="2s",
    show_default=True,
    metavar="TIME",
    help="For how long fastcap or the disk may stand still without a loss.",
)
@click.option(
    "--behind",
    type=_TIME,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How far the filter may be behind the capture.",
)
@click.option(
    "--file-size",
    type=SIZE,
    default="1G",
    show_default=True,
    metavar="SIZE",
    help="Of the files that are captured, as -C.",
)
@click.option("--filter", "expression", metavar="EXPR", help="Whose cost counts. Default: a host.")
@click.option(
    "--disk-speed",
    type=_SPEED,
    metavar="BYTES",
    help="A second, sustained, as fastcap bench disk measures it: 900M.",
)
@click.option(
    "--capture-ns",
    type=float,
    metavar="NS",
    help="Processor time that the capture takes for a frame.",
)
@_output_options
def plan(
    rate: float | None,
    utilisation: float,
    snaplen: int,
    file_size: int,
    expression: str | None,
    disk_speed: float | None,
    as_json: bool,
    markdown: bool,
    **options: Any,
) -> int:
    """What a box needs for a rate of frames: files, disk, memory, processors, line by line.

    \b
      fastcap bench plan --rate 10G --frame 512 --snaplen 80 --days 30 --hit 1%
      fastcap bench plan --rate 10G --frame 64 --utilisation 40% --filter 'tcp port 443'
      fastcap bench plan --pps 1.5M --frame 300 --disk-speed 900M --capture-ns 60 --json

    The filter's cost is measured here, in a second or two, on made-up frames in a temporary file.
    Nothing else is: --disk-speed and --capture-ns take what was measured elsewhere.
    """
    from fastcap.bench import plan as planning
    from fastcap.bench.machine import processors
    from fastcap.bench.traffic import HOST

    _check_output(as_json, markdown)
    question = planning.Question(
        bits=rate, utilisation=utilisation, snaplen=snaplen, file_bytes=file_size,
        disk_bytes=None if disk_speed is None else int(disk_speed), **options,
    )  # fmt: skip
    question.check()
    text = f"host {HOST}" if expression is None else expression
    with _temporary_files():
        cost = planning.measure_filter(question, text)
    per_second = planning.frames_per_second(question)
    title = f"{per_second:,.0f} frames a second of {question.frame} bytes, snaplen {snaplen}"
    notes = [f"filter: {text}", *planning.notes(question, cost, processors())]
    _print(title, planning.tables(question, cost), notes, as_json=as_json, markdown=markdown)
    return exit_codes.OK


@command.command("disk", short_help="How fast a disk takes files, sustained and with stalls.")
@click.argument("path")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 86400),
    default=30,
    show_default=True,
    metavar="N",
    help="How long it writes.",
)
@click.option(
    "--size",
    type=SIZE,
    metavar="SIZE",
    help="Use at most SIZE of the disk at any time. Default: a quarter of what is free, 20G at "
    "most.",
)
@click.option(
    "--file-size",
    type=SIZE,
    metavar="SIZE",
    help="Of the files, as -C of a capture. Default: 1G, or a quarter of --size.",
)
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(1, MOST_SNAPLEN),
    default=80,
    show_default=True,
    metavar="N",
    help="Captured bytes of the frames whose rate is told.",
)
@_output_options
def disk(
    path: str,
    seconds: float,
    size: int | None,
    file_size: int | None,
    snaplen: int,
    as_json: bool,
    markdown: bool,
) -> int:
    """How fast the disk of directory PATH takes captured files, and how long it stands still.

    \b
      fastcap bench disk /data
      fastcap bench disk /data --seconds 120 --size 50G --snaplen 128 --markdown

    A capture's own writer writes files, syncs them and deletes the oldest, in a directory of its
    own in PATH, which is removed at the end. Some of the disk always stays free.
    """
    from fastcap.bench import disk as measuring

    _check_output(as_json, markdown)
    planned = measuring.plan(path, seconds, size, file_size)
    with progress_bar() as progress:
        measured = measuring.measure(planned, progress)
    notes = [
        f"at most {planned.size >> 20:,} MiB were on the disk at once, in files of "
        f"{planned.file_size >> 20:,} MiB; each was synced before the oldest was deleted",
        "noise is written, which no file system can compress",
        *measured.notes,
    ]
    title = f"{path}: {measured.synced:.1f} s of a capture's writes"
    tables = measuring.tables(measured, snaplen)
    _print(title, tables, notes, as_json=as_json, markdown=markdown)
    return exit_codes.OK


@command.command("filter", short_help="How fast files are filtered, beside tcpdump.")
@click.argument("files", nargs=-1)
@click.option(
    "--filter",
    "expression",
    metavar="EXPR",
    help="What is looked for. Default: a host that occurs in the first file.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    metavar="N",
    help="Of each tool, in turns.",
)
@click.option(
    "--size", type=SIZE, metavar="SIZE", help="Of made-up frames, without FILES. Default: 256M."
)
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(54, 1514),
    metavar="N",
    help="Captured bytes of made-up frames. Default: 80.",
)
@_output_options
def filter_(
    files: tuple[str, ...],
    expression: str | None,
    runs: int,
    size: int | None,
    snaplen: int | None,
    as_json: bool,
    markdown: bool,
) -> int:
    """How fast fastcap filters FILES, or made-up frames without any, beside tcpdump.

    \b
      fastcap bench filter
      fastcap bench filter net1_*.pcap --filter 'tcp port 443' --runs 5
      fastcap bench filter /data/captures --json

    The counts are compared first; where they differ nothing is timed and the exit status is 1.
    Both only count. FILES are captures or directories of them; nothing is written beside them.
    """
    from fastcap.bench import offline
    from fastcap.bench.traffic import HOST

    _check_output(as_json, markdown)
    if files and (size is not None or snaplen is not None):
        raise UsageError("--size and --snaplen are of made-up frames; FILES are as they are")
    with contextlib.ExitStack() as opened:
        if files:
            source = offline.given(files)
            text = offline.a_host_of(source.paths[0]) if expression is None else expression
        else:
            with _temporary_files():
                source = opened.enter_context(offline.made_up(size or 256 << 20, snaplen or 80))
            text = f"host {HOST}" if expression is None else expression
        with progress_bar() as progress:
            compared = offline.compare(source, text, runs, progress)
    if compared.damaged:
        say("an input is damaged, and was used up to the damage: fastcap info tells where")
    title = f"filter {text!r}, {compared.frames:,} frames"
    notes = offline.notes(compared, runs)
    tables = offline.tables(compared)
    _print(title, tables, notes, "tcpdump", as_json=as_json, markdown=markdown)
    return exit_codes.DAMAGED if compared.damaged else exit_codes.OK
