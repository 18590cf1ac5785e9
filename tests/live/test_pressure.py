"""What a capture says of its ring and buffer while it goes on, to who shares the page."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastcap.pressure import Pressure
from tests.live.disks import Ext4, ext4, small
from tests.live.network import Network, wait_until


@pytest.fixture
def pressure() -> Iterator[Pressure]:
    pressure = Pressure.make()
    yield pressure
    pressure.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4]:
    with ext4(tmp_path / "disk") as disk:
        yield disk


def written_at(pressure: Pressure) -> float:
    return time.monotonic() - pressure.read().age_s


def test_it_says_that_it_captures_from_the_first_frame_on(
    network: Network, tmp_path: Path, pressure: Pressure
) -> None:
    capture = network.capture(
        tmp_path / "net1.pcap", "-C", "1M", "--pressure", pressure.fd, pass_fds=(pressure.fd,)
    )
    wait_until(lambda: pressure.read().began)
    network.send(100)
    for _ in range(5):
        before = written_at(pressure)
        wait_until(lambda: written_at(pressure) > before + 0.01)  # noqa: B023
        assert not pressure.read().is_high(False)
    capture.end().check_account(sent=100)


def test_a_buffer_that_waits_for_a_disk_that_hangs_is_high(
    network: Network, disk: Ext4, pressure: Pressure
) -> None:
    capture = network.capture(
        disk.folder / "net1.pcap", "-s", "80", "-C", "2M", "--pressure", pressure.fd,
        memory=("--ring", "8M", "--buffer", "16M"), pass_fds=(pressure.fd,),
    )  # fmt: skip
    with disk.frozen():
        network.send(140_000, rate=200_000)
        # nothing is high that is older than a second
        wait_until(lambda: (told := pressure.read()).is_high(False) and told.buffer_fill >= 0.5)
    wait_until(lambda: not pressure.read().is_high(True))
    capture.end().check_account(sent=140_000)


def test_a_buffer_that_waits_for_room_on_the_disk_holds_nobody_back(
    network: Network, tmp_path: Path, pressure: Pressure
) -> None:
    with small(tmp_path / "small", 8) as folder:
        capture = network.capture(
            folder / "net1.pcap", "-C", "2M", "--pressure", pressure.fd,
            memory=("--ring", "64M", "--buffer", "32M"), pass_fds=(pressure.fd,),
        )  # fmt: skip
        network.send(70_000, 400)
        capture.wait_for("No space left on device")
        told = pressure.read()

        def is_full() -> bool:
            nonlocal told
            told = pressure.read()
            return told.buffer_fill >= 0.5 and told.ring_fill < 0.1 and told.age_s < 0.9

        wait_until(is_full)
        assert told.disk_refuses
        assert not told.is_high(False)
        capture.end()


def test_a_capture_that_is_stopped_says_nothing_and_holds_nobody_back(
    network: Network, tmp_path: Path, pressure: Pressure
) -> None:
    capture = network.capture(
        tmp_path / "net1.pcap", "-s", "80", "-C", "1M", "--pressure", pressure.fd,
        memory=("--ring", "8M", "--buffer", "16M"), pass_fds=(pressure.fd,),
    )  # fmt: skip
    wait_until(lambda: pressure.read().began)
    capture.send_signal(signal.SIGSTOP)
    network.send(10_000)
    wait_until(lambda: pressure.read().age_s > 1)
    assert not pressure.read().is_high(True)
    capture.send_signal(signal.SIGCONT)
    wait_until(lambda: pressure.read().age_s < 0.5)
    capture.end().check_account(sent=10_000)


def test_a_capture_ends_with_the_process_that_it_was_told_also_as_another_user(
    network: Network, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = tmp_path / "spool"
    folder.mkdir()
    os.chown(folder, 65534, -1)
    for parent in (*folder.parents,)[:4]:
        if parent.stat().st_uid == 0 and parent != Path("/tmp"):
            parent.chmod(0o755)
    # the shell is what ends
    shell = (
        "sh", "-c", '"$@" --with-parent $$ & sleep 100', "sh",
    )  # fmt: skip
    capture = network.capture(folder / "net1.pcap", "-C", "1M", "--user", "65534", before=shell)
    network.send(100)
    capture.process.kill()
    wait_until(lambda: "100 frames received, 100 written" in capture.err)


def test_a_capture_whose_parent_is_gone_already_does_not_begin(
    network: Network, tmp_path: Path
) -> None:
    said = network.capture(tmp_path / "net1.pcap", "--with-parent", 1 << 22, ready=None).end(None)
    assert said.status == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == []


def test_what_is_no_page_is_refused(network: Network, tmp_path: Path) -> None:
    said = network.capture(tmp_path / "net1.pcap", "--pressure", 77, ready=None).end(None)
    assert said.status == 2
    assert "--pressure 77: Bad file descriptor" in said.err
