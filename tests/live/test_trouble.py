"""A directory that goes away or refuses, a file system that becomes read-only or fails: it is told
once, what can wait waits, and the account is exact to the frame."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.live.disks import Ext4, ext4, frames_in, small
from tests.live.network import Capture, Ended, Network, captures_in, wait_until

MEMORY = ("--ring", "64M", "--buffer", "64M")
WAITS = "frames wait in memory until it works again"
NAMELESS = "it gets its name when that works again"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4]:
    with ext4(tmp_path / "disk") as disk:
        yield disk


def check_found(ended: Ended, *folders: Path) -> list[int]:
    """The frames that are there: as many as were told, in order, none twice."""
    found = frames_in(*folders)
    assert len(found) == ended.frames_written
    assert found == sorted(set(found))
    return found


def hidden_in(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".capturing")]


# ---- Gone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["-C 1M", "-G 0.1", "-C 64k"])
def test_a_directory_that_is_taken_away_and_made_again_costs_what_was_not_finished_in_it(
    network: Network, tmp_path: Path, words: str
) -> None:
    """Taken away at once, so that what was finished before can be counted."""
    folder = tmp_path / "data"
    folder.mkdir()
    capture = network.capture(folder / "net1.pcap", "-s", "80", *words.split(), memory=MEMORY)
    taken = []
    sent = 0
    for number in range(2):
        sender = network.sending(30_000, first=sent, rate=50_000)
        wait_until(lambda: captures_in(folder))
        taken.append(folder.rename(tmp_path / f"taken{number}"))
        assert sender.wait() == 0
        network.send(5_000, first=sent + 30_000)
        sent += 35_000
        wait_until(lambda n=number: capture.err.count(WAITS) > n)  # type: ignore[misc]
        folder.mkdir()
        wait_until(lambda n=number: capture.err.count("written again after") > n)  # type: ignore[misc]
    network.send(1_000, first=sent)
    ended = capture.end()
    ended.check_account(sent=sent + 1_000)
    assert ended.frames_dropped_ring == 0
    found = check_found(ended, *taken, folder)
    assert found[-1_000:] == list(range(sent, sent + 1_000))
    assert ended.err.count(WAITS) == ended.err.count("written again after") == 2
    assert hidden_in(folder) == []


def test_the_file_that_is_written_goes_with_its_directory(network: Network, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    capture = network.capture(folder / "net1.pcap", "-s", "80", "-C", "1G", memory=MEMORY)
    network.send(50_000)
    written = folder / ".net1_00000001.pcap.capturing"
    wait_until(lambda: written.stat().st_size == 24 + 50_000 * 96)
    shutil.rmtree(folder)
    network.send(50_000, first=50_000)
    capture.wait_for("it is gone, and 50,000 frames with it")
    folder.mkdir()
    capture.wait_for("written again after")
    other = network.capture(folder / "net1.pcap", "-C", "1G", ready=None).end(None)
    assert "another capture writes there" in other.err  # the lock is taken again too
    ended = capture.end()
    ended.check_account(sent=100_000)
    assert check_found(ended, folder) == list(range(50_000, 100_000))


# ---- Read-only, and in error --------------------------------------------------------------------


def test_a_file_system_that_becomes_read_only_is_told_once_and_counted(
    network: Network, disk: Ext4
) -> None:
    capture = network.capture(disk.folder / "net1.pcap", "-s", "80", "-C", "1M", memory=MEMORY)
    network.send(50_000)
    wait_until(lambda: captures_in(disk.folder))
    disk.becomes_read_only()
    network.send(100_000, first=50_000)
    capture.wait_for(f"Read-only file system: {WAITS}")
    ended = capture.end()
    ended.check_account(sent=150_000)
    assert ended.err.count(WAITS) == 1
    assert ended.frames_lost_writer > 100_000
    assert check_found(ended, disk.folder) == list(range(ended.frames_written))


def test_a_capture_goes_on_where_another_file_system_takes_the_place_of_one_that_fails(
    network: Network, disk: Ext4, tmp_path: Path
) -> None:
    capture = network.capture(disk.folder / "net1.pcap", "-s", "80", "-C", "1M", memory=MEMORY)
    network.send(50_000)
    wait_until(lambda: captures_in(disk.folder))
    disk.becomes_read_only()
    network.send(50_000, first=50_000)
    capture.wait_for(f"Read-only file system: {WAITS}")
    before = tmp_path / "before"
    shutil.copytree(disk.folder, before, ignore=shutil.ignore_patterns(".*", "lost+found"))
    with small(disk.folder, 64):
        capture.wait_for("written again after")
        network.send(50_000, first=100_000)
        ended = capture.end()
        ended.check_account(sent=150_000)
        found = check_found(ended, before, disk.folder)
        assert found[-50_000:] == list(range(100_000, 150_000))
        assert hidden_in(disk.folder) == []


@pytest.mark.parametrize("policy", ["wait", "delete-oldest"])
def test_a_device_that_fails_is_told_once_and_counted(
    network: Network, disk: Ext4, policy: str
) -> None:
    """All that was synced is there."""
    capture = network.capture(
        disk.folder / "net1.pcap", "-s", "80", "-C", "1M", "--on-full", policy, memory=MEMORY
    )
    network.send(50_000)
    wait_until(lambda: captures_in(disk.folder))
    disk.becomes_unusable()
    network.send(100_000, first=50_000)
    capture.wait_for(f"Input/output error: {WAITS}")
    ended = capture.end()
    ended.check_account(sent=150_000)
    assert ended.err.count(WAITS) == 1
    assert ended.frames_lost_writer > 100_000
    assert ended.frames_written == sum(output["frames"] for output in ended.json["outputs"])
    assert captures_in(disk.folder) == sorted([*(path.name for path in ended.paths), "lost+found"])


def test_a_device_that_fails_ends_the_capture_where_that_is_asked(
    network: Network, disk: Ext4
) -> None:
    capture = network.capture(
        disk.folder / "net1.pcap", "-s", "80", "-C", "1M", "--on-full", "stop", memory=MEMORY
    )
    network.send(50_000)
    wait_until(lambda: captures_in(disk.folder))
    disk.becomes_unusable()
    network.send(100_000, first=50_000)
    ended = capture.end(None)
    assert ended.status == 1
    assert "Input/output error" in ended.err
    assert ended.json["balances"] is True
    assert ended.frames_received == ended.frames_written + ended.frames_lost_writer
    assert ended.frames_written == sum(output["frames"] for output in ended.json["outputs"])


# ---- A directory that refuses -------------------------------------------------------------------

_OVERRIDE = 1 << 1  # CAP_DAC_OVERRIDE
_WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-all,+net_raw")
_refusals = pytest.mark.parametrize(
    ("how", "before"),
    [("0555", ()), ("0", ()), ("owner", ()), ("owner", _WITHOUT_RIGHTS)],
    ids=["read-only", "closed", "given-away", "given-away-setpriv"],
)


def unprivileged(
    network: Network, path: Path, *words: object, before: tuple[str, ...] = ()
) -> Capture:
    """A capture that a directory can refuse; root's cannot be refused while it has the right to
    override modes."""
    if before:
        needs(before[0])
    capture = network.capture(path, "-s", "80", *words, memory=MEMORY, before=before)
    status = Path(f"/proc/{capture.process.pid}/status").read_text()
    (rights,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    if int(rights, 16) & _OVERRIDE:
        pytest.skip("this capture has CAP_DAC_OVERRIDE: no directory refuses it")
    return capture


def refuse(folder: Path, how: str) -> None:
    if how != "owner":
        folder.chmod(int(how, 8))
        return
    if os.geteuid() != 0:
        pytest.skip("only root gives directories away")
    os.chown(folder, 65534, 65534)


def accept(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)
    folder.chmod(0o700)


@_refusals
def test_a_directory_that_refuses_for_a_while_loses_nothing(
    network: Network, tmp_path: Path, how: str, before: tuple[str, ...]
) -> None:
    """Frames go into the files that are open; those get their names, and others are made, when the
    directory takes them again."""
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    path = folder / "net1.pcap"
    try:
        capture = unprivileged(network, path, "-C", "1M", before=before)
        network.send(50_000)
        # the file that is written, and the next
        wait_until(lambda: (len(captures_in(folder)), len(hidden_in(folder))) == (4, 2))
        refuse(folder, how)
        network.send(100_000, first=50_000)
        capture.wait_for(f"Permission denied: {NAMELESS}")
        capture.wait_for(f"Permission denied: {WAITS}")
        accept(folder)
        capture.wait_for("written again after")
        capture.wait_for("named after")
        network.send(10_000, first=150_000)
        ended = capture.end()
    finally:
        accept(folder)
    ended.check_account(sent=160_000)
    assert check_found(ended, folder) == list(range(160_000))
    assert (ended.err.count(NAMELESS), ended.err.count(WAITS)) == (1, 1)
    assert hidden_in(folder) == []


@_refusals
def test_a_capture_that_ends_while_its_directory_refuses_counts_what_has_no_name(
    network: Network, tmp_path: Path, how: str, before: tuple[str, ...]
) -> None:
    """The next capture to the same path names it."""
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    path = folder / "net1.pcap"
    try:
        capture = unprivileged(network, path, "-C", "1M", before=before)
        network.send(50_000)
        # the file that is written, and the next
        wait_until(lambda: (len(captures_in(folder)), len(hidden_in(folder))) == (4, 2))
        refuse(folder, how)
        network.send(100_000, first=50_000)
        capture.wait_for(f"Permission denied: {WAITS}")
        ended = capture.end(signal.SIGTERM)
    finally:
        accept(folder)
    ended.check_account(sent=150_000)
    assert ended.frames_lost_writer > 50_000
    assert check_found(ended, folder) == list(range(ended.frames_written))
    network.capture(path, "-C", "1M").end().check_account()
    found = frames_in(folder)
    assert len(found) > ended.frames_written
    assert found == list(range(len(found)))
    assert hidden_in(folder) == []
