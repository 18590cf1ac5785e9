"""fastcap bench drain"""

from __future__ import annotations

import tempfile

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report
from fastcap.cli.bench.ports import ports_of, ports_options, say_ports
from fastcap.cli.bench.tools import ALL_TOOLS, SNAPLEN, TOOLS
from fastcap.cli.flags import SIZE
from fastcap.cli.progress import steps_bar


@click.command("drain", short_help="What a capture takes for a frame; needs no fast link.")
@click.option(
    "--frame",
    type=click.IntRange(64, 1518),
    default=64,
    show_default=True,
    metavar="BYTES",
    help="Length of a frame on the wire, FCS included.",
)
@click.option(
    "-s",
    "--snaplen",
    type=SNAPLEN,
    default="80",
    show_default=True,
    metavar="N",
    help="Bytes of a frame that are kept; 0 keeps all. netsniff-ng keeps all always.",
)
@click.option(
    "--tools",
    type=TOOLS,
    default=ALL_TOOLS,
    show_default=True,
    metavar="LIST",
    help="Those that are not installed are left out, and that is said.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    metavar="N",
    help="In each of which every tool has its turn.",
)
@click.option(
    "--ring", type=SIZE, default="512M", show_default=True, metavar="SIZE", help="Of each tool."
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    metavar="N",
    help="That collect in the ring. Default: as many as surely fit.",
)
@click.option(
    "--buffer",
    type=SIZE,
    default="64M",
    show_default=True,
    metavar="SIZE",
    help="Of fastcap, behind its ring; the others have none.",
)
@click.option(
    "--file-size",
    type=SIZE,
    default="1G",
    show_default=True,
    metavar="SIZE",
    help="Each tool begins a new file then.",
)
@click.option(
    "--dir",
    "folder",
    metavar="PATH",
    help="Where files go. Default: the temporary directory.",
)
@ports_options
@output_options
def drain(
    frame: int,
    snaplen: int,
    tools: list[str],
    rounds: int,
    ring: int,
    frames: int | None,
    buffer: int,
    file_size: int,
    folder: str | None,
    tx: str | None,
    rx: str | None,
    output: Output,
) -> int:
    """How long fastcap and its peers take for a frame, when nothing but them is the limit.

    \b
      fastcap bench drain
      fastcap bench drain --frame 512 --snaplen 128 --dir /data --json

    Each tool is stopped while frames fill its ring, then resumed, and its processor time is read
    until all are in files: so a slow link will do. All frames are counted, by number.
    """
    from fastcap.bench import drain as draining
    from fastcap.bench.alone import alone
    from fastcap.bench.runs import Settings, check

    settings = Settings(
        folder or tempfile.gettempdir(), ring=ring, buffer=buffer, file_size=file_size
    )
    check(settings)
    ports = ports_of(tx, rx)
    fit = draining.frames_that_fit(ring, frame)
    question = draining.Question(tools, frame, snaplen, frames or fit, rounds, settings)
    say_ports(ports, [str(frame)], [0.0], rounds * len(tools))
    with alone(), steps_bar() as progress:
        comparison = draining.compare(question, ports, progress)
    print_report(
        draining.title(comparison), draining.tables(comparison), draining.notes(comparison),
        *tools, output=output, charts=draining.charts(comparison), more=draining.more(comparison),
    )  # fmt: skip
    return exit_codes.OK
