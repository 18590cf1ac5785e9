"""Which tools take part, and what each is asked for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from fastcap.cli.bench.output import temporary_files
from fastcap.cli.bench.scales import Listed, One
from fastcap.cli.flags import SIZE
from fastcap.postfilter import MOST_SNAPLEN

if TYPE_CHECKING:
    from collections.abc import Callable

_ALL = ("fastcap", "tcpdump", "dumpcap", "netsniff-ng")
_LEAST_SNAPLEN = 60  # a frame says in its first 60 bytes which one it is
_EXPECTED = f"{_LEAST_SNAPLEN} bytes or more, or 0 for all"


def _tool(word: str) -> str:
    if word not in _ALL:
        raise ValueError
    return word


def _snaplen(word: str) -> int:
    if word.isdecimal() and (int(word) == 0 or _LEAST_SNAPLEN <= int(word) <= MOST_SNAPLEN):
        return int(word)
    raise ValueError


_TOOLS = Listed("tools", _tool, f"one of {', '.join(_ALL)}")
SNAPLENS = Listed("snaplens", _snaplen, _EXPECTED)
SNAPLEN = One("snaplen", _snaplen, _EXPECTED)


def tools_options(ring: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Adds what benches of several tools share; the command gets `tools`, `rounds`, and `asked`,
    the fields of fastcap.bench.runs.Settings that say what each tool gets. `ring` is the default of
    --ring."""

    def with_options(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def command(
            *args: Any, ring: int, buffer: int, file_size: int, folder: str | None, **options: Any
        ) -> int:
            import tempfile

            with temporary_files():
                folder = folder or tempfile.gettempdir()
            asked = {
                "folder": folder,
                "ring": ring, "buffer": buffer, "file_size": file_size,
            }  # fmt: skip
            return function(*args, asked=asked, **options)

        for option in reversed(_shared(ring)):
            option(command)
        return command

    return with_options


def _shared(ring: str) -> list[Callable[[Callable[..., int]], Callable[..., int]]]:
    return [
        click.option(
            "--tools",
            type=_TOOLS,
            default=",".join(_ALL),
            show_default=True,
            metavar="LIST",
            help="Those that are not installed are left out, and that is said.",
        ),
        click.option(
            "--rounds",
            type=click.IntRange(1, 100),
            default=3,
            show_default=True,
            metavar="N",
            help="In each of which every tool has its turn.",
        ),
        _size("--ring", ring, "Of each tool."),
        _size("--buffer", "64M", "Of fastcap, behind its ring; the others have none."),
        _size("--file-size", "1G", "Each tool begins a new file then."),
        click.option(
            "--dir",
            "folder",
            metavar="PATH",
            help="Where files go. Default: the temporary directory.",
        ),
    ]


def _size(name: str, default: str, told: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    return click.option(
        name, type=SIZE, default=default, show_default=True, metavar="SIZE", help=told
    )
