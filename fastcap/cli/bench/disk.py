"""fastcap bench disk"""

from __future__ import annotations

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report
from fastcap.cli.flags import SIZE
from fastcap.cli.progress import progress_bar
from fastcap.postfilter import MOST_SNAPLEN


@click.command("disk", short_help="How fast a disk takes files, sustained and with stalls.")
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
@output_options
def disk(
    path: str,
    seconds: float,
    size: int | None,
    file_size: int | None,
    snaplen: int,
    output: Output,
) -> int:
    """How fast the disk of directory PATH takes captured files, and how long it stands still.

    \b
      fastcap bench disk /data
      fastcap bench disk /data --seconds 120 --size 50G --snaplen 128 --html disk.html

    A capture's own writer writes files, syncs them and deletes the oldest, in a directory of its
    own in PATH, which is removed at the end. Some of the disk always stays free.
    """
    from fastcap.bench import disk as measuring
    from fastcap.bench.alone import alone
    from fastcap.bench.scratch import plan

    planned = plan(path, seconds, size, file_size)
    with alone(), progress_bar() as progress:
        measured = measuring.measure(planned, progress)
    notes = [
        f"at most {planned.size >> 20:,} MiB were on the disk at once, in files of "
        f"{planned.file_size >> 20:,} MiB; each was synced before the oldest was deleted",
        "noise is written, which no file system can compress",
        *measured.notes,
    ]
    title = f"{path}: {measured.synced:.1f} s of a capture's writes"
    tables = measuring.tables(measured, snaplen)
    charts, more = measuring.charts(measured), measuring.more(measured)
    print_report(title, tables, notes, output=output, charts=charts, more=more)
    return exit_codes.OK
