"""fastcap bench drain"""

from __future__ import annotations

from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report
from fastcap.cli.bench.ports import minutes, ports_of, ports_options, say_ports
from fastcap.cli.bench.tools import SNAPLEN, tools_options
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
    "--frames",
    type=click.IntRange(1),
    metavar="N",
    help="That collect in the ring. Default: as many as surely fit.",
)
@tools_options(ring="512M")
@ports_options
@output_options
def drain(
    frame: int,
    snaplen: int,
    tools: list[str],
    rounds: int,
    frames: int | None,
    tx: str | None,
    rx: str | None,
    asked: dict[str, Any],
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

    settings = Settings(**asked)
    check(settings)
    ports = ports_of(tx, rx)
    fit = draining.frames_that_fit(settings.ring, frame)
    question = draining.Question(tools, frame, snaplen, frames or fit, rounds, settings)
    say_ports(ports, [str(frame)], [0.0], minutes(60.0 * rounds * len(tools)))
    with alone(), steps_bar() as progress:
        comparison = draining.compare(question, ports, progress)
    print_report(
        draining.title(comparison), draining.tables(comparison), draining.notes(comparison),
        *tools, output=output, charts=draining.charts(comparison), more=draining.more(comparison),
    )  # fmt: skip
    return exit_codes.OK
