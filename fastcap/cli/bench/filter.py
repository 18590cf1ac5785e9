"""fastcap bench filter"""

from __future__ import annotations

import contextlib

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report, temporary_files
from fastcap.cli.flags import SIZE
from fastcap.cli.messages import say
from fastcap.cli.progress import progress_bar
from fastcap.errors import UsageError


@click.command("filter", short_help="How fast files are filtered, beside tcpdump.")
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
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="For each run of a tool; a longer one ends the bench.",
)
@output_options
def filter_(
    files: tuple[str, ...],
    expression: str | None,
    runs: int,
    size: int | None,
    snaplen: int | None,
    time_limit: float,
    output: Output,
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
    from fastcap.bench.alone import alone
    from fastcap.bench.stops import heeded
    from fastcap.bench.traffic import HOST

    if files and (size is not None or snaplen is not None):
        raise UsageError("--size and --snaplen are of made-up frames; FILES are as they are")
    source = offline.given(files) if files else None
    with alone(), heeded() as heed, contextlib.ExitStack() as opened:
        if source is not None:
            text = offline.a_host_of(source.paths[0]) if expression is None else expression
        else:
            with temporary_files():
                source = opened.enter_context(
                    offline.made_up(size or 256 << 20, snaplen or 80, heed)
                )
            text = f"host {HOST}" if expression is None else expression
        with progress_bar() as progress:
            compared = offline.compare(
                source, text, runs, offline.Bounds(heed, time_limit), progress
            )
    if compared.damaged:
        say("an input is damaged, and was used up to the damage: fastcap info tells where")
    title = f"filter {text!r}, {compared.frames:,} frames"
    notes = offline.notes(compared, runs)
    tables = offline.tables(compared)
    charts = offline.charts(compared)
    print_report(title, tables, notes, "tcpdump", output=output, charts=charts)
    return exit_codes.DAMAGED if compared.damaged else exit_codes.OK
