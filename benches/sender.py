"""How fast the traffic generator sends over a veth pair, how well it keeps a pace, and how fast its
serial numbers are counted.

    .venv/bin/python benches/sender.py [--seconds 1] [--rounds 5]

In namespaces of its own, each load on one thread unless it says otherwise; the other end receives
every frame and nobody captures. A number counts only where its counters have exactly the frames
that the generator says it sent.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # run as a file, only its own directory is on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benches.compare_offline import Disagreement, machine
from fastcap.bench.generator import IMIX, SIZES, Load, Sent
from fastcap.bench.link import Link, open_link
from fastcap.bench.serials import read_serials
from fastcap.formats.linktypes import ETHERNET
from fastcap.formats.pcap import FileHeader

COUNTED = 1_000_000  # frames in the file whose serials are counted
RATES = (10_000, 100_000, 300_000)


def send(link: Link, **fields: Any) -> Sent:
    before = link.arrived()
    sent = link.send(Load(link.tx, **fields), lambda: None)
    arrived = link.arrived() - before
    if arrived != sent.frames:
        raise Disagreement(f"{fields}: {sent.frames} sent, {arrived} received")
    return sent


def fastest(link: Link, rounds: int, **fields: Any) -> str:
    rates = [send(link, **fields).rate for _ in range(rounds)]
    median = statistics.median(rates)
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
    return f"{median:12,.0f} frames/s  {1e9 / median:6.0f} ns a frame  ({spread})"


def count_serials(folder: Path) -> str:
    made = Load("nowhere").generator()
    path = folder / "x.pcap"
    record = (1).to_bytes(4, "little") * 2 + (60).to_bytes(4, "little") * 2
    with path.open("wb") as file:
        file.write(FileHeader(True, True, 262144, ETHERNET).pack())
        for serial in range(COUNTED):
            file.write(record + made.frame(serial, serial))
    started = time.perf_counter()
    found = read_serials([path], bench=0, sent=[COUNTED])
    taken = time.perf_counter() - started
    if (found.distinct, found.duplicates) != (COUNTED, 0):
        raise Disagreement(f"serials: {found}")
    return f"{taken * 1e9 / COUNTED:.1f} ns a frame of 60 bytes, from the page cache"


def measure(link: Link, seconds: float, rounds: int) -> None:
    print(machine())
    send(link, frames=100_000)  # what happens once has happened
    loads: list[tuple[str, dict[str, Any]]] = [
        (f"{wire} bytes", {"sizes": ((wire, 1),)}) for wire in SIZES
    ]
    loads += [("IMIX", {"sizes": IMIX}), ("64 bytes, 2 threads", {"threads": 2, "cpus": (0, 1)})]
    for name, fields in loads:
        print(f"{name:20}", fastest(link, rounds, seconds=seconds, **fields))
    for rate in RATES:
        sent = send(link, rate=rate, seconds=seconds)
        late = f"late {sent.late} times, {sent.late_ns / 1e6:.1f} ms"
        print(f"paced at {rate:11,}  {sent.rate:12,.0f} frames/s  {late}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many")
    options = parser.parse_args()
    with open_link(None, 1518) as link:
        measure(link, options.seconds, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        print("serials counted     ", count_serials(Path(folder)))


if __name__ == "__main__":
    main()
