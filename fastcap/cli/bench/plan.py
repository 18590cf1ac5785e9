"""fastcap bench plan"""

from __future__ import annotations

from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report, temporary_files
from fastcap.cli.bench.scales import PPS, RATE, SHARE, SPEED, TIME
from fastcap.cli.flags import SIZE
from fastcap.postfilter import MOST_SNAPLEN


@click.command("plan", short_help="What a rate of frames needs, with the arithmetic.")
@click.option("--rate", type=RATE, metavar="BITS", help="Of the wire, a second: 1G, 10G, 40G.")
@click.option("--pps", type=PPS, metavar="N", help="In place of --rate: frames a second, 1.5M.")
@click.option(
    "--utilisation",
    type=SHARE,
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
    type=SHARE,
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="How many of the frames match.",
)
@click.option(
    "--stall",
    type=TIME,
    default="2s",
    show_default=True,
    metavar="TIME",
    help="For how long fastcap or the disk may stand still without a loss.",
)
@click.option(
    "--behind",
    type=TIME,
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
    type=SPEED,
    metavar="BYTES",
    help="A second, sustained, as fastcap bench disk measures it: 900M.",
)
@click.option(
    "--capture-ns",
    type=float,
    metavar="NS",
    help="Processor time that the capture takes for a frame. Default: measured here.",
)
@output_options
def plan(
    rate: float | None,
    utilisation: float,
    snaplen: int,
    file_size: int,
    expression: str | None,
    disk_speed: float | None,
    output: Output,
    **options: Any,
) -> int:
    """What a box needs for a rate of frames: files, disk, memory, processors, line by line.

    \b
      fastcap bench plan --rate 10G --frame 512 --snaplen 80 --days 30 --hit 1%
      fastcap bench plan --rate 10G --frame 64 --utilisation 40% --filter 'tcp port 443'
      fastcap bench plan --pps 1.5M --frame 300 --disk-speed 900M --capture-ns 60 --json

    What filter and capture cost is measured here, in a few seconds, on made-up frames in temporary
    files. The disk is not: --disk-speed takes what fastcap bench disk says.
    """
    from fastcap.bench import plan as planning
    from fastcap.bench.alone import alone
    from fastcap.bench.machine import processors
    from fastcap.bench.traffic import HOST
    from fastcap.filter import compile as compile_filter

    question = planning.Question(
        bits=rate, utilisation=utilisation, snaplen=snaplen, file_bytes=file_size,
        disk_bytes=None if disk_speed is None else int(disk_speed), **options,
    )  # fmt: skip
    question.check()
    text = f"host {HOST}" if expression is None else expression
    compile_filter(text)  # refused before anything is measured
    with alone(), temporary_files():
        cost = planning.measure_filter(question, text)
        capture = planning.measure_capture(question)
    per_second = planning.frames_per_second(question)
    title = f"{per_second:,.0f} frames a second of {question.frame} bytes, snaplen {snaplen}"
    notes = [f"filter: {text}", *planning.notes(question, cost, capture, processors())]
    print_report(title, planning.tables(question, cost, capture), notes, output=output)
    return exit_codes.OK
