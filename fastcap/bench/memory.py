"""Free memory of a virtual machine may have gone back to its host, and then comes from there page
by page: whoever writes files next would pay for that, five times what the write costs, in one run
and not in another. Real machines have nothing of the kind."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable

_WRITE = 4 << 20  # bytes
_KEEP_FREE = 256 << 20  # of the disk


def touch(folder: str | os.PathLike[str], size: int, heed: Callable[[], None]) -> None:
    """Writes a file of so many bytes in `folder`, and removes it, mostly before it is on a disk:
    what is freed last is given out first, to the files that come next. The host takes it back after
    seconds. Where there is less room it is less. Raises what `heed` raises."""
    path = os.path.join(folder, "touched")
    block = bytes(_WRITE)
    left = min(size, shutil.disk_usage(folder).free - _KEEP_FREE)
    with contextlib.suppress(OSError), open(path, "xb", buffering=0) as file:
        try:
            while left > 0:
                heed()
                left -= file.write(block[:left] if left < _WRITE else block)
        finally:
            os.unlink(path)
