"""A process that ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

_CHILD = """
import signal, sys, time
from fastcap.parent import end_with
signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), sys.exit(7)))
end_with(int(sys.argv[1]), signal.SIGTERM)
print("ready", flush=True)
time.sleep(100)
"""
_PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
time.sleep(100)
"""


def test_the_child_hears_of_its_parents_end() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    began = time.monotonic()
    parent.kill()
    assert parent.stdout.read() == "told\n"  # until the child has ended too
    assert time.monotonic() - began < 60
    parent.wait()
    parent.stdout.close()


@pytest.mark.parametrize("pid", [0, 1 << 30])
def test_a_child_whose_parent_is_gone_ends_at_once(pid: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(pid)], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (7, b"told\n")


def test_it_goes_on_while_its_parent_does() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(os.getpid())], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
