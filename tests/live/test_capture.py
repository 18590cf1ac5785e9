"""`fastcap.Capture`, used as Python users do."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.live.network import FAR, Network

_SCRIPT = """
import fastcap.capture, fastcap.interfaces as interfaces, os, sys, threading, time
from fastcap import Capture
by_number, find = interfaces.by_number, interfaces.find
PATH = sys.argv[1]
def capture(**options):
    return Capture("{interface}", PATH, ring=1 << 20, buffer=8 << 20, **options)
"""


def run(network: Network, path: Path, script: str) -> str:
    """What the script prints, which runs in the namespace behind _SCRIPT."""
    whole = _SCRIPT.format(interface=FAR) + textwrap.dedent(script)
    done = network.run(sys.executable, "-W", "error", "-c", whole, path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_what_the_interface_misses_counts_from_the_start_to_the_end_of_reading(
    network: Network, tmp_path: Path
) -> None:
    """A driver that misses frames is not to be had: its counter is played."""
    said = run(
        network, tmp_path / "x.pcap",
        """
        missed = 100
        def played(number):
            return by_number(number)._replace(missed=missed)
        interfaces.by_number = played
        interfaces.find = lambda name: find(name)._replace(missed=100)
        one = capture()
        missed = 130  # before it begins
        one.start()
        missed = 137
        print(one.account().frames_missed_interface)
        one.stop()
        one.wait()
        missed = 200  # after its end
        print(one.account().frames_missed_interface, one.result().account.frames_missed_interface)
        """,
    )  # fmt: skip
    assert said == "7\n7 7\n"


def test_a_capture_that_never_starts_lets_go_of_its_files_when_it_is_closed(
    network: Network, tmp_path: Path
) -> None:
    said = run(
        network, tmp_path / "x.pcap",
        """
        one = capture()
        one.close()
        one.close()
        print(os.listdir(os.path.dirname(PATH)))
        with capture() as other:
            pass
        print(other.result().balances)
        """,
    )  # fmt: skip
    assert said == "[]\nTrue\n"


@pytest.mark.parametrize("thread", ["writer", "reader"])
def test_a_start_without_threads_lets_go_of_its_files(
    network: Network, tmp_path: Path, thread: str
) -> None:
    said = run(
        network, tmp_path / "x.pcap",
        f"""
        start = threading.Thread.start
        def refuse(thread):
            if thread.name == "fastcap-{thread}":
                raise RuntimeError("can't start new thread")
            start(thread)
        threading.Thread.start = refuse
        one = capture(rotate_bytes=1 << 20)
        try:
            one.start()
        except RuntimeError as error:
            print(error)
        print(os.listdir(os.path.dirname(PATH)))
        """,
    )  # fmt: skip
    assert said == "can't start new thread\n[]\n"
