"""fastcap bench capture"""

from __future__ import annotations

from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.bench.output import Output, output_options, print_report
from fastcap.cli.bench.ports import minutes, ports_of, ports_options, say_ports
from fastcap.cli.bench.scales import Listed, quota_or_none, rate_or_max
from fastcap.cli.bench.tools import SNAPLENS, tools_options
from fastcap.cli.flags import SIZE
from fastcap.cli.messages import say
from fastcap.cli.progress import steps_bar

_SIZES = "64,128,300,512,1024,1518,mix"


def _size(word: str) -> str:
    if word == "mix" or (word.isdecimal() and 64 <= int(word) <= 1518):
        return word
    raise ValueError


SIZES = Listed("sizes", _size, "bytes on the wire, 64 to 1518, or mix")
RATES = Listed("rates", rate_or_max, "frames a second, such as 500k or 1.5M, or max")
QUOTAS = Listed("quotas", quota_or_none, "percent of one processor, 1% or more, or none")


@click.command("capture", short_help="What captures lose, fastcap's and its peers'.")
@click.option(
    "--sizes",
    type=SIZES,
    default="64",
    show_default=True,
    metavar="LIST",
    help="Bytes of frames on the wire, 64 to 1518, or mix (7 of 64, 4 of 594, 1 of 1518); "
    f"such as {_SIZES}.",
)
@click.option(
    "--rates",
    type=RATES,
    default="200k,500k,1M,max",
    show_default=True,
    metavar="LIST",
    help="Frames a second; max is as fast as they can be sent.",
)
@click.option(
    "--quotas",
    type=QUOTAS,
    default="none",
    show_default=True,
    metavar="LIST",
    help="How much of one processor a tool has: none (no quota), 5%, 2%.",
)
@click.option(
    "-s",
    "--snaplen",
    "snaplens",
    type=SNAPLENS,
    default="80",
    show_default=True,
    metavar="LIST",
    help="Bytes of a frame that are kept; 0 keeps all. netsniff-ng keeps all always.",
)
@click.option(
    "--find-limit",
    type=click.Choice(["rate", "quota"]),
    help="Search the highest rate, or the lowest quota, without a loss; three times.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=3,
    show_default=True,
    metavar="N",
    help="How long frames are sent in a run.",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    metavar="N",
    help="At most so many in a run. Default: what time and --size allow.",
)
@click.option(
    "--size",
    type=SIZE,
    default="2G",
    show_default=True,
    metavar="SIZE",
    help="At most so much of the disk for the files of a run.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="That send.",
)
@tools_options(ring="64M")
@ports_options
@output_options
def capture(
    sizes: list[str], rates: list[float], quotas: list[float | None], snaplens: list[int],
    tools: list[str], rounds: int, find_limit: str | None, seconds: float, frames: int | None,
    size: int, threads: int, tx: str | None, rx: str | None, asked: dict[str, Any],
    output: Output,
) -> int:  # fmt: skip
    """What fastcap and its peers lose of the same load, and what a frame costs each of them.

    \b
      fastcap bench capture
      fastcap bench capture --sizes 64,512,mix --quotas none,5% --json
      fastcap bench capture --find-limit rate --seconds 10
      fastcap bench capture --tx eth2 --rx eth3 --rates 1M,max --threads 2

    Makes two hosts with a cable between them (network namespaces and a veth pair, which go away
    with it), or sends from --tx to --rx. Each frame has a number; what is lost is what is missing
    in the files, whatever a tool says.
    """
    from fastcap.bench import capture as told
    from fastcap.bench.alone import alone
    from fastcap.bench.comparison import Plan, compare
    from fastcap.bench.report import counted
    from fastcap.bench.runs import Settings, check

    plan = Plan(tools, sizes, rates, snaplens, quotas, rounds, find_limit)
    settings = Settings(**asked, seconds=seconds, frames=frames or 0, size=size, threads=threads)
    check(settings)
    ports = ports_of(tx, rx)

    def announce(plan: Plan) -> None:
        lasts = minutes(plan.seconds(settings))
        say(f"{counted(plan.runs(), 'run')} at most, about {lasts}")
        say_ports(ports, sizes, [*rates, 0.0] if find_limit == "rate" else rates, lasts)

    with alone(), steps_bar() as progress:
        comparison = compare(plan, settings, ports, progress, announce)
    print_report(
        told.title(comparison), told.tables(comparison), told.notes(comparison), *tools,
        output=output, charts=told.charts(comparison), more=told.more(comparison),
    )  # fmt: skip
    return exit_codes.OK
