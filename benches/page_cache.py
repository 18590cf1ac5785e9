"""How a file lies in the page cache, which decides how fast it is read.

A file that is written in large pieces gets large folios: one entry for up to 2 MiB, not 512.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

import numpy as np


def write_again(source: str, target: Path, piece: int) -> None:
    """A copy that is written as a program does that has so many bytes at a time."""
    with open(source, "rb", buffering=0) as file, open(target, "wb", buffering=0) as copy:
        while data := file.read(piece):
            view = memoryview(data)
            while view:
                view = view[copy.write(view) :]


def large_folios(path: str) -> float | None:
    """Share of a file that is mapped in steps of 2 MiB, which needs folios as large; None where
    /proc does not say. So many are in FileHugePages of /proc/meminfo, too, for all files at once.
    """
    with _Mapped(path) as mapped:
        mapped.touch()
        try:
            text = Path("/proc/self/smaps").read_text()
        except OSError:
            return None
        _, found, ours = text.partition(f"\n{mapped.address:x}-")
        size = re.search(r"^FilePmdMapped:\s*(\d+) kB", ours, re.MULTILINE)
        if not found or size is None:
            return None
        return min(1.0, (int(size.group(1)) << 10) / mapped.size)


def in_memory(path: str) -> float:
    """Share of a file that lies in the page cache, whoever brought it there."""
    with _Mapped(path) as mapped:
        pages = np.zeros(-(-mapped.size // mmap.PAGESIZE), np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        size = ctypes.c_size_t(mapped.size)
        if libc.mincore(ctypes.c_void_p(mapped.address), size, ctypes.c_void_p(pages.ctypes.data)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        return float(np.mean(pages & 1))


def drop(path: str) -> None:
    """Who reads the file next reads the disk, where the file system lets go of its pages."""
    os.sync()  # what is not written yet stays
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


class _Mapped:
    """A file in our address space, for as long as the block lasts."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.bytes = np.frombuffer(self.mapping, np.uint8)
        self.address = int(self.bytes.ctypes.data)
        self.size = len(self.bytes)

    def __enter__(self) -> _Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        del self.bytes  # else the mapping could not be closed
        self.mapping.close()

    def touch(self) -> None:
        int(self.bytes[:: mmap.PAGESIZE].max())
