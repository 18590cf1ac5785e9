"""Counts frames as a Python program does that takes them one by one from pcapy-ng:

python benches/count_with_pcapy.py FILE FILTER
"""

from __future__ import annotations

import sys

import pcapy


def count(path: str, expression: str) -> int:
    reader = pcapy.open_offline(path)
    reader.setfilter(expression)
    frames = 0
    while reader.next()[0] is not None:
        frames += 1
    return frames


if __name__ == "__main__":
    print(count(sys.argv[1], sys.argv[2]))
