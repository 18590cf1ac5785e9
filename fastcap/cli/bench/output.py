"""How a bench is told: as tables, as JSON, as Markdown, as a page."""

from __future__ import annotations

import contextlib
import functools
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from fastcap.cli.messages import say
from fastcap.errors import OutputError, UsageError
from fastcap.inputs import why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastcap.bench.charts import Bars, Lines
    from fastcap.bench.report import Figures, Grid, Report


class Output(NamedTuple):
    """Where a report goes. `html` is the path of a page, beside what is printed."""

    as_json: bool
    markdown: bool
    html: str | None
    force: bool

    def check(self) -> None:
        """Before anything is measured: a page that cannot be written would be noticed too late."""
        if self.as_json and self.markdown:
            raise UsageError("--json and --markdown exclude each other: run it twice")
        if self.html is None and self.force:
            raise UsageError("--force is for --html; nothing else is written")
        if self.html is not None:
            from fastcap.bench.page import check

            check(self.html, self.force)


def output_options(function: Callable[..., int]) -> Callable[..., int]:
    """Adds the flags; the command gets them as `output`, checked."""

    @functools.wraps(function)
    def command(
        *args: Any, as_json: bool, markdown: bool, html: str | None, force: bool, **options: Any
    ) -> int:
        output = Output(as_json, markdown, html, force)
        output.check()
        return function(*args, output=output, **options)

    for option in (
        click.option("--force", is_flag=True, help="Replace PATH of --html where it exists."),
        click.option("--html", metavar="PATH", help="Write a page with charts to PATH too."),
        click.option("--markdown", is_flag=True, help="Print Markdown."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    ):
        option(command)
    return command


def print_report(
    title: str,
    tables: Sequence[Figures | Grid],
    notes: Sequence[str],
    *tools: str,
    output: Output,
    charts: Sequence[Lines | Bars] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """`charts` are for the page alone, `more` is what only JSON has."""
    from fastcap.bench.machine import machine, versions
    from fastcap.bench.report import Report

    repeated = shlex.join(["fastcap", *sys.argv[1:]])
    report = Report(
        title, repeated, machine(), versions(*tools), tables, notes, charts, more or {}
    )  # fmt: skip
    try:
        _print(report, output)
    finally:  # whoever reads it may have had enough
        if output.html is not None:
            from fastcap.bench import page

            length = page.write(output.html, report, output.force)
            say(f"the page, {length:,} bytes, in {output.html}")


def _print(report: Report, output: Output) -> None:
    if output.as_json:
        import json

        click.echo(json.dumps(report.as_json()))
    else:
        click.echo(report.as_markdown() if output.markdown else report.as_text(_columns()))


def _columns() -> int | None:
    """Of the terminal; None where there is none, and lines may have any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextlib.contextmanager
def temporary_files() -> Iterator[None]:
    """Errors of the temporary directory as what they are."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"temporary files: {why(error)}: TMPDIR elsewhere") from error
