"""fastcap info"""

from __future__ import annotations

from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.flags import files_from_option, jobs_option
from fastcap.cli.messages import say
from fastcap.cli.progress import progress_bar
from fastcap.errors import InputError, UsageError
from fastcap.inputs import Source, expand, open_source, read_names
from fastcap.postfilter import report_sources
from fastcap.results import FilterResult, InputReport
from fastcap.segments import rfc3339, times_as_json


@click.command("info", short_help="Say what captures hold: format, frames, times, damage.")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@files_from_option
@jobs_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    inputs: tuple[str, ...], files_from: str | None, jobs: int | None, as_json: bool
) -> int:
    """Say what captures hold: format, link type, snaplen, frames, bytes, times, damage.

    Every record is read. Times are the earliest and the latest, in UTC.
    """
    names = list(inputs) + (read_names(files_from) if files_from is not None else [])
    if not names:
        raise UsageError("no input: name files, directories, or - for standard input")
    sources, failed = _open(names)
    if not sources:
        return exit_codes.FAILED
    try:
        with progress_bar() as progress:
            result = report_sources(sources, jobs=jobs, progress=progress)
    finally:
        for source in sources:
            source.close()
    _print(result, sources, as_json)
    if failed:
        return exit_codes.FAILED
    return exit_codes.DAMAGED if result.damaged else exit_codes.OK


def _open(names: list[str]) -> tuple[list[Source], bool]:
    """What can be opened; the rest is named at once, and fails the command at its end."""
    sources: list[Source] = []
    failed = False
    for name in names:
        try:
            paths = expand([name])
        except InputError as error:
            say(str(error))
            failed = True
            continue
        for path in paths:
            try:
                sources.append(open_source(path))
            except InputError as error:
                say(str(error))
                failed = True
    return sources, failed


def _print(result: FilterResult, sources: list[Source], as_json: bool) -> None:
    if as_json:
        import json

        rows = [_as_json(*row) for row in zip(result.inputs, sources, strict=True)]
        print(json.dumps({"inputs": rows, "elapsed_s": result.elapsed_s}))
        return
    for row in zip(result.inputs, sources, strict=True):
        print(_as_text(*row))


def _bytes(report: InputReport, source: Source) -> int:
    return report.bytes_read if source.fd is not None else source.size


def _as_json(report: InputReport, source: Source) -> dict[str, Any]:
    header = report.header
    return {
        "path": report.path,
        "format": "pcap",
        "byte_order": header.byte_order,
        "precision": header.precision,
        "link_type": header.linktype,
        "link_type_name": header.link_name,
        "snaplen": header.snaplen,
        "frames": report.frames_read,
        "bytes": _bytes(report, source),
        **times_as_json(report.span),
        "damage": [damage._asdict() for damage in report.damage],
    }


def _as_text(report: InputReport, source: Source) -> str:
    header = report.header
    rows = [
        ("format", f"pcap, {header.byte_order}, {header.precision}"),
        ("link type", f"{header.link_name} ({header.linktype})"),
        ("snaplen", f"{header.snaplen:,}" if header.snaplen else "0 (no limit)"),
        ("frames", f"{report.frames_read:,}"),
        ("bytes", f"{_bytes(report, source):,}"),
        ("first", rfc3339(report.span.first_ns) or "-"),
        ("last", rfc3339(report.span.last_ns) or "-"),
    ]
    rows += [("damage", str(damage)) for damage in report.damage]
    return "\n".join([report.path, *(f"  {name:<10}{value}" for name, value in rows)])
