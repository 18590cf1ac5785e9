"""Free memory of a virtual machine may have gone back to its host, and then comes from there page
by page: whoever writes files next would pay for that, five times what the write costs, in one run
and not in another. Real machines have nothing of the kind."""

from __future__ import annotations

import contextlib
import os

_WRITE = 4 << 20  # bytes


def touch(folder: str | os.PathLike[str], size: int) -> None:
    """Writes a file of so many bytes in `folder`, and removes it before it is on a disk: what is
    freed last is given out first, to the files that come next. The host takes it back after
    seconds. Where there is less room it is less."""
    path = os.path.join(folder, "touched")
    block = bytes(_WRITE)
    left = size
    with contextlib.suppress(OSError), open(path, "xb", buffering=0) as file:
        try:
            while left > 0:
                left -= file.write(block[:left] if left < _WRITE else block)
        finally:
            os.unlink(path)
