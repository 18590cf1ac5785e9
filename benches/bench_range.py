"""How long does one worker take for a range of a file in the page cache: to read it, to filter it,
and to copy what matches?"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fastcap
from benches.bench_filter import FILTERS
from benches.conftest import Measure, Records
from benches.make_traffic import FILE_HEADER
from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.postfilter import NO_LIMIT, filter_range
from fastcap._native.program import NativeProgram

if TYPE_CHECKING:
    from typing_extensions import Buffer

RANGE_BYTES = 16 << 20


def _filter_ranges(
    fd: int, records: Records, program: NativeProgram, take: Callable[[Buffer], object]
) -> None:
    """Range after range as `fastcap filter` does it; `take` is given the matching records."""
    size = os.fstat(fd).st_size
    memory = Memory(1, 1 << 30)  # one buffer is used again for all ranges
    start = FILE_HEADER
    while start < size:
        stop = min(size, (start // RANGE_BYTES + 1) * RANGE_BYTES)
        _, _, _, start, damage, *_, ((_, output),), _ = filter_range(
            fd,
            start,
            stop,
            size,
            False,
            programs=(program,),
            layout=records.layout,
            out_layout=records.layout,
            limit=NO_LIMIT,
            keep=True,
            cancel=Cancel(),
            memory=memory,
        )
        assert damage is None
        take(output)


def _expected(records: Records, name: str) -> bytes:
    """The records that match, by numpy alone."""
    keep = np.flatnonzero(FILTERS[name][1](records))
    ends = np.append(records.starts[1:], len(records.data))
    return b"".join(records.data[records.starts[i] : ends[i]] for i in keep)


@pytest.mark.parametrize("name", ["two Blobs", "tcp"])
def test_range(name: str, traffic: Records, measure: Measure) -> None:
    program = fastcap.compile(FILTERS[name][0]).native
    fd = os.open(traffic.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        kept: list[Buffer] = []
        _filter_ranges(fd, traffic, program, kept.append)
        assert b"".join(kept) == _expected(traffic, name)
        del kept
        measure(f"ranges of a file, {name}", traffic, _filter_ranges, fd, traffic, program, id)
    finally:
        os.close(fd)
