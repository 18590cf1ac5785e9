"""Makes a pcap file of synthetic traffic: fast, and the same bytes for the same options.

    python benches/make_traffic.py OUT --bytes 1G --captured 80 --seed 1

What it assumes:

- Ethernet, IPv4 without options, TCP (85 %) or UDP (15 %), in no order that a branch predictor
  could learn. So the source address is at offset 26 of a frame, the destination at 30.
- Lengths on the wire: 36 % of the frames have 64 bytes, 44 % have 1514, the rest any length
  between; 847 bytes in the mean.
- `--captured full` keeps frames whole. `--captured N` keeps exactly N bytes of every frame: what
  would be shorter on the wire than N is made N bytes long, so that "80 bytes a frame" is no mean.
- One frame in a hundred (`--hit-rate`) has 10.35.69.103 (0x0a234567) as source or as destination,
  each as often; no other frame has that address. Port 443 is at one end of 60 % of the frames.
- Times rise, a microsecond a frame in the mean; little-endian, microseconds.
- Checksums of the IPv4 headers are right, those of TCP and UDP are not. The rest is noise.

The file is written in pieces of 4 MiB at multiples of 4 MiB. So written, it lies in the page cache
in large folios, and every tool that reads it is faster than after small writes. Captures that
arrived in small writes are read slower than these, by all tools.
"""

from __future__ import annotations

import argparse
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HIT = 0x0A234567  # 10.35.69.103
FULL = None  # as `captured`: frames are captured whole

FILE_HEADER = 24
RECORD_HEADER = 16
PIECE = 4 << 20
FRAME_HEADERS = 54  # Ethernet, IPv4, TCP
SHORTEST, LONGEST = 64, 1514

_SNAPLEN = 262144
_BATCH = 1 << 14  # records made at once: few enough for the second-level cache
_FIRST_SECOND = 1_700_000_000
_MEAN_GAP_NS = 1000
_SHARE_SHORTEST, _SHARE_LONGEST = 0.36, 0.44
_SHARE_TCP = 0.85
_SERVICES = np.repeat(np.array([443, 80, 53, 22, 8080], np.uint16), [12, 3, 2, 1, 2])
_TCP, _UDP = 6, 17
_IPV4_CONSTANT = 0x4500 + 0x4000  # version, header length; do not fragment: for the checksum

# field: type, offset in the frame
_FRAME_FIELDS = {
    "macs": (">u8", 0),
    "macs_rest": (">u4", 8),
    "ethertype": (">u2", 12),
    "version": (">u2", 14),
    "total_length": (">u2", 16),
    "identification": (">u2", 18),
    "fragment": (">u2", 20),
    "ttl": ("u1", 22),
    "protocol": ("u1", 23),
    "checksum": (">u2", 24),
    "source": (">u4", 26),
    "destination": (">u4", 30),
    "source_port": (">u2", 34),
    "destination_port": (">u2", 36),
    "sequence": (">u4", 38),  # of UDP: length and checksum
    "acknowledgement": (">u4", 42),
    "flags": (">u2", 46),
    "window": (">u2", 48),
    "tcp_checksum": (">u2", 50),
    "urgent": (">u2", 52),
}
_RECORD_FIELDS = {"seconds": 0, "fraction": 4, "captured": 8, "wire": 12}


class Traffic(NamedTuple):
    """A file that was made. `hits` is the number of frames with the address HIT."""

    path: str
    bytes: int
    frames: int
    hits: int


def make_traffic(
    path: str | os.PathLike[str],
    size: int,
    *,
    captured: int | None = FULL,
    seed: int = 1,
    hit_rate: float = 0.01,
    first_second: int = _FIRST_SECOND,
) -> Traffic:
    """Writes a file of at most `size` bytes, as near to it as whole records come."""
    if captured is not None and not FRAME_HEADERS <= captured <= LONGEST:
        raise ValueError(f"captured: {FRAME_HEADERS} to {LONGEST} bytes, or all; not {captured}")
    frames = hits = 0
    name = os.fspath(path)
    with _Pieces(name) as pieces:
        pieces.append(memoryview(_file_header()))
        for batch in _batches(captured, seed, hit_rate, first_second):
            kept = batch.fitting(size - pieces.length)
            frames += kept
            hits += int(np.count_nonzero(batch.hit[:kept]))
            pieces.append(batch.records[: batch.ends[kept]].data)
            if kept < len(batch.hit):
                break
        length = pieces.length
    return Traffic(name, length, frames, hits)


def _file_header() -> bytes:
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, 1)


class _Pieces:
    """A new file, written in whole pieces; only the last is smaller."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self.piece = memoryview(bytearray(PIECE))
        self.used = 0
        self.length = 0

    def __enter__(self) -> _Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._write(self.piece[: self.used])
        finally:
            os.close(self.fd)

    def append(self, view: memoryview) -> None:
        self.length += len(view)
        while view:
            part = view[: PIECE - self.used]
            self.piece[self.used : self.used + len(part)] = part
            self.used += len(part)
            view = view[len(part) :]
            if self.used == PIECE:
                self._write(self.piece)
                self.used = 0

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self.fd, data) :]


class _Batch(NamedTuple):
    """Records as they are in the file. Record i ends at `ends[i + 1]`, and `ends[0]` is 0."""

    records: NDArray[np.uint8]
    ends: NDArray[np.int64]
    hit: NDArray[np.bool_]

    def fitting(self, room: int) -> int:
        """How many of the records fit into so many bytes."""
        return max(0, int(np.searchsorted(self.ends, room, side="right")) - 1)


def _batches(
    captured: int | None, seed: int, hit_rate: float, first_second: int
) -> Iterator[_Batch]:
    """Without end. The arrays of a batch are used again for the next one."""
    rng = np.random.Generator(np.random.SFC64(seed))
    kept = FRAME_HEADERS if captured is None else captured
    noise = rng.bytes(_BATCH * (RECORD_HEADER + (LONGEST if captured is None else kept)))
    records = np.frombuffer(bytearray(noise), np.uint8)
    written = np.zeros((0, 0), np.int64)  # where headers are among the noise
    headers = np.zeros(_BATCH, _record_type(kept))
    if captured is not None:
        headers = records.view(headers.dtype)
    columns = np.arange(RECORD_HEADER + FRAME_HEADERS)
    now = first_second * 1_000_000_000
    while True:
        wire = _wire_lengths(rng)
        if captured is not None:
            np.maximum(wire, captured, out=wire)
        times = now + np.cumsum(rng.integers(1, 2 * _MEAN_GAP_NS, _BATCH))
        now = int(times[-1])
        lengths = wire if captured is None else np.full(_BATCH, captured, np.uint32)
        headers["seconds"] = times // 1_000_000_000
        headers["fraction"] = times // 1000 % 1_000_000
        headers["captured"] = lengths
        headers["wire"] = wire
        hit = rng.random(_BATCH, np.float32) < hit_rate
        _fill_frames(headers, wire, hit, rng)
        ends = np.zeros(_BATCH + 1, np.int64)
        np.cumsum(lengths.astype(np.int64) + RECORD_HEADER, out=ends[1:])
        if captured is None:
            # those of the batch before would look like records inside of frames
            records[written] = np.frombuffer(noise, np.uint8)[written]
            written = ends[:-1, None] + columns
            records[written] = headers.view(np.uint8).reshape(_BATCH, -1)
        yield _Batch(records, ends, hit)


def _record_type(captured: int) -> np.dtype[np.void]:
    """A record of a constant length: the fields of its headers by name, noise behind them."""
    formats = ["<u4"] * len(_RECORD_FIELDS) + [kind for kind, _ in _FRAME_FIELDS.values()]
    offsets = [*_RECORD_FIELDS.values()]
    offsets += [RECORD_HEADER + offset for _, offset in _FRAME_FIELDS.values()]
    return np.dtype(
        {
            "names": [*_RECORD_FIELDS, *_FRAME_FIELDS],
            "formats": formats,
            "offsets": offsets,
            "itemsize": RECORD_HEADER + captured,
        }
    )


def _wire_lengths(rng: np.random.Generator) -> NDArray[np.uint32]:
    lengths = rng.integers(SHORTEST, LONGEST + 1, _BATCH, np.uint32)
    kind = rng.random(_BATCH, np.float32)
    lengths[kind < _SHARE_SHORTEST] = SHORTEST
    lengths[kind >= 1 - _SHARE_LONGEST] = LONGEST
    return lengths


def _fill_frames(
    headers: NDArray[np.void],
    wire: NDArray[np.uint32],
    hit: NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    noise = rng.integers(0, 1 << 32, (5, _BATCH), np.uint32)
    # Clients in 10.64.0.0/10, servers in 128.0.0.0/2: neither holds HIT.
    client = noise[0] >> 10 | 0x0A400000
    server = noise[1] >> 2 | 0x80000000
    client[hit] = HIT
    client_port = (noise[2] & 0x7FFF) + 0x8000
    server_port = _SERVICES[(noise[2] >> 16) % len(_SERVICES)]
    outward = (noise[3] & 1).astype(bool)
    protocol = np.where(rng.random(_BATCH, np.float32) < _SHARE_TCP, _TCP, _UDP).astype(np.uint32)
    source = np.where(outward, client, server)
    destination = np.where(outward, server, client)
    identification = noise[3] >> 16
    ttl = np.where(outward, 64, 52).astype(np.uint32)
    total_length = wire - 14

    headers["macs"] = 0x0200_0A00_0001_0200
    headers["macs_rest"] = 0x0A00_0002
    headers["ethertype"] = 0x0800
    headers["version"] = 0x4500
    headers["total_length"] = total_length
    headers["identification"] = identification
    headers["fragment"] = 0x4000
    headers["ttl"] = ttl
    headers["protocol"] = protocol
    sums = _IPV4_CONSTANT + total_length + identification + (ttl << 8) + protocol
    for address in (source, destination):
        sums += (address >> 16) + (address & 0xFFFF)
    sums = (sums & 0xFFFF) + (sums >> 16)
    sums = (sums & 0xFFFF) + (sums >> 16)
    headers["checksum"] = ~sums & 0xFFFF
    headers["source"] = source
    headers["destination"] = destination
    headers["source_port"] = np.where(outward, client_port, server_port)
    headers["destination_port"] = np.where(outward, server_port, client_port)
    # UDP: its length, no checksum; the TCP fields behind are its payload then.
    headers["sequence"] = np.where(protocol == _TCP, noise[4], (total_length - 20) << 16)
    headers["acknowledgement"] = noise[1]
    headers["flags"] = 0x5010
    headers["window"] = 0xFFFF
    headers["tcp_checksum"] = 0
    headers["urgent"] = 0


# ---- The command ------------------------------------------------------------------------------


def size_of(text: str) -> int:
    """Bytes, of text such as 1G, 256M or 4096.

    >>> size_of("1G"), size_of("4096")
    (1073741824, 4096)
    """
    units = {"K": 10, "M": 20, "G": 30}
    unit = text[-1:].upper()
    digits = text[:-1] if unit in units else text
    if not digits.isdecimal() or int(digits) == 0:
        raise argparse.ArgumentTypeError(f"not a size such as 1G or 256M: {text!r}")
    return int(digits) << units.get(unit, 0)


def captured_of(text: str) -> int | None:
    """Captured bytes a frame, or FULL."""
    if text == "full":
        return FULL
    if not text.isdecimal() or not FRAME_HEADERS <= int(text) <= LONGEST:
        raise argparse.ArgumentTypeError(f"'full', or {FRAME_HEADERS} to {LONGEST}; not {text!r}")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a pcap file of synthetic traffic.")
    parser.add_argument("out")
    parser.add_argument("--bytes", type=size_of, default=size_of("1G"), metavar="SIZE")
    parser.add_argument("--captured", type=captured_of, default=FULL, metavar="N|full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hit-rate", type=float, default=0.01, metavar="SHARE")
    options = parser.parse_args()
    made = make_traffic(
        options.out,
        options.bytes,
        captured=options.captured,
        seed=options.seed,
        hit_rate=options.hit_rate,
    )
    print(f"{made.path}: {made.bytes:,} bytes, {made.frames:,} frames, {made.hits:,} hits")


if __name__ == "__main__":
    main()
