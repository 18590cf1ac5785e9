"""How a bench is told: as tables, as JSON, as Markdown."""

from __future__ import annotations

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from fastcap.errors import OutputError, UsageError
from fastcap.inputs import why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastcap.bench.report import Figures, Grid


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    markdown = click.option("--markdown", is_flag=True, help="Print Markdown.")
    return json_option(markdown(function))


def check_output(as_json: bool, markdown: bool) -> None:
    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other: run it twice")


def print_report(
    title: str,
    tables: Sequence[Figures | Grid],
    notes: Sequence[str],
    *tools: str,
    as_json: bool,
    markdown: bool,
) -> None:
    from fastcap.bench.machine import machine, versions
    from fastcap.bench.report import Report

    repeated = shlex.join(["fastcap", *sys.argv[1:]])
    report = Report(title, repeated, machine(), versions(*tools), tables, notes)
    if as_json:
        import json

        click.echo(json.dumps(report.as_json()))
    else:
        click.echo(report.as_markdown() if markdown else report.as_text())


@contextlib.contextmanager
def temporary_files() -> Iterator[None]:
    """Errors of the temporary directory as what they are."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"temporary files: {why(error)}: TMPDIR elsewhere") from error
