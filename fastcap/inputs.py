"""Inputs as people name them: files, directories, standard input; opened and their headers read."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastcap.errors import InputError
from fastcap.formats.pcap import HEADER_SIZE, FileHeader, parse_header

# In a directory these names are captures, whatever is in them; others where their magic says so.
_SUFFIXES = (".pcap", ".cap", ".dmp", ".pcapng", ".ntar")
_PACKED = (".gz", ".zst", ".lz4", ".xz", ".bz2")  # refused by what is in them, not passed over
STANDARD_INPUT = "-"


class Identity(NamedTuple):
    """What tells one file from another, whatever they are called."""

    device: int
    inode: int


class Source(NamedTuple):
    """One input whose header has been read.

    `fd` is the open descriptor of a stream (standard input, a FIFO, a device) that stands behind
    its header, None for a file, which is opened again by whoever reads it. `size` is that of the
    file when its header was read, 0 for a stream.
    """

    name: str
    header: FileHeader
    identity: Identity
    size: int
    fd: int | None = None

    def close(self) -> None:
        """Closes a stream that is ours; standard input is not."""
        if self.fd is not None and self.fd != 0:
            os.close(self.fd)


def why(error: OSError) -> str:
    """An OSError's reason, without the file name that messages put in front."""
    return error.strerror or str(error)


def expand(names: Iterable[str]) -> list[str]:
    """Files for names of files and directories. The captures of a directory, and of those in it,
    come sorted by name; hidden files are left out. InputError for a directory without any."""
    found: list[str] = []
    for name in names:
        if name != STANDARD_INPUT and os.path.isdir(name):
            captures = sorted(_captures_in(name))
            if not captures:
                raise InputError(f"{name}: a directory without captures")
            found += captures
        else:
            found.append(name)
    return found


def _captures_in(directory: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: {why(error)}") from error

    for folder, folders, files in os.walk(directory, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(folder, name)
            if not name.startswith(".") and (is_named_capture(name) or _has_magic(path)):
                yield path


def is_named_capture(name: str) -> bool:
    name = name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return name.endswith(_SUFFIXES)


def _has_magic(path: str) -> bool:
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            parse_header(file.read(HEADER_SIZE), path)
    except (InputError, OSError):
        return False
    return True


def read_names(list_name: str) -> list[str]:
    """The names in a file, or on standard input for "-": one a line, or separated by NUL bytes as
    `find -print0` writes them. InputError where it cannot be read."""
    try:
        if list_name == STANDARD_INPUT:
            data = sys.stdin.buffer.read()
        else:
            with open(list_name, "rb") as file:
                data = file.read()
    except OSError as error:
        raise InputError(f"{list_name}: {why(error)}") from error
    separator = b"\0" if b"\0" in data else b"\n"
    names = (line.removesuffix(b"\r") for line in data.split(separator))
    return [os.fsdecode(name) for name in names if name]


def open_source(name: str) -> Source:
    """Opens an input and reads its header. InputError for what is no capture."""
    try:
        fd = 0 if name == STANDARD_INPUT else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{name}: {why(error)}{_hint(error)}") from error
    shown = "standard input" if name == STANDARD_INPUT else name
    try:
        source = _read_header(name, shown, fd)
    except BaseException:
        _close(fd)
        raise
    if source.fd is None:
        _close(fd)
    return source


def _read_header(name: str, shown: str, fd: int) -> Source:
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{shown}: a directory")
        is_file = stat.S_ISREG(status.st_mode) and fd != 0
        if fd == 0 and os.isatty(fd):
            raise InputError("standard input is a terminal: name files, or pipe a capture in")
        header = parse_header(_read_exactly(fd, HEADER_SIZE), shown)
    except OSError as error:
        raise InputError(f"{shown}: {why(error)}") from error
    identity = Identity(status.st_dev, status.st_ino)
    if is_file:
        return Source(name, header, identity, status.st_size)
    return Source(shown, header, identity, 0, fd)


def _read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            break
        data += more
    return data


def _close(fd: int) -> None:
    if fd != 0:
        os.close(fd)


def _hint(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return ": run as its owner or as root"
    if error.errno == errno.EMFILE:
        return ": raise the limit with ulimit -n"
    return ""
