"""An interface that goes down, is renamed, changes, or goes away and comes back: that ends no
capture, all of it is told, and what could be received is there."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.live.network import (
    FAR,
    LONGEST_WAIT,
    NEAR,
    Capture,
    Network,
    captures_in,
    read,
    serials,
    wait_until,
)


def changes_in(events: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return [line for line in lines if line["event"] == "change"]


def changes_beside(paths: list[Path]) -> list[str]:
    """What the JSON beside files tells, in order."""
    told: list[str] = []
    for path in paths:
        record = json.loads(Path(f"{path}.json").read_text())
        told += [change["what"] for change in record["meanwhile"]["changes"]]
    return told


def plug_in(network: Network, *, mtu: int = 9000) -> None:
    """The cable, again."""
    network.ip("link", "add", NEAR, "mtu", mtu, "type", "veth", "peer", "name", FAR, "mtu", mtu)
    for end in (NEAR, FAR):
        network.ip("link", "set", end, "addrgenmode", "none", "arp", "off", "up")


# ---- Down and up --------------------------------------------------------------------------------


def test_an_interface_that_goes_down_is_waited_for(network: Network, tmp_path: Path) -> None:
    events = tmp_path / "events"
    capture = network.capture(tmp_path / "x.pcap", "--events", events)
    network.send(100)
    network.ip("link", "set", FAR, "down")
    capture.wait_for(f"{FAR} is down")
    network.ip("link", "set", FAR, "up")
    capture.wait_for(f"{FAR} is up")
    network.send(100, first=100)
    network.ip("link", "set", FAR, "down")  # and for so short that it is hardly seen
    network.ip("link", "set", FAR, "up")
    network.send(100, first=200)
    wait_until(lambda: len(changes_in(events)) == 4)
    ended = capture.end()
    ended.check_account(sent=300)
    assert serials(ended.frames()) == list(range(300))
    assert [change["what"] for change in changes_in(events)] == ["down", "up"] * 2
    assert changes_beside(ended.paths) == ["down", "up"] * 2


def test_an_interface_that_is_down_from_the_start_is_waited_for(
    network: Network, tmp_path: Path
) -> None:
    network.ip("link", "set", FAR, "down")
    capture = network.capture(tmp_path / "x.pcap", "-G", "0.1")
    capture.wait_for(f"{FAR} is down")
    network.ip("link", "set", FAR, "up")
    capture.wait_for(f"{FAR} is up")
    network.send(100)
    ended = capture.end()
    ended.check_account(sent=100)
    assert serials(ended.frames()) == list(range(100))


# ---- Gone and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "-G 0.1"])
def test_an_interface_that_is_gone_ends_it_where_that_is_asked(
    network: Network, tmp_path: Path, words: str
) -> None:
    capture = network.capture(tmp_path / "x.pcap", "--no-wait-interface", *words.split())
    network.send(100)
    network.ip("link", "del", FAR)
    ended = capture.end(None)
    assert ended.status == 1
    assert f"{FAR}: the interface is gone" in ended.err
    assert ended.json["balances"] is True
    assert ended.frames_received == 100
    assert serials(ended.frames()) == list(range(100))


@pytest.mark.parametrize(
    "words",
    [
        "",
        "-C 64k",
        "-G 0.05",
        "--count-rejected ether[12:2] = 0x88b5",
        "-Q in ether src 02:00:00:00:00:01",
    ],
)
def test_an_interface_that_comes_back_is_captured_again(
    network: Network, tmp_path: Path, words: str
) -> None:
    (tmp_path / "data").mkdir()
    events = tmp_path / "events"
    capture = network.capture(tmp_path / "data" / "x.pcap", "--events", events, *words.split())
    for number in range(4):
        network.send(2_000, first=2_000 * number)
        if number == 3:
            break
        network.ip("link", "del", FAR)
        if number != 1:  # else it is back at once
            wait_until(lambda n=number: capture.err.count(f"{FAR} is gone") == n + 1)  # type: ignore[misc]
        plug_in(network)
        wait_until(lambda n=number: capture.err.count("captured again") == n + 1)  # type: ignore[misc]
    ended = capture.end()
    ended.check_account(sent=8_000)
    frames = [frame for path in ended.paths for frame in read(path)]
    assert serials(frames) == list(range(8_000))
    assert network.link(FAR)["promiscuity"] == 0
    told = [change["what"] for change in changes_in(events) if change["what"] in ("gone", "back")]
    assert told == ["gone", "back"] * 3


def test_an_interface_that_comes_and_goes_faster_than_it_can_be_captured_is_not_lost(
    network: Network, tmp_path: Path, rng: random.Random
) -> None:
    capture = network.capture(tmp_path / "x.pcap")
    for _ in range(8):
        network.ip("link", "del", FAR)
        plug_in(network)
        time.sleep(rng.random() * 0.05)
    network.ip("link", "del", FAR)
    before = capture.err.count("captured again")
    plug_in(network)
    wait_until(lambda: capture.err.count("captured again") > before)
    network.send(50)
    ended = capture.end()
    ended.check_account(sent=50)
    assert serials(ended.frames()) == list(range(50))


def test_what_cannot_be_looked_at_is_looked_at_again(network: Network, tmp_path: Path) -> None:
    """No descriptors are left for questions to the kernel, for a while."""
    capture = network.capture(tmp_path / "x.pcap")
    pid = capture.process.pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, 4096))
    network.ip("link", "set", FAR, "mtu", 4_000)
    capture.wait_for("Too many open files")
    network.ip("link", "del", FAR)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096))
    capture.wait_for(f"{FAR} is gone")
    plug_in(network)
    capture.wait_for("captured again")
    network.send(50)
    capture.end().check_account(sent=50)


def test_what_waits_in_the_ring_of_an_interface_that_goes_is_not_lost(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "x.pcap", memory=("--ring", "64M", "--buffer", "64M"))
    capture.send_signal(signal.SIGSTOP)
    network.send(20_000)
    network.ip("link", "del", FAR)
    plug_in(network)
    network.send(100, first=50_000)  # of the new interface, which nobody captures yet
    capture.send_signal(signal.SIGCONT)
    capture.wait_for("captured again")
    network.send(100, first=20_000)
    ended = capture.end()
    ended.check_account(sent=20_100)
    assert serials(ended.frames()) == list(range(20_100))


def test_files_go_on_while_the_interface_is_gone(network: Network, tmp_path: Path) -> None:
    """An interval ends on time, and the capture can be stopped."""
    capture = network.capture(tmp_path / "x.pcap", "-G", "0.1")
    network.send(100)
    network.ip("link", "del", FAR)
    wait_until(lambda: captures_in(tmp_path))
    ended = capture.end()
    ended.check_account(sent=100)
    assert serials(ended.frames()) == list(range(100))


def test_an_interface_of_another_link_type_is_not_taken_for_it(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "x.pcap")
    network.ip("link", "del", FAR)
    capture.wait_for(f"{FAR} is gone")
    made = network.run("ip", "tuntap", "add", "mode", "tun", "name", FAR)
    if made.returncode != 0:
        pytest.skip(f"no such interface to be had: {made.stderr.strip()}")
    capture.wait_for("of another link type, RAW")
    network.ip("link", "del", FAR)
    plug_in(network)
    capture.wait_for("captured again")
    network.send(100)
    ended = capture.end()
    ended.check_account(sent=100)


def test_a_capture_can_wait_for_an_interface_that_is_not_there_yet(
    network: Network, tmp_path: Path
) -> None:
    network.ip("link", "del", FAR)
    capture = network.capture(
        tmp_path / "x.pcap", "--wait-interface", ready=f"{FAR} is not there: waiting until it is"
    )
    plug_in(network)
    capture.wait_for("capturing on")
    network.send(100)
    capture.end().check_account(sent=100)
    network.ip("link", "del", FAR)
    stopped = network.capture(tmp_path / "y.pcap", "--wait-interface", ready="waiting").end()
    assert stopped.status == 130
    assert not (tmp_path / "y.pcap").exists()


# ---- Changes ------------------------------------------------------------------------------------


def test_an_interface_that_is_renamed_is_captured_all_the_same(
    network: Network, tmp_path: Path
) -> None:
    events = tmp_path / "events"
    capture = network.capture(tmp_path / "x.pcap", "-C", "64k", "--events", events)
    network.send(1_000)
    wait_until(lambda: list(tmp_path.glob("x_*.pcap")))
    network.ip("link", "set", FAR, "down")
    network.ip("link", "set", FAR, "name", "mirror7", "up")
    capture.wait_for(f"{FAR} is called mirror7 now")
    network.send(1_000, first=1_000)
    ended = capture.end()
    ended.check_account(sent=2_000)
    assert serials(ended.frames()) == list(range(2_000))
    (renamed,) = [change for change in changes_in(events) if change["what"] == "renamed"]
    assert (renamed["before"], renamed["interface"]) == (FAR, "mirror7")
    of_files = [json.loads(Path(f"{path}.json").read_text())["capture"] for path in ended.paths]
    assert (of_files[0]["interface"], of_files[-1]["interface"]) == (FAR, "mirror7")


def test_an_mtu_that_changes_is_told(network: Network, tmp_path: Path) -> None:
    """And frames that were received before are not called too long."""
    events = tmp_path / "events"
    capture = network.capture(tmp_path / "x.pcap", "-s", "80", "--events", events)
    network.send(100, 1_500)
    network.ip("link", "set", FAR, "mtu", 1_000)
    capture.wait_for("an MTU of 1000 now, before 9000")
    network.send(100, 500, first=100)
    network.ip("link", "set", FAR, "mtu", 9_000)
    capture.wait_for("an MTU of 9000 now, before 1000")
    wait_until(lambda: len(changes_in(events)) == 2)
    assert [(change["mtu"], change["before"]) for change in changes_in(events)] == [
        (1000, 9000), (9000, 1000),
    ]  # fmt: skip
    ended = capture.end()
    ended.check_account(sent=200)
    assert ended.frames_oversize == 0


_LONG = """
import fcntl, os, struct, subprocess, sys
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x1002))  # TUNSETIFF, IFF_TAP, no PI
subprocess.run(["ip", "link", "set", "tap0", "mtu", "1000", "up"], check=True)
print("ready", flush=True)
for line in sys.stdin:
    os.write(tap, bytes(int(line)))
    print("written", flush=True)
"""


def test_frames_longer_than_the_mtu_allows_are_told_once_and_counted(
    network: Network, tmp_path: Path
) -> None:
    """As merged frames are: a tap gives to the kernel what is written to it, whatever its MTU."""
    tap = network.popen(
        sys.executable, "-c", _LONG, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert tap.stdin is not None
    assert tap.stdout is not None
    if tap.stdout.readline() != "ready\n":
        assert tap.stderr is not None
        pytest.skip(f"no tap here: {tap.stderr.read().splitlines()[-1]}")
    capture = network.capture(tmp_path / "x.pcap", "-s", "80", "-Q", "in", interface="tap0")
    for size in (1_014, 1_026, 1_027, 9_000):
        tap.stdin.write(f"{size}\n")
        tap.stdin.flush()
        assert tap.stdout.readline() == "written\n"
    capture.wait_for("longer than its MTU of 1000 allows")
    ended = capture.end()
    ended.check_account()
    assert ended.frames_oversize == 2
    assert ended.err.count("longer than its MTU") == 1
    assert "ethtool -K tap0" in ended.err


# a TCP segment of 30,000 bytes, which the card would cut to 1,448 each: TSO (linux/virtio_net.h)
_MERGED = """
import socket, struct, sys
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
sender.bind((sys.argv[1], 0x0800))
body = bytes(30_000)
how = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16)
link = bytes.fromhex("020000000002" "020000000001" "0800")
addresses = bytes.fromhex("0a000001" "0a000002")
ip = struct.pack("!BBHHHBBH8s", 0x45, 0, 40 + len(body), 1, 0, 64, 6, 0, addresses)
tcp = struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 5 << 4, 16, 1000, 0, 0)
for _ in range(int(sys.argv[2])):
    sender.send(how + link + ip + tcp + body)
"""


def test_frames_that_were_merged_to_be_cut_by_the_card_are_told(
    network: Network, tmp_path: Path
) -> None:
    network.ip("link", "set", NEAR, "mtu", 1500)
    network.ip("link", "set", FAR, "mtu", 1500)
    capture = network.capture(tmp_path / "x.pcap", "-s", "80")
    done = network.run(sys.executable, "-c", _MERGED, NEAR, 7)
    if done.returncode != 0:
        pytest.skip(f"no merged frames to be had: {done.stderr.splitlines()[-1]}")
    capture.wait_for("longer than its MTU of 1500 allows")
    ended = capture.end()
    ended.check_account(sent=7)
    assert ended.frames_oversize == 7
    assert [frame.wire for frame in ended.frames()] == [30_054] * 7
    assert f"ethtool -K {FAR} gro off lro off tso off gso off" in ended.err


# ---- The clock ----------------------------------------------------------------------------------

# The clock that the capture asks is injected: frames are stamped by the kernel's own, which a test
# must not set. How steps of that one are taken is shown in tests/c/test_capture.c.
_STEPPED = """
import sys, threading, time
from fastcap import clock
from fastcap.cli.__main__ import main
real, ahead = time.time_ns, 0
clock._wall_ns = lambda: real() + ahead
def steps():
    global ahead
    for step in (3600 * 10**9, 0):
        sys.stdin.readline()
        ahead = step
threading.Thread(target=steps, daemon=True).start()
sys.argv[0] = "fastcap"
sys.exit(main())
"""


def test_a_clock_that_is_set_is_told_and_loses_nothing(network: Network, tmp_path: Path) -> None:
    script = tmp_path / "stepped.py"
    script.write_text(_STEPPED)
    err = tmp_path / "err"
    events = tmp_path / "events"
    with err.open("w") as said:
        process = network.popen(
            sys.executable, script, "capture", "-i", FAR, "-w", tmp_path / "x.pcap", "-G", "0.2",
            "--events", events, "--ring", "64M", "--buffer", "16M", "--json",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
        )  # fmt: skip
    assert process.stdin is not None
    wait_until(lambda: "capturing on" in err.read_text(), "it never began")
    network.send(1_000)
    for number, way in enumerate(("forward", "back")):
        process.stdin.write("step\n")
        process.stdin.flush()
        line = f"the clock was set {way} by 3,600."
        wait_until(lambda line=line: line in err.read_text(), line)  # type: ignore[misc]
        network.send(1_000, first=1_000 * (number + 1))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONGEST_WAIT)
    told = json.loads(out)
    assert told["balances"] is True
    assert told["account"]["frames_written"] == 3_000
    steps = [change["seconds"] for change in changes_in(events) if change["what"] == "clock"]
    assert [round(step) for step in steps] == [3600, -3600]


def test_an_offload_that_is_turned_on_meanwhile_is_told(network: Network, tmp_path: Path) -> None:
    from tests.live.test_account import _SET

    events = tmp_path / "events"
    capture: Capture = network.capture(tmp_path / "x.pcap", "-s", "80", "--events", events)
    if network.run(sys.executable, "-c", _SET, FAR).returncode != 0:
        pytest.skip("this kernel's veth has no GRO")
    capture.wait_for(f"ethtool -K {FAR} gro off")
    ended = capture.end()
    ended.check_account()
    (change,) = changes_in(events)
    assert (change["before"]["gro"], change["offloads"]["gro"]) == (False, True)
    assert os.path.exists(tmp_path / "x.pcap")
