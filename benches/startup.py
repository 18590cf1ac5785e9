"""How long from the start of the process until `fastcap filter` is in its C loop, and how long in
all, on a capture of one frame? And for `fastcap --version`? Run it with the Python of an ordinary
installation:

    python benches/startup.py

An editable one, as in .venv, adds about 10 ms of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15
BLOBS = "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567"
CAPTURE = bytes.fromhex(
    "d4c3b2a1020004000000000000000000ffff000001000000"  # a pcap header, and one empty frame
    "01000000000000000000000040000000"
)
# The call into C tells when it is reached, on the clock that the parent started.
PROGRAM = """
import os, time
import fastcap._native.postfilter as native
reached = native.filter_range
def filter_range(*words, **settings):
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    os.write(2, str(now - int(os.environ["STARTED"])).encode())
    return reached(*words, **settings)
native.filter_range = filter_range
from fastcap.cli.__main__ import main
main()
"""


def to_c_loop(expression: str, folder: str) -> float:
    """Milliseconds until the C loop."""
    started = str(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "filter", expression, "one.pcap", "--count"],
        env={**os.environ, "STARTED": started},
        cwd=folder,
        check=True,
        capture_output=True,
    )
    assert done.stdout in (b"0\n", b"1\n")
    return int(done.stderr) / 1e6


def whole(*command: str, cwd: str = "/") -> float:
    """Milliseconds of a whole command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=cwd)
    return (time.perf_counter() - started) * 1e3


def show(what: str, times: list[float]) -> None:
    print(f"{what:<44} min {min(times):5.1f} ms, median {statistics.median(times):5.1f} ms")


def main() -> None:
    script = str(Path(sys.executable).parent / "fastcap")
    show("python -c pass", [whole(sys.executable, "-c", "pass") for _ in range(RUNS)])
    show(
        "python -c 'import click'",
        [whole(sys.executable, "-c", "import click") for _ in range(RUNS)],
    )
    show("fastcap --version", [whole(script, "--version") for _ in range(RUNS)])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "one.pcap").write_bytes(CAPTURE)
        for name, text in (("two Blobs", BLOBS), ("tcp port 443", "tcp port 443")):
            times = [to_c_loop(text, folder) for _ in range(RUNS)]
            show(f"fastcap filter, {name}, to its C loop", times)
            command = (script, "filter", text, "one.pcap", "--count")
            show(
                f"fastcap filter, {name}, in all",
                [whole(*command, cwd=folder) for _ in range(RUNS)],
            )


if __name__ == "__main__":
    main()
