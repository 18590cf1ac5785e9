"""fastcap explain"""

from __future__ import annotations

import click

from fastcap.cli import exit_codes
from fastcap.cli.compile import _linktype
from fastcap.cli.expression import one_filter
from fastcap.cli.flags import linktype_option, vlan_option
from fastcap.filter import Filter
from fastcap.formats.linktypes import LONGEST_FRAME


@click.command("explain", short_help="Say what a filter means.")
@click.argument("words", nargs=-1, metavar="[EXPR]...")
@click.option(
    "-F",
    "--filter-file",
    metavar="FILE",
    help="Read the filter from FILE, or - for standard input.",
)
@linktype_option
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(0, LONGEST_FRAME),
    default=0,
    metavar="N",
    help="Say what the filter can see in frames cut to N bytes.",
)
@vlan_option
def command(
    words: tuple[str, ...], filter_file: str | None, linktype: str, snaplen: int, vlan: str
) -> int:
    """Say in plain words which bytes a filter compares with what, what happens on short and on
    tagged frames, where it runs in a live capture, and which tcpdump command comes closest.

    \b
      fastcap explain 'Blob(FrameData, 26, 4) == 10.35.69.103 OR tcp port 443'
    """
    filter = Filter(one_filter(words, filter_file), _linktype(linktype), vlan)
    click.echo(filter.explain(snaplen or None))
    return exit_codes.OK
