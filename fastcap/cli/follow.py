"""fastcap follow"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.flags import (
    MODE,
    SIZE,
    engine_option,
    jobs_option,
    outputs_of,
    pressure_option,
    verbose_option,
    vlan_option,
    with_parent_option,
)
from fastcap.cli.terminal import Terminal
from fastcap.errors import UsageError
from fastcap.parent import end_with
from fastcap.permissions import Permissions
from fastcap.pipeline.originals import DELETE, KEEP, MOVE
from fastcap.pipeline.service import Service
from fastcap.pipeline.settings import (
    DEFAULT_ATTEMPTS,
    DEFAULT_GRACE,
    DEFAULT_SIZE,
    DEFAULT_TIME_LIMIT,
    Settings,
)
from fastcap.pipeline.spool import CLOSED, Finished
from fastcap.postfilter import processors
from fastcap.pressure import Pressure
from fastcap.privileges import drop, group_of, user_name
from fastcap.signals import STOPS, Signals

_SIGNALS = (*STOPS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def with_one_word(args: list[str]) -> list[str]:
    """`--original move DIR` is two words behind the option; then `move:DIR`.

    >>> with_one_word(["-j", "2", "--original", "move", "/done", "--once"])
    ['-j', '2', '--original', 'move:/done', '--once']
    """
    for at in range(len(args) - 2):
        if args[at : at + 2] == ["--original", MOVE]:
            return [*args[: at + 1], f"{MOVE}:{args[at + 2]}", *args[at + 3 :]]
    return args


class _Command(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_one_word(args))


class _Number(click.FloatRange):
    def __init__(self, least: float, *, more: bool = False) -> None:
        super().__init__(least, 1e9, min_open=more)


@click.command(
    "follow", cls=_Command, short_help="Filter files as they are finished; give the disk back."
)
@click.option(
    "--spool", metavar="DIR", required=True, help="Where the files are that are to be filtered."
)
@click.option(
    "--to",
    multiple=True,
    metavar="PATH=EXPR",
    help="Append the frames that EXPR takes to the numbered series PATH; again for each.",
)
@click.option(
    "--output-size",
    type=SIZE,
    default=f"{DEFAULT_SIZE >> 30}G",
    show_default=True,
    metavar="SIZE",
    help="A file of a series gets its name, and the next begins, before it is longer than SIZE.",
)
@click.option(
    "--finished",
    default=CLOSED,
    show_default=True,
    metavar="name|closed|quiet:SECONDS",
    help="What is not written any more: whatever has a name (fastcap capture), what nobody has "
    "open to write, or what did not change for so long.",
)
@click.option(
    "--original",
    metavar="delete|keep|move DIR",
    default=KEEP,
    show_default=True,
    help="What becomes of a file when its frames are safe.",
)
@jobs_option
@click.option(
    "--time-limit",
    type=_Number(0, more=True),
    default=DEFAULT_TIME_LIMIT,
    show_default=True,
    metavar="SECONDS",
    help="For one file; then its worker is killed.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1, 1000),
    default=DEFAULT_ATTEMPTS,
    show_default=True,
    metavar="N",
    help="After which a file that fails is passed over.",
)
@click.option(
    "--grace",
    type=_Number(0),
    default=DEFAULT_GRACE,
    show_default=True,
    metavar="SECONDS",
    help="To finish what is in hand when it is told to end; the rest is for the next start.",
)
@click.option(
    "--summary",
    metavar="PATH",
    help="Keep, for every second, frames and bytes by protocol of what no EXPR takes: files of an "
    "hour beside PATH, .csv or .parquet.",
)
@vlan_option
@engine_option
@verbose_option
@click.option("--once", is_flag=True, help="End when nothing waits any more.")
@click.option("-Z", "--user", metavar="NAME", help="Run as user NAME.")
@click.option("--group", metavar="NAME", help="Give the outputs to group NAME.")
@click.option(
    "--mode", type=MODE, default="0640", show_default=True, metavar="MODE",
    help="Of the outputs: octal.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
@click.option("--numbered", is_flag=True, hidden=True)
@click.option("--ready", type=int, hidden=True)
@pressure_option
@with_parent_option
def command(
    to: tuple[str, ...],
    finished: str,
    jobs: int | None,
    user: str | None,
    group: str | None,
    mode: int,
    as_json: bool,
    verbose: bool,
    ready: int | None,
    pressure: int | None,
    with_parent: int | None,
    **options: Any,
) -> int:
    """Filter files as they are finished, keep the matches, and give the disk back.

    \b
      fastcap follow --spool /data/spool --to /data/kept/web.pcap='tcp port 443' \\
          --original delete
      fastcap follow --spool /mnt --to /data/dns.pcap='udp port 53' --finished quiet:30 --once

    It takes the files of any capture tool that writes pcap: fastcap, tcpdump -G or -C, dumpcap -P.
    PATH becomes a series: web_00000001.pcap and so on. A file of it has its name when it is
    complete; until then it is hidden, and safe: a file in the spool is deleted or moved only when
    its frames are on the disk, and the journal (.fastcap in the spool) says so. Killed at any
    moment, the next start goes on from there.

    SIGINT and SIGTERM end it; SIGHUP gives the open outputs their names; SIGUSR1 prints counts;
    SIGUSR2 ends it when nothing waits. Exit status 3: files were lost, damaged or passed over.
    """
    if not to:
        raise UsageError("no output: --to PATH=EXPR, once for each")
    number = None if group is None else group_of(group)
    settings = Settings(
        outputs=list(outputs_of(to).items()),
        finished=Finished.of(finished),
        jobs=jobs or processors(),
        permissions=Permissions(mode, number),
        **{**options, "spool": os.path.abspath(options["spool"])},
    )
    settings.check()
    filters = settings.filters()
    if user is not None or with_parent is not None:
        drop(user, number, keep_raw=False)
    if not os.access(sys.executable, os.X_OK, effective_ids=True):
        raise UsageError(
            f"{sys.executable}: user {user_name(os.geteuid())} may not run it, so nothing could be "
            "filtered: install fastcap where that user may read it"
        )
    if with_parent is not None:
        end_with(with_parent, signal.SIGTERM)
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # a lease that is broken: fastcap.pipeline.spool
    terminal = Terminal()
    signals = Signals(_SIGNALS)
    try:
        with signals:
            terminal.start()
            page = None if pressure is None else Pressure.attach(pressure)
            service = Service(settings, filters, terminal.say, page)
            service.tells_engine = verbose
            try:
                _tell_ready(ready)
                terminal.say(_what(settings))
                is_perfect = service.run(signals)
            finally:
                service.close()
    finally:
        terminal.close()
    if as_json:
        print(
            json.dumps(
                {
                    **service.counts.as_json(),
                    "engine": service.engine.as_json() if service.engine else None,
                    "outputs": service.outputs_as_json(),
                }
            )
        )
    else:
        _say_end(service)
    return exit_codes.OK if is_perfect else exit_codes.DAMAGED


def _say_end(service: Service) -> None:
    from fastcap.cli.messages import say

    say(service.sentence())


def _what(settings: Settings) -> str:
    what, _, folder = settings.original.partition(":")
    then = {DELETE: "deleted", KEEP: "kept (--original delete gives the disk back)"}.get(
        what, f"moved to {os.path.abspath(folder)}"
    )
    return f"filtering {settings.spool}: files are {then} when their frames are safe"


def _tell_ready(fd: int | None) -> None:
    if fd is not None:
        os.write(fd, b"\n")
        os.close(fd)
