"""A capture with made-up frames of one length: enough to measure how fast frames are filtered."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastcap.formats.pcap import RECORD_HEADER_SIZE

HOST = "10.35.69.103"  # of the frames that a filter is to find
LEAST_CAPTURED = 54  # headers of Ethernet, IPv4 and TCP
_HOST = 0x0A234567
_FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
_PIECE = 4 << 20  # bytes that are made, and written, at once
_FIRST_SECOND = 1_700_000_000
_START = (
    bytes.fromhex("020000000001 020000000002 0800")  # Ethernet: two addresses, IPv4 behind them
    + bytes.fromhex("4500 0000 0000 4000 40 06 0000")  # IPv4 without options, TCP in it
)


class Made(NamedTuple):
    path: str
    bytes: int
    frames: int
    hits: int  # frames from or to HOST


def record_type(captured: int) -> np.dtype[np.void]:
    """A record of a file: header, what `_START` says, addresses, ports, and noise behind them."""
    fields = {
        "seconds": ("<u4", 0),
        "fraction": ("<u4", 4),
        "captured": ("<u4", 8),
        "wire": ("<u4", 12),
        "start": (f"S{len(_START)}", RECORD_HEADER_SIZE),
        "total_length": (">u2", RECORD_HEADER_SIZE + 16),
        "source": (">u4", RECORD_HEADER_SIZE + 26),
        "destination": (">u4", RECORD_HEADER_SIZE + 30),
        "source_port": (">u2", RECORD_HEADER_SIZE + 34),
        "destination_port": (">u2", RECORD_HEADER_SIZE + 36),
        "data_offset": ("u1", RECORD_HEADER_SIZE + 46),
    }
    return np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": RECORD_HEADER_SIZE + captured,
        }
    )


def make_capture(
    path: str,
    size: int,
    *,
    captured: int,
    wire: int,
    hit_share: float,
    heed: Callable[[], None] = lambda: None,
    seed: int = 1,
) -> Made:
    """Writes a new file of about `size` bytes, at least one record; the same for the same numbers.
    `captured` bytes of each frame are there, of `wire` that it had. OSError; what `heed` raises,
    which is called often."""
    rng = np.random.default_rng(seed)
    kind = record_type(captured)
    frames = max(1, (size - len(_FILE_HEADER)) // kind.itemsize)
    batch = max(1, _PIECE // kind.itemsize)
    noise = np.frombuffer(bytearray(rng.bytes(batch * kind.itemsize)), kind)
    made = hits = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(_FILE_HEADER)
        while made < frames:
            heed()
            records = noise[: min(batch, frames - made)]
            hits += _fill(records, made, captured, wire, hit_share, rng)
            file.write(records.view(np.uint8).data)
            made += len(records)
        length = file.tell()
    return Made(path, length, frames, hits)


def _fill(
    records: NDArray[np.void],
    first: int,
    captured: int,
    wire: int,
    hit_share: float,
    rng: np.random.Generator,
) -> int:
    """Gives records other times, addresses and ports; how many are to be found."""
    count = len(records)
    microseconds = np.arange(first, first + count)
    records["seconds"] = _FIRST_SECOND + microseconds // 1_000_000
    records["fraction"] = microseconds % 1_000_000
    records["captured"] = captured
    records["wire"] = wire
    records["start"] = _START
    records["total_length"] = min(wire - 14, 0xFFFF)
    # clients in 10.64.0.0/10, servers in 128.0.0.0/2: HOST is neither
    client = rng.integers(0x0A400000, 0x0A800000, count, np.uint32)
    server = rng.integers(0x80000000, 0xC0000000, count, np.uint32)
    hit = rng.random(count) < hit_share
    client[hit] = _HOST
    goes_out = rng.random(count) < 0.5
    records["source"] = np.where(goes_out, client, server)
    records["destination"] = np.where(goes_out, server, client)
    records["source_port"] = np.where(goes_out, 50_000, 443)
    records["destination_port"] = np.where(goes_out, 443, 50_000)
    records["data_offset"] = 5 << 4
    return int(np.count_nonzero(hit))
