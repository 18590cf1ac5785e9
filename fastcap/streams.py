"""Inputs that cannot be read twice: standard input, FIFOs, devices. Read piece by piece in one
thread; every piece goes through the same loop as a range of a file."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.postfilter import NO_LIMIT
from fastcap.errors import InputError, Interrupted
from fastcap.formats.pcap import HEADER_SIZE
from fastcap.inputs import Source, why
from fastcap.tasks import Job, Result, run_bytes

PIECE = 1 << 20  # bytes; the most that is gathered before it is filtered,
_ALL_TAKEN = 48 << 20  # or less where every output may take all of it
_POLL_MS = 50


def read_stream(
    source: Source, job: Job, skip: int, cancel: Cancel, memory: Memory
) -> Iterator[tuple[Result, int]]:
    """Results of a stream's pieces in order, with offsets that count from the stream's start, up
    to the limit of `job`, without the first `skip` frames that it takes; and with each, how many
    of these are still to come."""
    assert source.fd is not None
    most = min(PIECE, _ALL_TAKEN // len(job.programs))
    offset = HEADER_SIZE
    waiting = b""
    at_end = False
    at_hand = False  # the rest of a piece that was read up to a frame inside it
    while (at_hand or not at_end) and job.limit > 0:
        piece = waiting if at_hand else _gather(source, waiting, most, cancel)
        at_end = at_end if at_hand else len(piece) == len(waiting)
        if skip > 0:
            result = run_bytes(
                memoryview(piece), job._replace(limit=skip, keep=False), cancel, memory
            )
            skip -= result.taken
            at_hand = skip == 0
            result = result.skipped() if at_hand else result._replace(taken=0, kept=())
        else:
            result = run_bytes(memoryview(piece), job, cancel, memory)
            at_hand = result.filled
        used = result.end
        unfinished = result.cut and not at_end  # the record goes on in the next piece
        result = result._replace(
            start=offset, end=offset + used, damage=None if unfinished else result.damage
        )
        yield result, skip
        if result.damage is not None:
            return
        offset += used
        if job.limit != NO_LIMIT:
            job = job._replace(limit=job.limit - result.taken)
        waiting = piece[used:]


def _gather(source: Source, waiting: bytes, most: int, cancel: Cancel) -> bytes:
    """What is waiting and what is there to be read, up to `most` bytes more; waits for some of it.
    No more than what is waiting only at the end."""
    assert source.fd is not None
    parts = [waiting]
    room = most
    poll = select.poll()
    poll.register(source.fd, select.POLLIN)
    try:
        while room > 0 and (room == most or poll.poll(0)):
            while not poll.poll(_POLL_MS):
                if cancel.is_set():
                    raise Interrupted("interrupted")
            more = os.read(source.fd, room)
            if not more:
                break
            parts.append(more)
            room -= len(more)
    except OSError as error:
        raise InputError(f"{source.name}: {why(error)}") from error
    return b"".join(parts)
