"""Records in memory, counted and measured."""

from libc.stdint cimport uint64_t

from fastcap._native.csrc cimport (
    fc_bool,
    fc_pcapng_walk,
    fc_pcapng_walk_on,
    fc_scan,
    fc_scan_summary,
    fc_scan_take,
)
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


cdef class BlockWalk:
    """A walk over the blocks of a pcapng file of this machine, piece by piece: how many `frames`
    they hold so far, and the earliest and latest time (None where there are none)."""

    cdef fc_pcapng_walk c

    def go_on(self, const unsigned char[::1] data not None) -> tuple:
        """Over the whole blocks that `data` begins with: the bytes that they have, and whether what
        stands behind them is damage, and not just the first part of a block."""
        cdef fc_bool damaged = False
        cdef size_t length = data.shape[0]
        cdef const unsigned char *bytes = &data[0] if length else NULL
        with nogil:
            length = fc_pcapng_walk_on(&self.c, bytes, length, &damaged)
        return length, bool(damaged)

    @property
    def frames(self) -> int:
        return self.c.frames

    @property
    def first_ns(self):
        return self.c.first_ns if self.c.frames else None

    @property
    def last_ns(self):
        return self.c.last_ns if self.c.frames else None
