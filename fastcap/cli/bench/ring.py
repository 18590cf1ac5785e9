"""fastcap bench ring"""

from __future__ import annotations

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report, temporary_files
from fastcap.cli.bench.scales import PPS
from fastcap.cli.flags import SIZE
from fastcap.cli.progress import progress_bar
from fastcap.errors import UsageError
from fastcap.postfilter import MOST_SNAPLEN


class _Frame(click.ParamType[str]):
    """A length on the wire, or the mix."""

    name = "frame"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value).strip()
        if text != "mix" and not (text.isascii() and text.isdigit() and len(text) < 10):
            self.fail(f"{value!r}: expected bytes on the wire, such as 64, or mix")
        return text


@click.command("ring", short_help="What a capture's reader and writer take for a frame.")
@click.option(
    "--frame",
    type=_Frame(),
    default="64",
    show_default=True,
    metavar="BYTES|mix",
    help="Length on the wire, FCS included; mix: 64, 594 and 1518 bytes, 7 : 4 : 1.",
)
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(1, MOST_SNAPLEN),
    default=80,
    show_default=True,
    metavar="N",
    help="Bytes of a frame that are kept.",
)
@click.option(
    "--rate",
    type=PPS,
    metavar="PPS",
    help="Frames a second, such as 14.88M; what finds no room in the ring is dropped. Default: as "
    "fast as the ring comes back, and none is dropped.",
)
@click.option("--ring", type=SIZE, default="64M", show_default=True, metavar="SIZE")
@click.option("--buffer", type=SIZE, default="64M", show_default=True, metavar="SIZE")
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 3600),
    default=5,
    show_default=True,
    metavar="N",
    help="Of each run.",
)
@click.option("--runs", type=click.IntRange(1, 1000), default=3, show_default=True, metavar="N")
@click.option(
    "--dir",
    "folder",
    metavar="PATH",
    help="Where files are written. Default: the temporary directory.",
)
@click.option(
    "--size",
    type=SIZE,
    metavar="SIZE",
    help="Use at most SIZE of the disk at any time. Default: a quarter of what is free, 2G at "
    "most.",
)
@click.option(
    "--file-size",
    type=SIZE,
    metavar="SIZE",
    help="Of the files, as -C of a capture. Default: 256M, or a quarter of --size.",
)
@output_options
def ring(
    frame: str,
    snaplen: int,
    rate: float | None,
    ring: int,
    buffer: int,
    seconds: float,
    runs: int,
    folder: str | None,
    size: int | None,
    file_size: int | None,
    output: Output,
) -> int:
    """What a capture's reader and writer take for a frame, from a simulated ring into files.

    \b
      fastcap bench ring
      fastcap bench ring --frame 512 --snaplen 80 --dir /data --seconds 30
      fastcap bench ring --rate 14.88M --dir /dev/shm --json

    No network and no rights are needed. Reader, writer and finisher are a capture's own; files are
    written, synced and deleted in a directory of their own, which is removed at the end. What is in
    them is checked first: where that is wrong no time is told, and the exit status is 1.
    """
    import tempfile

    from fastcap.bench import ring as measuring
    from fastcap.bench.alone import alone
    from fastcap.bench.generator import sizes_of
    from fastcap.bench.machine import processors
    from fastcap.bench.scratch import plan

    if rate == 0:
        raise UsageError("--rate 0: leave it out for as fast as they go")
    question = measuring.Question(sizes_of(frame), snaplen, ring, buffer, rate or 0)
    question.check()
    if folder is None:
        with temporary_files():
            folder = tempfile.gettempdir()
    planned = plan(
        folder, seconds, size, file_size, most=measuring.SIZE, largest_file=measuring.FILE_SIZE
    )
    with alone(), progress_bar() as progress:
        measured = measuring.measure(question, planned, runs, progress)
    title = f"{question.in_words}, snaplen {snaplen}, into {folder}: {runs} × {seconds:g} s"
    notes = measuring.notes(measured, question, processors())
    tables = measuring.tables(measured, question)
    print_report(title, tables, notes, output=output, charts=measuring.charts(measured))
    return exit_codes.OK
