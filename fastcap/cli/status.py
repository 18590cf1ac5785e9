"""fastcap status"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import click

from fastcap.cli import exit_codes
from fastcap.cli.messages import say
from fastcap.cli.status_line import scaled
from fastcap.errors import UsageError
from fastcap.pipeline.report import Report
from fastcap.times import nanoseconds

_AGO = re.compile(r"-?([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EVERY = 1.0  # seconds
_SILENT = 10.0  # seconds; a service tells what it does every second
_FOREVER = 1 << 62
# what each state of an original means, in the order in which it is shown
_STATES = {
    "deleted": "filtered and deleted",
    "moved": "filtered and moved",
    "kept": "filtered and kept",
    "safe": "filtered, to be deleted or moved",
    "damaged": "damaged: filtered up to the damage, and not deleted",
    "failed": "failed: passed over",
    "lost": "lost: gone before they were filtered",
}


@click.command("status", short_help="Show what fastcap run or follow does, and find files by time.")
@click.option(
    "--spool", metavar="DIR", default=".", help="The spool; by default the current directory."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option(
    "--since",
    metavar="TIME",
    help="List the files with frames from TIME on: 2026-11-21T08:30:00Z, without a zone local "
    "time, or 10m for ten minutes ago.",
)
@click.option("--until", metavar="TIME", help="The same, with frames before TIME.")
def command(spool: str, as_json: bool, watch: bool, since: str | None, until: str | None) -> int:
    """Show the pipeline of a spool: what waits, what was filtered into which output, what was lost.

    \b
      fastcap status --spool /data/spool
      fastcap status --spool /data/spool --since 2026-11-21T08:30:00Z --until 2026-11-21T08:31:00Z

    Exit status 3: frames or files were lost, damaged or passed over.
    """
    report = Report(spool)
    if since is not None or until is not None:
        if watch:
            raise UsageError("--watch shows the pipeline; --since and --until list files once")
        first = 0 if since is None else _moment("since", since)
        last = _FOREVER if until is None else _moment("until", until)
        if first >= last:
            raise UsageError("--since is not before --until: nothing lies between them")
        return _list(report.files(first, last), as_json)
    while watch:
        text = "".join(f"{line}\n" for line in _lines(report.now()))
        click.echo(json.dumps(report.now()) if as_json else "\033[H\033[2J" + text, nl=as_json)
        time.sleep(_EVERY)
    told = report.now()
    if as_json:
        click.echo(json.dumps(told))
    else:
        for line in _lines(told):
            click.echo(line)
    return exit_codes.DAMAGED if _is_bad(told) else exit_codes.OK


def _moment(name: str, text: str) -> int:
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return time.time_ns() - int(float(ago[1]) * _UNITS[ago[2]] * 1e9)
    local: list[str] = []
    try:
        moment = nanoseconds(f"--{name}", text, [], local)
    except UsageError:
        raise UsageError(
            f"--{name}: {text!r} is no time: expected 2026-11-21T08:30:00Z, or 10m for ten minutes "
            "ago"
        ) from None
    if local:
        say(f"{local[0]}: no zone, so it is local time")
    return moment


def _is_bad(told: dict[str, Any]) -> bool:
    bad = {"failed", "damaged", "lost"} & told["originals"].keys()
    totals = told["totals"]
    unknown = told["files_never_seen"] or told["captures_died"]
    return bool(bad or unknown or totals["dropped"] or totals["lost"]
                or totals["missed"])  # fmt: skip


def _size(count: int) -> str:
    """Bytes for people.

    >>> _size(0), _size(31_457_280)
    ('0 B', '30.0 MiB')
    """
    text = scaled(count, 1024)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {text[-1].upper()}iB"


def _lines(told: dict[str, Any]) -> list[str]:
    return [*_service(told), *_originals(told), *_outputs(told), *_failures(told)]


def _service(told: dict[str, Any]) -> list[str]:
    service, backlog, free = told["service"], told["backlog"], told["free"]
    what = f"waiting   {backlog['files']:,} files, {_size(backlog['bytes'])}"
    if service is None:
        lines = ["service   none runs on this spool", what]
    else:
        now = f", {service['now']}" if service["now"] else ""
        silent = service["silent_seconds"]
        since = f", not heard of for {silent:,.0f} s" if silent > _SILENT else ""
        lines = [f"service   process {service['pid']}: {service['doing']}{now}{since}"]
        if backlog["files"]:
            what += f", the oldest for {service['backlog_seconds']:,.0f} s"
        lines.append(what)
        if service["held_back_seconds"]:
            lines.append(f"held      {service['held_back_seconds']:,.1f} s by the capture")
    if free is not None:
        lines.append(f"free      {_size(free['bytes'])} of {_size(free['of'])}")
    return lines


def _originals(told: dict[str, Any]) -> list[str]:
    lines = []
    for state, what in _STATES.items():
        row = told["originals"].get(state)
        if row is not None:
            lines.append(
                f"files     {row['originals']:,} {what}: {_size(row['bytes'])}, "
                f"{row['frames']:,} frames, {row['matched']:,} matched"
            )
    if told["files_never_seen"]:
        lines.append(
            f"files     {told['files_never_seen']:,} never seen: numbers that their series lacks"
        )
    totals = told["totals"]
    if told["captures_died"]:
        lines.append(
            f"capture   died {told['captures_died']:,} times: frames that it had not written are "
            "lost, in an unknown number"
        )
    lines.append(
        f"capture   {totals['dropped']:,} frames dropped by the ring, {totals['lost']:,} lost by "
        f"the writer, {totals['missed']:,} missed by the interface"
    )
    return lines


def _outputs(told: dict[str, Any]) -> list[str]:
    lines = []
    for output in told["outputs"]:
        was = "" if output["current"] else ", an earlier filter"
        lines.append(
            f"output    {output['path']}: {output['frames']:,} frames, "
            f"{_size(output['bytes'])} in {output['parts']:,} files{was}"
        )
        since = f", from {output['from_original']} on" if output["from_original"] else ""
        lines.append(f"            {output['filter']}{since}")
        if output["open"]:
            lines.append(f"            open: {output['open']}")
    return lines


def _failures(told: dict[str, Any]) -> list[str]:
    return [
        f"{row['state']:<9} {row['name']}: {row['error']} ({row['attempts']} attempts)"
        for row in told["failed"]
    ]


def _list(told: dict[str, Any], as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(told))
        return exit_codes.OK
    for row in told["outputs"]:
        click.echo(f"{row['first']}  {row['last']}  {row['frames']:>12,} frames  {row['path']}")
    for row in told["originals"]:
        frames = "?" if row["frames"] is None else f"{row['frames']:,}"
        click.echo(
            f"{row['first']}  {row['last'] or '?':<30}  {frames:>12} frames  {row['name']}, "
            f"{row['state']}"
        )
    if not (told["outputs"] or told["originals"] or told["hours"]):
        say("no files with frames of that time")
    for row in told["hours"]:
        click.echo(
            f"{row['hour']}  and an hour  {row['frames']:>24,} frames  in {row['originals']:,} "
            f"files, {row['state']}"
        )
    if told["more"]:
        say("there are more: ask for a shorter time")
    return exit_codes.OK
