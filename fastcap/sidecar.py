"""The JSON beside a captured file: what the file holds, how it came to be, what was lost meanwhile.

/data/net1_00000001_20261121T022817Z.pcap.json follows its file within moments, and goes when
fastcap deletes it. It is complete once it has its name.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from fastcap.permissions import Permissions
from fastcap.segments import Span

SUFFIX = ".json"
LONGER = len("." + SUFFIX)  # bytes: the longest name of a file and of its JSON differ by so many
_LARGEST = 1 << 20  # bytes that are read
_PERMISSIONS = Permissions()
_NUMBERS = ("frames", "bytes", "first_ns", "last_ns")


def path_of(capture: str) -> str:
    """Of the JSON beside a file."""
    return capture + SUFFIX


def temporary_of(capture: str) -> str:
    """Where the JSON is written."""
    folder, base = os.path.split(path_of(capture))
    return os.path.join(folder, "." + base)


def write(capture: str, record: dict[str, Any], permissions: Permissions = _PERMISSIONS) -> None:
    """Writes and syncs it; one that is there belonged to a file that is gone. OSError."""
    temporary = temporary_of(capture)
    with contextlib.suppress(FileNotFoundError):  # left by a capture that was killed
        os.unlink(temporary)
    fd = permissions.create(temporary)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(fd)
        os.rename(temporary, path_of(capture))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def remove(capture: str) -> None:
    """Of a file that is deleted. OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(capture))


def numbers(capture: str) -> dict[str, Any]:
    """`frames`, `bytes`, `first_ns` and `last_ns` as the JSON beside a file has them; None each
    where there is none. Never waits for a FIFO that somebody put there."""
    try:
        fd = os.open(path_of(capture), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            record = json.loads(file.read(_LARGEST) or b"")
        return {name: record[name] for name in _NUMBERS}
    except (OSError, ValueError, KeyError, TypeError):
        return dict.fromkeys(_NUMBERS)


def proven_span(capture: str, size: int) -> Span | None:
    """What a file of `size` bytes spans, where its JSON proves it: that is of this length, and the
    file was not written later. None where nothing is proven."""
    path = path_of(capture)
    try:
        with open(path, "rb") as file:
            written = os.fstat(file.fileno()).st_mtime_ns
            record = json.loads(file.read(_LARGEST))
        if os.stat(capture).st_mtime_ns > written or record["bytes"] != size:
            return None
        span = Span(int(record["frames"]), record["first_ns"], record["last_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    times = (span.first_ns, span.last_ns)
    return span if span.frames > 0 and all(isinstance(time, int) for time in times) else None
