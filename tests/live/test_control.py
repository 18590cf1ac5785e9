"""Limits, signals, directions, and what happens to the interface."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import pcaps
from tests.conftest import needs
from tests.live.network import (
    FAR,
    LONGEST_WAIT,
    NEAR,
    SOURCE,
    Network,
    read,
    sent_frame,
    serials,
    tunnel,
    wait_until,
)

# ---- Ends ---------------------------------------------------------------------------------------


def test_a_limit_gives_exactly_so_many_frames_however_many_come(
    network: Network, tmp_path: Path
) -> None:
    sender = network.sending(10_000_000, 80, rate=100_000)
    capture = network.capture(tmp_path / "x.pcap", "-c", "12345")
    ended = capture.end(None)
    sender.kill()
    ended.check_account()
    assert ended.status == 0
    found = serials(ended.frames())
    assert found == list(range(found[0], found[0] + 12_345))
    assert ended.frames_received == ended.frames_written == 12_345


def test_a_limit_counts_what_the_filter_takes(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap", "-c", "10", "Blob(FrameData, 21, 1) == 0x07")
    network.send(20_000)
    ended = capture.end(None)
    ended.check_account()
    assert serials(ended.frames()) == [256 * number + 7 for number in range(10)]


def test_a_duration_ends_it(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap", "--duration", "5")
    network.send(10)
    ended = capture.end(None)
    ended.check_account(sent=10)
    assert ended.status == 0
    assert 5 <= ended.json["elapsed_s"] < LONGEST_WAIT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", ["", "-C 1M", "-G 0.1"])
def test_a_signal_ends_it_with_all_that_was_received(
    network: Network, tmp_path: Path, number: int, words: str
) -> None:
    capture = network.capture(tmp_path / "x.pcap", *words.split())
    network.send(20_000)
    ended = capture.end(number)
    ended.check_account(sent=20_000)
    assert ended.status == 0
    assert serials(ended.frames()) == list(range(20_000))
    assert "20,000 frames received, 20,000 written" in ended.err


def test_a_signal_under_load_ends_it_with_an_account_that_agrees_with_the_kernels(
    network: Network, tmp_path: Path
) -> None:
    sender = network.sending(100_000_000, 80)
    for number in range(3):
        capture = network.capture(tmp_path / f"{number}.pcap", "-s", "60")
        capture.wait_for_counts(lambda counts: counts["received"] > 0)
        time.sleep(0.1 * number)
        ended = capture.end()
        ended.check_account()
        found = serials(ended.frames())
        assert len(found) > 0
        assert found == sorted(set(found))
        if ended.status == 0:
            assert found == list(range(found[0], found[0] + len(found)))
    sender.kill()


# ---- Signals while it runs ----------------------------------------------------------------------


def test_usr1_prints_the_counts_and_goes_on(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap")
    network.send(100)
    capture.send_signal(signal.SIGUSR1)
    capture.wait_for(" frames received, ")
    network.send(100, first=100)
    # the kernel's counters are read every half second
    capture.wait_for_counts(lambda counts: counts["received"] == 200)
    ended = capture.end()
    ended.check_account(sent=200)
    assert serials(ended.frames()) == list(range(200))


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_standard_error_that_is_gone_costs_no_frame_and_no_account(
    network: Network, tmp_path: Path, kind: str
) -> None:
    ours, theirs = os.openpty() if kind == "terminal" else os.pipe()
    words = ["-i", FAR, "-w", tmp_path / "x.pcap", "--ring", "8M", "--buffer", "8M", "--json"]
    process = network.popen(
        sys.executable, "-m", "fastcap", "capture", *words, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while b"capturing on" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    process.send_signal(signal.SIGUSR1)
    network.send(100)
    time.sleep(2.2)  # the status line comes once a second
    network.send(100, first=100)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 0
    assert json.loads(out)["account"]["frames_written"] == 200
    assert serials(read(tmp_path / "x.pcap")) == list(range(200))


def test_standard_error_that_nobody_reads_holds_up_nothing(
    network: Network, tmp_path: Path
) -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, 1031, 4096)  # F_SETPIPE_SZ
    words = ["-i", FAR, "-w", tmp_path / "x.pcap", "--ring", "8M", "--buffer", "8M", "--json"]
    process = network.popen(
        sys.executable, "-m", "fastcap", "capture", *words, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    assert b"capturing on" in os.read(ours, 4096)
    for number in range(60):
        process.send_signal(signal.SIGUSR1)
        network.send(2, first=2 * number)
    process.send_signal(signal.SIGTERM)
    wait_until((tmp_path / "x.pcap").exists)
    said = b""
    while more := os.read(ours, 4096):
        said += more
    out, _ = process.communicate(timeout=LONGEST_WAIT)
    os.close(ours)
    assert process.returncode == 0
    assert json.loads(out)["account"]["frames_written"] == 120
    assert said.endswith(b"lost by the writer\n")


def test_hup_does_not_put_a_second_header_into_a_stream(network: Network, tmp_path: Path) -> None:
    with (tmp_path / "x.pcap").open("wb") as out:
        capture = network.capture("-", as_json=False, stdout=out)
    network.send(100)
    capture.send_signal(signal.SIGHUP)
    capture.wait_for("cannot rotate")
    network.send(100, first=100)
    capture.send_signal(signal.SIGTERM)
    assert capture.end_of_stream()[0] == 0
    assert serials(read(tmp_path / "x.pcap")) == list(range(200))


@pytest.mark.parametrize("words", ["", "--duration 5"])
def test_a_fifo_that_nobody_reads_does_not_keep_it(
    network: Network, tmp_path: Path, words: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    capture = network.capture(tmp_path / "fifo", *words.split())
    network.send(100)
    ended = capture.end(None if words else signal.SIGTERM)
    assert ended.status == 1
    assert "stopped before anybody opened the FIFO" in ended.err
    assert (ended.frames_received, ended.frames_lost_writer) == (100, 100)
    assert ended.json["balances"] is True


# ---- Directions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "-Q in", "-Q out", "-Q both"])
@pytest.mark.parametrize(
    "expression", ["", "ether[12:2] = 0x88b5 or vlan", f"ether src {SOURCE} --count-rejected"]
)
def test_frames_of_the_wanted_direction_are_there_and_no_others(
    network: Network, tmp_path: Path, words: str, expression: str
) -> None:
    capture = network.capture(tmp_path / "x.pcap", *words.split(), *expression.split())
    tags = "88a8:2005,8100:a064"
    sent = {"in": NEAR, "out": FAR}
    expected = []
    for number, (direction, interface) in enumerate(sent.items()):
        network.send(100, first=1000 * number, interface=interface, bypass=False)
        network.send(100, first=1000 * number + 100, interface=interface, tags=tags, bypass=False)
        if f"-Q {'out' if direction == 'in' else 'in'}" not in words:
            expected += [
                sent_frame(1000 * number + i, 80, tags if i >= 100 else "") for i in range(200)
            ]
    ended = capture.end()
    ended.check_account(sent=len(expected))
    assert sorted(frame.data for frame in ended.frames()) == sorted(expected)


@pytest.mark.parametrize("words", ["", "-Q in", "-Q out"])
def test_loopback_shows_each_frame_once(network: Network, tmp_path: Path, words: str) -> None:
    capture = network.capture(tmp_path / "x.pcap", *words.split(), interface="lo")
    network.send(1_000, interface="lo", bypass=False)
    ended = capture.end()
    ended.check_account(sent=1_000)
    assert ended.json["linktype"] == "ETHERNET"
    assert [frame.data for frame in ended.frames()] == [sent_frame(i, 80) for i in range(1_000)]


def test_p_leaves_the_interface_as_it_is(network: Network, tmp_path: Path) -> None:
    assert network.link(FAR)["promiscuity"] == 0
    capture = network.capture(tmp_path / "x.pcap")
    assert network.link(FAR)["promiscuity"] == 1
    capture.send_signal(signal.SIGKILL)
    capture.process.wait(LONGEST_WAIT)
    assert network.link(FAR)["promiscuity"] == 0
    capture = network.capture(tmp_path / "y.pcap", "-p")
    assert network.link(FAR)["promiscuity"] == 0
    network.send(10)
    capture.end().check_account(sent=10)


# ---- The interface ------------------------------------------------------------------------------


def test_a_tunnels_packets_are_of_the_link_type_raw(network: Network, tmp_path: Path) -> None:
    packets = []
    with tunnel(network) as write:
        capture = network.capture(tmp_path / "x.pcap", "-s", "30", interface="tun0")
        for number in range(5):
            payload = number.to_bytes(8, "big") + bytes(12)
            packets.append(pcaps.ipv4(payload, 253, "10.0.0.1", "10.0.0.2"))
            write(packets[-1])
        ended = capture.end()
    ended.check_account(sent=5)
    assert ended.json["linktype"] == "RAW"
    assert [(f.data, f.wire) for f in ended.frames()] == [(p[:30], 40) for p in packets]
    done = subprocess.run(
        [needs("tcpdump"), "-n", "-r", str(tmp_path / "x.pcap")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "link-type RAW" in done.stderr
    assert done.stdout.count("IP 10.0.0.1 > 10.0.0.2") == 5


def test_interfaces_are_listed_as_they_are_in_this_namespace(network: Network) -> None:
    network.ip("link", "set", NEAR, "down")
    done = network.run(sys.executable, "-m", "fastcap", "capture", "-D")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split("\t")[1]: line.split("\t") for line in done.stdout.splitlines()}
    assert set(rows) >= {"lo", NEAR, FAR}
    assert rows["lo"][2] == rows[FAR][2] == "ETHERNET"
    assert rows[NEAR][3] == "down"
    assert rows[FAR][3] == "up, no carrier"
    assert rows[FAR][4] == "mtu 9000"


def test_two_captures_of_one_interface_do_not_know_of_each_other(
    network: Network, tmp_path: Path
) -> None:
    captures = [network.capture(tmp_path / f"{number}.pcap") for number in range(2)]
    network.send(1_000)
    for capture in captures:
        capture.end().check_account(sent=1_000)
    first, second = (read(tmp_path / f"{number}.pcap") for number in range(2))
    assert [frame.data for frame in first] == [frame.data for frame in second]
