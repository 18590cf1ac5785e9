"""What the tests of `fastcap bench capture` share: short benches in a network of their own, and
peers that are stood in for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import ROOT, needs
from tests.live.network import Network

BENCH = (sys.executable, "-m", "fastcap", "bench", "capture")
# So little that any machine sends it, and any tool keeps it.
SHORT = (
    "--rates", "20k", "--frames", "6000", "--seconds", "3", "--rounds", "1", "--ring", "16M",
    "--buffer", "16M",
)  # fmt: skip

# Captures as tcpdump does, drops every hundredth frame, and says that it lost none.
_LIAR = """#!{python}
import signal, socket, struct, sys, time
words = sys.argv[1:]
if "--version" in words:
    sys.exit("tcpdump version 0.0.0 that lies")
interface, path = words[words.index("-i") + 1], words[words.index("-w") + 1]
ended = []
signal.signal(signal.SIGINT, lambda *_: ended.append(1))
receive = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
receive.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
receive.bind((interface, 0))
receive.settimeout(0.05)
count = 0
with open(path, "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    print("listening on", interface, file=sys.stderr, flush=True)
    while not ended:
        try:
            frame = receive.recv(2000)
        except TimeoutError:
            file.flush()
            continue
        count += 1
        if count % 100:
            file.write(struct.pack("<IIII", int(time.time()), 0, len(frame), len(frame)) + frame)
print(count, "packets captured", file=sys.stderr)
print("0 packets dropped by kernel", file=sys.stderr)
"""


def liar(folder: Path) -> dict[str, str]:
    """The environment in which it is what `tcpdump` is."""
    folder.mkdir()
    path = folder / "tcpdump"
    path.write_text(_LIAR.format(python=sys.executable))
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def run(network: Network, *words: object, status: int = 0, **options: Any) -> str:
    """In the network's namespaces: the bench's own are made from there. Standard output; on a
    failure what it says."""
    options = {"timeout": 120, **options}
    done = network.run(*BENCH, *words, **options)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def told(network: Network, *words: object, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run(network, *words, "--json", **options))
    return result


def family(pid: int) -> Iterator[int]:
    """The processes that it started, and those that they did."""
    for child in _children(pid):
        yield child
        yield from family(child)


def _children(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True,
                          check=False)  # fmt: skip
    return [int(word) for word in done.stdout.split()]


def groups() -> list[str]:
    """Control groups of benches that are gone, of either version."""
    found = Path("/sys/fs/cgroup").glob("**/fastcap-bench-*")
    return [str(path) for path in found if not Path(f"/proc/{path.name.split('-')[-1]}").exists()]


class Nobody(NamedTuple):
    command: tuple[str, ...]
    environment: dict[str, str]


def as_nobody() -> Nobody:
    """A Python that an ordinary user can run, with fastcap. Ours may live in a private directory;
    one of the system that has the same version does as well. The test is skipped where there is
    none, or no user namespace."""
    if os.geteuid() != 0:
        return Nobody((sys.executable,), dict(os.environ))
    user = (needs("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups")
    packages = os.pathsep.join([str(ROOT), *(path for path in sys.path if "site-packages" in path)])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    probe = (
        "import os, subprocess, sys, fastcap._native.capture\n"
        "subprocess.run([sys.executable, '-c', ''], check=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": packages}
    for python in (sys.executable, shutil.which(version, path="/usr/bin")):
        if python is None:
            continue
        done = subprocess.run([*user, python, "-c", probe], env=environment, cwd="/",
                              capture_output=True, check=False)  # fmt: skip
        if done.returncode == 0:
            made = subprocess.run([*user, needs("unshare"), "-Urn", "true"], check=False,
                                  capture_output=True)  # fmt: skip
            if made.returncode != 0:
                pytest.skip("ordinary users may make no user namespaces here")
            return Nobody((*user, python), environment)
    pytest.skip("no Python here that an ordinary user can run with fastcap")
