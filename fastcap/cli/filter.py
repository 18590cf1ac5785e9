"""fastcap filter"""

from __future__ import annotations

import os
from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.expression import read_filter
from fastcap.cli.flags import (
    SIZE,
    engine_option,
    files_from_option,
    jobs_option,
    outputs_of,
    verbose_option,
    vlan_option,
)
from fastcap.cli.messages import say
from fastcap.cli.progress import progress_bar
from fastcap.errors import InputError, UsageError
from fastcap.inputs import read_names
from fastcap.language.fields import field_names
from fastcap.postfilter import MOST_FRAMES, MOST_SNAPLEN, filter_files, split_files
from fastcap.results import FilterResult

_MOST_SHOWN = 20  # outputs
_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@click.command("filter", short_help="Keep the frames of captures that a filter takes.")
@click.argument("words", nargs=-1, metavar="[EXPR] INPUT...")
@click.option(
    "-e",
    "--expression",
    multiple=True,
    metavar="EXPR",
    help="The filter; then all words are inputs.",
)
@click.option(
    "-F",
    "--filter-file",
    multiple=True,
    metavar="FILE",
    help="Read the filter from FILE; then all words are inputs.",
)
@files_from_option
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="Write matching frames to OUT: a file, a device, a FIFO, or - for standard "
    "output. A file appears when it is complete.",
)
@click.option(
    "--to",
    multiple=True,
    metavar="OUT=EXPR",
    help="Write the frames that EXPR takes to OUT; again for each output. All words are inputs.",
)
@click.option("--rest", metavar="OUT", help="With --to: write what no EXPR takes to OUT.")
@click.option("--count", is_flag=True, help="Print how many frames match; write nothing.")
@jobs_option
@click.option(
    "-s",
    "--snaplen",
    type=click.IntRange(0, MOST_SNAPLEN),
    metavar="N",
    help="Keep the first N bytes of a frame; 0 keeps all.",
)
@click.option(
    "-c",
    "--limit",
    type=click.IntRange(1, MOST_FRAMES),
    metavar="N",
    help="Stop after N matching frames.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Frames from TIME on: 2026-11-21T08:30:00Z, without a zone local time, or +10s from the "
    "first frame.",
)
@click.option("--until", metavar="TIME", help="Frames before TIME.")
@click.option(
    "--skip",
    type=click.IntRange(0, MOST_FRAMES),
    default=0,
    metavar="N",
    help="Leave out the first N matching frames.",
)
@click.option(
    "--sample",
    metavar="1/N",
    help="Frames of one flow in N, whole flows, both directions. IP fragments, which have no "
    "ports, are flows of their own.",
)
@click.option(
    "--output-size",
    type=SIZE,
    metavar="SIZE",
    help="Split OUT into a numbered series of files of at most SIZE, such as 2G.",
)
@click.option(
    "--on-damage",
    type=click.Choice(["stop"]),
    default="stop",
    show_default=True,
    help="stop: use a damaged input up to the damage, then go on with the next.",
)
@vlan_option
@engine_option
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@verbose_option
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object.")
def command(
    words: tuple[str, ...],
    expression: tuple[str, ...],
    filter_file: tuple[str, ...],
    files_from: str | None,
    output: str | None,
    to: tuple[str, ...],
    rest: str | None,
    count: bool,
    limit: int | None,
    output_size: int | None,
    force: bool,
    skip: int,
    sample: str | None,
    snaplen: int | None,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Keep the frames of captures that a filter takes, in the order of the inputs.

    EXPR is pcap-filter text, Blob comparisons, field names, or all of them joined by AND, OR, NOT
    and parentheses; fastcap explain EXPR says what it means.
    INPUT is a pcap file, a directory of them, a FIFO, or - for standard input.

    \b
      fastcap filter 'tcp port 443' net1_*.pcap -o web.pcap
      fastcap filter 'Blob(FrameData, 26, 4) == 10.35.69.103' /data --count
      fastcap filter 'IPv4.Address IN @hosts.txt' /data -o suspects.pcap
      fastcap filter --to web.pcap='tcp port 443' --to dns.pcap='udp port 53' /data
      find /data -name '*.pcap' -print0 | fastcap filter -e udp --files-from - -o udp.pcap

    A directory stands for the captures in it and below: what is named like one or begins like one,
    but nothing hidden. All inputs have one link type.

    A comparison whose bytes were not captured is false, NOT of it is true; pcap-filter text alone
    keeps libpcap's rule, that the frame is then rejected.

    \b
    Fields: FIELD_NAMES
    """
    names = read_names(files_from) if files_from is not None else []
    options |= {
        "snaplen": snaplen or None, "output_size": output_size, "force": force,
        "sample": None if sample is None else _sample(sample),
    }  # fmt: skip
    if to:
        if expression or filter_file or output or count or limit or skip:
            raise UsageError("--to names filters and outputs: no -e, -F, -o, --count, -c, --skip")
        outputs = outputs_of(to)
        _check_streams([*outputs, rest or ""], as_json)
        with progress_bar() as progress:
            inputs = [*words, *names]
            result = split_files(outputs, inputs, rest=rest, progress=progress, **options)
        status = _report(result, count, as_json, verbose)
        for segment in () if as_json else result.outputs[:_MOST_SHOWN]:
            say(f"{segment.span.frames:,} frames, {segment.bytes:,} bytes in {segment.path}")
        if not as_json and len(result.outputs) > _MOST_SHOWN:
            say(f"and {len(result.outputs) - _MOST_SHOWN:,} more files: --json tells of each")
        return status
    if rest is not None:
        raise UsageError("--rest takes what no --to takes: fastcap filter --to OUT=EXPR --rest OUT")
    text, inputs = _expression(words, expression, filter_file)
    _check(output, count, as_json, force, output_size)
    with progress_bar() as progress:
        try:
            result = filter_files(
                text, [*inputs, *names], output, limit=limit, skip=skip, progress=progress,
                **options,
            )  # fmt: skip
        except InputError as error:
            raise _with_quoting_hint(error, words, bool(expression or filter_file)) from error
    return _report(result, count, as_json, verbose)


command.help = (command.help or "").replace("FIELD_NAMES", field_names("\n      "))


def _expression(
    words: tuple[str, ...], expression: tuple[str, ...], filter_file: tuple[str, ...]
) -> tuple[str, list[str]]:
    given = len(expression) + len(filter_file)
    if given > 1:
        raise UsageError("more than one filter: give -e or -F once, and join terms with OR")
    if expression:
        return expression[0], list(words)
    if filter_file:
        return read_filter(filter_file[0]), list(words)
    if not words:
        raise UsageError("no filter: fastcap filter EXPR INPUT... -o OUT (see --help)")
    return words[0], list(words[1:])


def _sample(text: str) -> int:
    one, slash, most = text.partition("/")
    if one != "1" or not slash or not most.isascii() or not most.isdigit():
        raise UsageError(f"--sample {text}: expected 1/N, as in --sample 1/100")
    return int(most)


def _check_streams(outputs: list[str], as_json: bool) -> None:
    streams = [name for name in outputs if name in _STANDARD_OUTPUT]
    if as_json and streams:
        raise UsageError("--json and standard output both want it: name a file for one")


def _check(
    output: str | None, count: bool, as_json: bool, force: bool, output_size: int | None
) -> None:
    if output is None and not count:
        raise UsageError("where to? -o OUT writes the matching frames, --count only counts them")
    if output is not None and count:
        raise UsageError("-o and --count exclude each other; --json gives the count with -o")
    if as_json and output in _STANDARD_OUTPUT:
        raise UsageError("--json and -o - both want standard output: name a file for one")
    if count and (force or output_size is not None):
        raise UsageError("--force and --output-size are for -o; --count writes nothing")


def _with_quoting_hint(error: InputError, words: tuple[str, ...], given: bool) -> InputError:
    """`fastcap filter tcp port 443 a.pcap`: a filter of several words that is not quoted."""
    if not given and os.path.lexists(words[0]) and len(words) > 1:
        return InputError(f"{error}; the filter comes first: fastcap filter EXPR {words[0]} …")
    missing = [word for word in words[1:] if word != "-" and not os.path.lexists(word)]
    is_word = bool(missing) and "/" not in missing[0] and "." not in missing[0]
    if given or not is_word or " " in words[0] or not str(error).startswith(missing[0]):
        return error
    there = words.index(missing[-1])
    quoted = " ".join(words[: there + 1])
    return InputError(f"{error}; is the filter quoted? fastcap filter '{quoted}' …")


def _report(result: FilterResult, count: bool, as_json: bool, verbose: bool) -> int:
    if result.reader_left:
        say("whoever read the output closed it before the end")
        return exit_codes.OK
    for report in result.inputs:
        for damage in report.damage:
            say(f"{report.path}: damaged {damage}")
    for note in result.notes:
        say(note)
    if verbose:
        say(f"engine {result.engine}")
    if as_json:
        import json

        print(json.dumps(result.as_json()))
    elif count:
        print(result.frames_matched)
    else:
        say(_summary(result))
    return exit_codes.DAMAGED if result.damaged else exit_codes.OK


def _summary(result: FilterResult) -> str:
    rate = (
        f", {result.bytes_read / result.elapsed_s / 1e9:.1f} GB/s" if result.elapsed_s > 0.1 else ""
    )
    files = [segment.path for segment in result.outputs]
    where = files[0] if len(files) == 1 else f"{len(files):,} files, {files[0]} to {files[-1]}"
    return (
        f"{result.frames_matched:,} of {result.frames_read:,} frames matched, "
        f"{result.elapsed_s:.2f} s{rate}: "
        f"{result.bytes_written:,} bytes in {where}"
    )
