"""Flags that several commands take, and the values of flags."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import click

from fastcap.engine import ENGINES
from fastcap.errors import UsageError
from fastcap.language.lower import VLAN_MODES
from fastcap.postfilter import MOST_JOBS

_SIZE = r"(?i:([0-9]+(?:\.[0-9]+)?)\s*([kmgt])(?:i?b)?)"  # compiled when it is used
_LARGEST = 1 << 62
_POWERS = {"k": 10, "m": 20, "g": 30, "t": 40}


class Size(click.ParamType[int]):
    """A size in bytes with a suffix: 500M, 2G, 1.5g; powers of 1024."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(_SIZE, str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size: a number and k, M, G or T, such as 500M or 2G")
        number = float(match.group(1)) * (1 << _POWERS[match.group(2).lower()])
        if number > _LARGEST:
            self.fail(f"{value!r} is larger than any file")
        size = int(number)
        if size < 1:
            self.fail(f"{value!r} is no size that holds anything")
        return size


class RotateSize(Size):
    """The same, or tcpdump's plain number: millions of bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value).strip()
        if isinstance(value, str) and text.isdecimal() and 0 < int(text) <= _LARGEST // 1_000_000:
            return int(text) * 1_000_000
        return super().convert(value, param, ctx)


class Free(NamedTuple):
    """A part of a file system: bytes, or percent."""

    size: int
    percent: float

    def of(self, path: str) -> int:
        """Bytes, of the file system where a file is to be written."""
        if not self.percent:
            return self.size
        try:
            told = os.statvfs(os.path.dirname(path) or ".")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        return int(told.f_blocks * told.f_frsize * self.percent / 100)


class FreeSpace(click.ParamType[Free]):
    """A size, or percent of the file system: 20G, 5%."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Free:
        text = str(value).strip()
        if not text.endswith("%"):
            return Free(SIZE.convert(value, param, ctx), 0)
        number = text[:-1].strip()
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) or not 0 < float(number) < 100:
            self.fail(f"{value!r} is no part of a file system: such as 20G or 5%")
        return Free(0, float(number))


class Mode(click.ParamType[int]):
    """Permissions of a file, in octal, as chmod takes them."""

    name = "mode"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if not re.fullmatch(r"(0o?)?[0-7]{3}", text):
            self.fail(f"{text!r} is no mode of a file: three octal digits, such as 640")
        mode = int(text[-3:], 8)
        if mode & 0o600 != 0o600:
            self.fail(f"{text!r} keeps the files' owner from them: 600 at least")
        return mode


SIZE = Size()
MODE = Mode()
FREE = FreeSpace()
ROTATE_SIZE = RotateSize()

files_from_option = click.option(
    "--files-from",
    metavar="FILE",
    help="Read more inputs from FILE or - (one a line, or NUL between them).",
)
jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    metavar="N",
    help="Work on N ranges at once. Default: one a processor.",
)
vlan_option = click.option(
    "--vlan",
    type=click.Choice(VLAN_MODES),
    default="wire",
    show_default=True,
    help="wire: filters see VLAN tags as they were on the wire. skip: pcap-filter text and field "
    "names see frames without them, at any depth.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="auto",
    show_default=True,
    help="Who runs filters in user space. jit: machine code, by fastcap-jit; auto: that where it "
    "is installed; interpreter: the same results, slower.",
)
verbose_option = click.option(
    "-v", "--verbose", is_flag=True, help="Say who runs the filter, and why."
)
linktype_option = click.option(
    "-y",
    "--linktype",
    default="ETHERNET",
    show_default=True,
    metavar="NAME",
    help="What frames begin with: a name or number as in captures.",
)
# For the halves of `fastcap run`, by its supervisor.
pressure_option = click.option("--pressure", type=click.IntRange(0), metavar="FD", hidden=True)
with_parent_option = click.option(
    "--with-parent", type=click.IntRange(1), metavar="PID", hidden=True
)


def outputs_of(given: tuple[str, ...]) -> dict[str, str]:
    """OUT=EXPR, split at the first =."""
    outputs: dict[str, str] = {}
    for text in given:
        name, equal, expression = text.partition("=")
        if not name or not equal:
            raise UsageError(f"--to {text}: expected OUT=EXPR, as in --to web.pcap='tcp port 443'")
        if name in outputs:
            raise UsageError(f"--to {name}: named twice; join the filters with OR")
        outputs[name] = expression
    return outputs
