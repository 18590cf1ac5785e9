"""How long does it take to write records to a new file, up to the page cache?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benches.conftest import Measure, Records
from fastcap._native.cancel import Cancel
from fastcap._native.writer import NativeWriter

# Ranges with few matches give short appends, ranges with many give long ones.
APPENDS = {"64 KiB": 64 << 10, "16 MiB": 16 << 20}


def _write(path: Path, data: memoryview, append: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        writer = NativeWriter(fd, Cancel())
        for start in range(0, len(data), append):
            writer.append(data[start : start + append])
        writer.flush()
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", APPENDS)
def test_writer(name: str, traffic: Records, tmp_path: Path, measure: Measure) -> None:
    path = tmp_path / "out"
    data, append = traffic.data, APPENDS[name]
    _write(path, data, append)
    assert path.read_bytes() == data
    # Deleted before it is timed again: a file that is written over costs no new pages.
    measure(
        f"writer, {name} an append",
        traffic,
        _write,
        path,
        data,
        append,
        prepare=lambda: path.unlink(missing_ok=True),
    )
    path.unlink()
