"""The shape of what was thrown away: frames and bytes on the wire by second and protocol, as
csrc/summary.h counts them."""

from __future__ import annotations

import struct

from fastcap._native.postfilter import PROTOCOLS

Rows = dict[tuple[int | None, str], tuple[int, int]]
"""(second since 1970, protocol) -> (frames, bytes on the wire). The second is None for frames whose
second got no row, because there were MOST_ROWS already."""

MOST_ROWS = 1 << 20  # 12 days of one protocol, or a day of 12: some 200 MB

_ROW = struct.Struct("=4Q")  # struct fc_summary_row


def add(rows: Rows, packed: bytes) -> None:
    """Adds the rows of a range (`Result.summary`)."""
    for second, protocol, frames, size in _ROW.iter_unpack(packed):
        key: tuple[int | None, str] = second, PROTOCOLS[protocol]
        if key not in rows and len(rows) >= MOST_ROWS:
            key = None, PROTOCOLS[protocol]
        before = rows.get(key, (0, 0))
        rows[key] = before[0] + frames, before[1] + size
