"""What a capture received, wrote and lost."""

from __future__ import annotations

from typing import Any, NamedTuple


class Account(NamedTuple):
    """Counts of one capture, from its start. At its end, exactly:

        frames_received = frames_written + frames_dropped_ring + frames_lost_writer
                          + frames_rejected_filter (where that is known)

    `frames_received`: frames that reached the socket; where the kernel filters, only those that
    passed, unless rejected ones are counted. `frames_dropped_ring`: of these, those for which the
    ring had no room, in `ring_full_episodes` times that it became full. `frames_missed_interface`:
    not among these; those that the interface's driver had to leave. `frames_lost_writer`: taken
    from the ring, and not in any file because of an error there. `frames_rejected_filter`: None
    where only the kernel knows. `bytes_received`: length on the wire of the frames that were kept.
    `buffer_high_water`: the most bytes of the buffer that were in use, in whole chunks.
    `longest_block_wait_us`: the longest that a ring block waited for the reader, microseconds; up
    to 120 ms less where it was not full.
    `frames_oversize`: of those that were read, the ones that are longer than the interface's MTU
    allows: several may be merged in one.
    """

    frames_received: int = 0
    frames_written: int = 0
    frames_dropped_ring: int = 0
    ring_full_episodes: int = 0
    frames_missed_interface: int = 0
    frames_lost_writer: int = 0
    frames_rejected_filter: int | None = None
    bytes_received: int = 0
    buffer_high_water: int = 0
    longest_block_wait_us: int = 0
    frames_oversize: int = 0

    @property
    def frames_lost(self) -> int:
        """Frames that should be in a file and are not, as far as any counter tells."""
        return self.frames_dropped_ring + self.frames_missed_interface + self.frames_lost_writer

    @property
    def balances(self) -> bool:
        """Whether every received frame is accounted for; meant for the end of a capture."""
        return self.frames_received == (
            self.frames_written
            + self.frames_dropped_ring
            + self.frames_lost_writer
            + (self.frames_rejected_filter or 0)
        )

    def as_json(self) -> dict[str, Any]:
        return self._asdict()

    def __str__(self) -> str:
        rejected = self.frames_rejected_filter
        return (
            f"{self.frames_received:,} frames received, {self.frames_written:,} written, "
            f"{self.frames_dropped_ring:,} dropped by the ring"
            + (f" (full {self.ring_full_episodes:,} times)" if self.ring_full_episodes else "")
            + f", {self.frames_missed_interface:,} missed by the interface, "
            f"{self.frames_lost_writer:,} lost by the writer"
            + (f", {rejected:,} rejected by the filter" if rejected is not None else "")
        )
