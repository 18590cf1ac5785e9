"""Traffic of a bench on a cable: what it says it sent is what the other end got."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastcap._native.generator import read_label
from fastcap.bench.generator import IMIX, SIZES, Load, Sent, ThreadSent
from fastcap.bench.serials import Serials, read_serials
from tests.live.network import (
    FAR,
    LONGEST_WAIT,
    NEAR,
    Capture,
    Ended,
    Network,
    let_receive,
    read,
    wait_until,
)

SCRIPT = Path(__file__).with_name("run_load.py")
ROOMY = ("--ring", "256M", "--buffer", "64M")


class Sender:
    """A load at work, in the namespace."""

    def __init__(self, network: Network, **fields: Any) -> None:
        fields = {"interface": NEAR, **fields}
        self.process = network.popen(
            sys.executable, SCRIPT, json.dumps(fields),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def told(self, *, stop: bool = False) -> dict[str, Any]:
        """What it says when it has ended, which it does by itself or is told to."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if stop:
            self.process.stdin.close()
        told: dict[str, Any] = json.loads(self.process.stdout.read())
        assert self.process.wait(LONGEST_WAIT) == 0
        let_receive()
        return told

    def sent(self, *, stop: bool = False) -> Sent:
        told = self.told(stop=stop)
        return Sent(tuple(ThreadSent(**thread) for thread in told["threads"]), told["asked"])


def received(network: Network) -> tuple[int, int]:
    """Frames and their bytes that the far end has received, as the kernel counts them."""
    (link,) = json.loads(network.ip("-s", "-json", "link", "show", "dev", FAR))
    counters = link["stats64"]["rx"]
    return counters["packets"], counters["bytes"]


def refused(network: Network) -> int:
    """Frames that the far end had no room for."""
    (link,) = json.loads(network.ip("-s", "-json", "link", "show", "dev", FAR))
    dropped: int = link["stats64"]["rx"]["dropped"]
    return dropped


def send(network: Network, **fields: Any) -> Sent:
    """Sends a load, and holds what it says against the kernel's counters."""
    frames, size = received(network)
    sent = Sender(network, **fields).sent()
    more_frames, more_size = received(network)
    assert (sent.frames, sent.bytes) == (
        more_frames - frames,
        more_size - size + 4 * sent.frames,  # the checksums, which a cable of this kind has not
    )
    return sent


def count(ended: Ended, sent: Sent, bench: int = 0) -> Serials:
    """The serials of the capture's files; what it lost by its own account is what is missing."""
    found = read_serials(ended.paths, bench=bench, sent=sent.by_thread)
    assert found.missing == ended.frames_dropped_ring + ended.frames_lost_writer
    assert (found.duplicates, found.never_sent, found.foreign, found.damage) == (0, 0, 0, ())
    return found


def serials_of(ended: Ended) -> list[int]:
    labels = [read_label(frame.data) for path in ended.paths for frame in read(path)]
    return [label[1] for label in labels if label is not None]


def capture_with_room(network: Network, path: Path, *words: object) -> Capture:
    return network.capture(path, *words, memory=ROOMY)


@pytest.mark.parametrize("size", SIZES)
def test_frames_of_every_size_arrive_with_all_serials_in_order(
    network: Network, tmp_path: Path, size: int
) -> None:
    capture = capture_with_room(network, tmp_path / "x.pcap", "-s", "60")
    sent = send(network, sizes=[[size, 1]], frames=20_000, rate=100_000)
    ended = capture.end()
    ended.check_account(sent=20_000)
    assert (sent.frames, sent.bytes) == (20_000, 20_000 * size)
    assert {frame.wire for frame in ended.frames()} == {size - 4}
    if ended.status == 0:
        assert serials_of(ended) == list(range(20_000))
    assert count(ended, sent).frames == 20_000 - ended.frames_dropped_ring


def test_what_arrives_is_what_the_generator_makes_of_seed_serial_and_time(
    network: Network, tmp_path: Path
) -> None:
    capture = capture_with_room(network, tmp_path / "x.pcap")
    send(network, sizes=IMIX, seed=99, bench=7, flows=300, frames=5_000, rate=50_000)
    frames = capture.end().frames()
    made = Load(NEAR, sizes=IMIX, seed=99, bench=7, flows=300).generator()
    assert len(frames) == 5_000
    for number, frame in enumerate(frames):
        label = read_label(frame.data)
        assert label is not None
        assert label[:2] == (7, number)
        assert frame.data == made.frame(number, label[2])
        assert label[2] <= frame.time  # it was made before it was received, by the same clock


def test_as_fast_as_they_go_every_frame_is_counted(network: Network, tmp_path: Path) -> None:
    capture = capture_with_room(network, tmp_path / "x.pcap", "-s", "60")
    sent = send(network, frames=300_000)
    ended = capture.end()
    ended.check_account(sent=300_000)
    assert count(ended, sent).distinct == 300_000 - ended.frames_dropped_ring


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_serials_and_each_keeps_its_order(
    network: Network, tmp_path: Path, threads: int
) -> None:
    total = 60_001  # so that they do not all send as many
    capture = capture_with_room(network, tmp_path / "x.pcap", "-s", "60")
    sent = send(network, frames=total, threads=threads, cpus=[0] * threads)
    ended = capture.end()
    ended.check_account(sent=total)
    assert sent.by_thread == tuple(len(range(i, total, threads)) for i in range(threads))
    found = serials_of(ended)
    assert count(ended, sent).distinct == len(found)
    for index in range(threads):
        theirs = [serial for serial in found if serial % threads == index]
        assert theirs == sorted(theirs)
        if ended.status == 0:
            assert theirs == list(range(index, total, threads))


@pytest.mark.parametrize(("rate", "threads"), [(500, 1), (30_000, 1), (30_000, 2), (200_000, 1)])
def test_a_paced_load_sends_what_is_due_in_its_time(
    network: Network, tmp_path: Path, rate: int, threads: int
) -> None:
    """By counts alone: what it did not send is what it says it was too late for."""
    capture = capture_with_room(network, tmp_path / "x.pcap", "-s", "60")
    sent = send(network, rate=rate, seconds=0.5, threads=threads)
    ended = capture.end()
    assert count(ended, sent).sent == sent.frames
    for thread in sent.threads:
        least, most = (
            rate / threads * (ns - thread.late_ns) / 1e9 for ns in (5 * 10**8, thread.elapsed_ns)
        )
        assert least - 1 <= thread.sent <= most + 1
    if sent.late == 0:
        assert sent.frames == rate // 2


def test_a_load_that_is_cancelled_has_counted_what_it_sent(
    network: Network, tmp_path: Path
) -> None:
    capture = capture_with_room(network, tmp_path / "x.pcap", "-s", "60")
    frames, _ = received(network)
    sender = Sender(network, rate=20_000, threads=2)
    wait_until(lambda: received(network)[0] > frames + 1000)
    sent = sender.sent(stop=True)
    ended = capture.end()
    assert sent.frames == received(network)[0] - frames > 1000
    ended.check_account(sent=sent.frames)
    count(ended, sent)


def test_ctrl_c_ends_all_threads_of_a_load(network: Network) -> None:
    before, _ = received(network)
    sender = Sender(network, rate=1000, threads=3)
    wait_until(lambda: received(network)[0] > before + 100)
    sender.process.send_signal(signal.SIGINT)
    assert sender.told() == {"error": "interrupted"}
    after, _ = received(network)
    assert received(network)[0] == after


def test_two_benches_at_once_are_told_apart(network: Network, tmp_path: Path) -> None:
    capture = capture_with_room(network, tmp_path / "x.pcap", "-s", "60")
    senders = [
        Sender(network, bench=bench, seed=bench, frames=10_000 * bench, rate=50_000)
        for bench in (1, 2)
    ]
    loads = [sender.sent() for sender in senders]
    ended = capture.end()
    ended.check_account(sent=30_000)
    for bench, sent in enumerate(loads, 1):
        found = read_serials(ended.paths, bench=bench, sent=sent.by_thread)
        assert (found.frames, found.foreign) == (ended.frames_written, 0)
        assert found.distinct + found.other_benches == found.frames
        if ended.status == 0:
            assert (found.distinct, found.missing) == (10_000 * bench, 0)


def test_an_interface_that_goes_down_ends_it_with_what_was_sent(network: Network) -> None:
    before, _ = received(network)
    sender = Sender(network, rate=1000, threads=2)
    wait_until(lambda: received(network)[0] > before + 100)
    network.ip("link", "set", NEAR, "down")
    told = sender.told()["error"]
    assert told == f"{NEAR}: the interface is down, after {received(network)[0] - before} frames"
    told = Sender(network, frames=10).told()["error"]
    assert told.startswith(f"{NEAR}: the interface is down")


def test_frames_that_the_interface_cannot_carry_are_refused_before_any_is_sent(
    network: Network,
) -> None:
    network.ip("link", "set", NEAR, "mtu", "1000")
    told = Sender(network, sizes=[[64, 1], [1024, 1]], frames=10).told()["error"]
    assert told == f"{NEAR}: its MTU is 1000, and frames of 1024 bytes need 1006"
    assert send(network, sizes=[[1018, 1]], frames=10).frames == 10


def test_what_the_kernel_refuses_is_sent_again_and_counted_once(
    network: Network, tmp_path: Path
) -> None:
    """The far end receives on another processor, which has no room for all of it at times."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        pytest.skip("wants two processors")
    mask = f"{1 << processors[1]:x}"
    steered = network.run(
        "unshare", "-m", "sh", "-c",
        f"mount -t sysfs sysfs /sys && echo {mask} > /sys/class/net/{FAR}/queues/rx-0/rps_cpus",
    )  # fmt: skip
    if steered.returncode != 0:
        pytest.skip(f"frames cannot be steered here: {steered.stderr}")
    for number in range(20):
        before = received(network)[0], refused(network)
        capture = capture_with_room(network, tmp_path / f"{number}.pcap", "-s", "60")
        sent = Sender(network, frames=200_000, cpus=[processors[0]]).sent()
        ended = capture.end()
        if refused(network) - before[1] > sent.refused:
            pytest.skip("this kernel drops frames of a veth pair and says that it took them")
        assert sent.frames == received(network)[0] - before[0] == 200_000
        assert count(ended, sent).distinct == 200_000 - ended.frames_dropped_ring
        if sent.refused > 0:
            return
    pytest.skip("the kernel refused nothing")
