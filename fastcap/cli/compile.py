"""fastcap compile"""

from __future__ import annotations

import click

from fastcap.cli import exit_codes
from fastcap.cli.expression import one_filter
from fastcap.cli.flags import engine_option, linktype_option, vlan_option
from fastcap.cli.messages import say
from fastcap.filter import Filter
from fastcap.formats.linktypes import LONGEST_FRAME, name_of, number_of


@click.command("compile", short_help="Print the classic BPF program of a filter.")
@click.argument("words", nargs=-1, metavar="[EXPR]...")
@click.option(
    "-F",
    "--filter-file",
    metavar="FILE",
    help="Read the filter from FILE, or - for standard input.",
)
@click.option(
    "-d",
    "form",
    count=True,
    help="The form, as tcpdump's: -d assembler, -dd C, -ddd numbers.  [default: -d]",
)
@click.option(
    "--live",
    is_flag=True,
    help="The kernel's program, for frames whose outer VLAN tag it took off.",
)
@linktype_option
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(0, LONGEST_FRAME),
    default=LONGEST_FRAME,
    show_default=True,
    metavar="N",
    help="What the program returns for a frame that it takes; 0: all.",
)
@vlan_option
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print tree and programs as one JSON object.")
def command(
    words: tuple[str, ...],
    filter_file: str | None,
    form: int,
    live: bool,
    linktype: str,
    snaplen: int,
    vlan: str,
    engine: str,
    as_json: bool,
) -> int:
    """Print the program of a filter in classic BPF, as tcpdump -d does.

    \b
      fastcap compile 'tcp port 443'
      fastcap compile --live -ddd 'Blob(FrameData, 26, 4) == 10.35.69.103'

    Without --live it is for frames in one piece that were not cut: classic BPF has no word for the
    captured length, and takes the length on the wire for it. What classic BPF cannot say becomes a
    superset, which takes more frames than the filter; fastcap then decides with a program of its
    own. That is said on standard error. --json also says which engine runs it in user space.
    """
    filter = Filter(one_filter(words, filter_file), _linktype(linktype), vlan, engine)
    lowered = filter.classic(snaplen or LONGEST_FRAME, live=live)
    if as_json:
        _print_json(filter, snaplen or LONGEST_FRAME)
        return exit_codes.OK
    from fastcap.language.image import image

    click.echo(image(lowered.instructions, min(form, 3) or 1))
    if not lowered.exact:
        say("a superset: it takes more than the filter, which then decides in user space")
    if live and (note := filter.snaplen_note(snaplen or LONGEST_FRAME)):
        say(note)
    return exit_codes.OK


def _linktype(text: str) -> int:
    from fastcap.errors import UsageError

    try:
        return number_of(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise UsageError(f"--linktype: {error}") from None


def _print_json(compiled: Filter, snaplen: int) -> None:
    import json

    live = compiled.classic(snaplen, live=True)
    file = compiled.classic(snaplen, live=False)
    print(
        json.dumps(
            {
                "expression": compiled.expression,
                "linktype": name_of(compiled.linktype),
                "vlan": compiled.vlan,
                "snaplen": snaplen,
                "tree": compiled.tree_as_json(),
                "program": {
                    "instructions": [list(one) for one in compiled.program.instructions],
                    "sets": [len(ranges) for ranges in compiled.program.sets],
                    "wide_sets": [len(ranges) for _, ranges in compiled.program.wide_sets],
                    "patterns": [pattern.hex() for pattern in compiled.program.patterns],
                },
                "kernel": {
                    "instructions": [list(one) for one in live.instructions],
                    "exact": live.exact,
                    "snaplen": live.snaplen,
                },
                "file": {
                    "instructions": [list(one) for one in file.instructions],
                    "exact": file.exact,
                },
                "bytes_needed": compiled.bytes_needed,
                "engine": compiled.runs_in().as_json(),
            }
        )
    )
