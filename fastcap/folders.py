"""Directories, whose names are to last."""

from __future__ import annotations

import errno
import os


def sync_folder(folder: str) -> None:
    """Afterwards a power cut does not take its names away, or bring old ones back. OSError."""
    fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(fd)
