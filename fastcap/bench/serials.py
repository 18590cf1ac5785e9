"""Which frames of a bench are in captures: each counted by its serial number."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastcap._native.cancel import Cancel
from fastcap._native.generator import NativeSerials
from fastcap.errors import InputError
from fastcap.formats.linktypes import ETHERNET
from fastcap.formats.pcap import HEADER_SIZE, parse_header
from fastcap.inputs import why


class Damage(NamedTuple):
    """`reason` why a file cannot be read from byte `offset` on."""

    path: str
    offset: int
    reason: str


class Serials(NamedTuple):
    """What is in captures of the `sent` frames of a bench.

    `frames` are all records, each of which is one of these: `distinct`, a frame that was sent, the
    first time; `duplicates`, that came again; `never_sent`, of this bench but with a serial number
    that nobody sent; `other_benches`; `foreign`, without a label, or cut before the end of it.
    `missing` is what was sent and is nowhere. `highest` is the highest serial number, `first_ns`
    and `last_ns` when the earliest and the latest frame were made, nanoseconds since 1970; None
    where there is none. `damage` has an entry for each file that could not be read to its end; what
    stands before is counted.
    """

    sent: int
    frames: int
    distinct: int
    duplicates: int
    never_sent: int
    other_benches: int
    foreign: int
    highest: int | None
    first_ns: int | None
    last_ns: int | None
    damage: tuple[Damage, ...]

    @property
    def missing(self) -> int:
        return self.sent - self.distinct


def read_serials(
    paths: Iterable[str | os.PathLike[str]],
    *,
    bench: int,
    sent: Sequence[int],
    cancel: Cancel | None = None,
) -> Serials:
    """Counts the frames of one capture, whose files are `paths` in any order, pcap of any tool's.

    `sent` is how many frames each thread sent (`Sent.by_thread`). Memory: one bit for each of them.
    InputError for a file that is no Ethernet pcap or cannot be opened, Interrupted."""
    native = NativeSerials(bench=bench, sent=tuple(sent))
    damage = []
    for path in paths:
        found = _read(native, os.fspath(path), cancel or Cancel())
        damage += [found] if found is not None else []
    counts = native.counts()
    return Serials(sent=sum(sent), damage=tuple(damage), **counts)  # type: ignore[arg-type]


def _read(native: NativeSerials, path: str, cancel: Cancel) -> Damage | None:
    try:
        with open(path, "rb", buffering=0) as file:
            header = parse_header(file.read(HEADER_SIZE), path)
            if header.linktype != ETHERNET:
                raise InputError(f"{path}: of link type {header.link_name}, not Ethernet")
            length, problem = native.read(file.fileno(), header.layout, cancel)
    except OSError as error:
        raise InputError(f"{path}: {why(error)}") from error
    return None if problem is None else Damage(path, HEADER_SIZE + length, problem)
