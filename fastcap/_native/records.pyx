"""Records in memory, counted and measured."""

from libc.stdint cimport uint64_t

from fastcap._native.csrc cimport fc_scan, fc_scan_summary, fc_scan_take
from fastcap._native.layout cimport layout_of


def take(const unsigned char[::1] records not None, layout, uint64_t room, *,
         bint at_least_one=False) -> tuple:
    """As many whole records from the start as fit `room` bytes: their length in bytes, number,
    earliest and latest time (None where there are none)."""
    cdef fc_scan scan
    cdef fc_scan_summary summary
    scan.bytes = &records[0] if records.shape[0] else NULL
    scan.length = records.shape[0]
    scan.offset = 0
    scan.layout = layout_of(layout)
    with nogil:
        fc_scan_take(&scan, room, at_least_one, &summary)
    if summary.frames == 0:
        return 0, 0, None, None
    return scan.offset, summary.frames, summary.first_ns, summary.last_ns
